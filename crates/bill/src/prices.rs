//! AWS's list prices for us-east-1, without the free tier, volume discounts and taxes.
//!
//! They are from <https://aws.amazon.com/lambda/pricing/> and <https://aws.amazon.com/step-functions/pricing/>. AWS may
//! change them, and other regions have others: look there before a large run.

use crate::invocations::Architecture;

/// US dollars per Lambda request.
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
/// US dollars per state transition of a standard workflow.
pub const STATE_TRANSITION: f64 = 0.025 / 1e3;

/// US dollars per GB-second of billed Lambda time. A GB is 1024 MB of configured memory.
pub fn gb_second(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::X86_64 => 0.000_016_666_7,
        Architecture::Arm64 => 0.000_013_333_4,
    }
}
