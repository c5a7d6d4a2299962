//! A run: what it is asked to do ([`payload`]), how it is divided ([`plan`]), and its three steps.
//!
//! - [`initialize`]: from a payload to a plan in the bucket.
//! - [`rank`]: one rank's share of the rows in, its part of the catalogue out, as one file. [`batch_loop`] is the loop
//!   in it.
//! - [`summarize`]: from what the ranks have left to one catalogue, with metrics and a picture.
//! - [`local_run`]: the same on one machine, without AWS.
//!
//! Data flows one way: payload → plan → ranks → catalogue → results. The steps do not know each other: they meet in
//! [`run_files`], the files of a run, and [`events`], what the state machine hands them. They reach files through
//! [`storage::ObjectStore`] alone. The crate knows the `Engine` trait but no engine, so that the functions that only
//! plan and merge do not carry one.

pub mod batch_loop;
pub mod calibration;
pub mod concurrency;
pub mod deadline;
pub mod engine_cache;
mod error;
pub mod events;
pub mod initialize;
pub mod local_run;
mod map_run;
mod merge;
mod natural_order;
mod own_columns;
pub mod partitions;
pub mod payload;
pub mod phases;
mod picture;
pub mod plan;
pub mod ran_on;
pub mod rank;
pub mod read_ahead;
pub mod report;
pub mod resource_usage;
pub mod result_folder;
pub mod run_files;
pub mod storage;
pub mod summarize;

pub use error::{Error, Result};
