//! What AWS says of an execution and asks for it: which invocations there were, and what they cost; and what a run would
//! take and cost, before it runs.
//!
//! An estimate is made of [`figures`], which are shipped or found in the records of earlier runs ([`fit`]), by the model
//! of [`estimate`].

pub mod choices;
mod cost;
pub mod estimate;
pub mod figures;
pub mod fit;
mod invocations;
mod other_functions;
mod prices;
mod rank_model;
pub mod records;
mod report_line;
mod setup;
pub mod shared_machine;
pub mod throttling;

pub use cost::{Cost, GbSeconds, Usage};
pub use invocations::{Architecture, Invocation, InvocationLog, JoinedInvocations, Owner, Unreported};
pub use pipeline::storage::Requests;
pub use prices::{BadPrices, PerArchitecture, Prices};
pub use report_line::InvocationReport;
