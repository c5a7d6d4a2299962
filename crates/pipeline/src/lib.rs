//! The domain, used by every binary: what a run is asked to do ([`payload`]), how it is divided ([`plan`]), one
//! rank's work ([`rank`]), what comes out ([`catalogue`], [`metrics`], [`results`]) and how the parts become one
//! result ([`summarize`]).
//!
//! Data flows one way: payload → plan → ranks → catalogue → results. The steps that touch storage do it through
//! [`store::ObjectStore`]; everything else is a pure function over plain structs. The crate knows the `Engine` trait
//! but no engine, so the functions that only plan and merge do not carry one.

pub mod catalogue;
pub mod contact_sheet;
pub mod cost;
pub mod error;
pub mod events;
pub mod infer;
pub mod initialize;
pub mod invocations;
pub mod layout;
pub mod metrics;
pub mod payload;
pub mod plan;
pub mod plot;
pub mod predict;
pub mod rank;
pub mod results;
pub mod store;
pub mod summarize;
pub mod usage;

pub use error::{Error, Result};
