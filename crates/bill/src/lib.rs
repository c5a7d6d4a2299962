//! What AWS says of an execution and asks for it: which invocations there were, and what they cost.

mod cost;
mod invocations;
pub mod prices;
mod report_line;

pub use cost::Cost;
pub use invocations::{Architecture, Invocation, InvocationLog, JoinedInvocations, Owner, Requests, Unreported};
pub use report_line::InvocationReport;
