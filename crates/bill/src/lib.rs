//! What AWS says of an execution and asks for it: which invocations there were, and what they cost.

mod cost;
mod invocations;
mod prices;
mod report_line;
pub mod throttling;

pub use cost::{Cost, GbSeconds, Usage};
pub use invocations::{Architecture, Invocation, JoinedInvocations, Requests, join};
pub use prices::{PerArchitecture, Prices};
pub use report_line::InvocationReport;
