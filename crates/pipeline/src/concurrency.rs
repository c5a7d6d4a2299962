//! How many ranks run at once, where the payload leaves it to the deployment.
//!
//! A Distributed Map that is told no number starts up to 10,000 children at once. Lambda runs as many functions at once
//! as the account's quota for the region, which is 1,000 by default and lower in new accounts
//! (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>), and turns the others away. Each attempt
//! that it turns away is a state transition to pay for, and a rank fails that is turned away too often:
//! `bill::throttling` simulates it. So a `max_concurrency` of 0 is resolved before ranks start, by what is found first:
//!
//! 1. the stack's parameter `MaxConcurrency`;
//! 2. the reserved concurrency of the inference function, all of which is the ranks';
//! 3. what the account has left unreserved, less a margin of a tenth and at least one.
//!
//! The margin is for whatever else the account runs in that pool, such as the initializers and summarizers of other
//! executions, which are few beside ranks. Nothing holds more back: who shares the account with busy functions, or
//! starts several executions together, sets `MaxConcurrency` or reserves concurrency.
//!
//! The initializer asks with the permissions of its role, and `cosmic plan` with those of its user. The answer changes
//! nothing of the catalogue, so that it is in no fingerprint, and a run may be resumed under another quota.

use aws_sdk_lambda::{Client, error::ProvideErrorMetadata};
use serde::{Deserialize, Serialize};

use crate::storage::explain;

/// The most children that a Distributed Map runs at once, which is also what a `MaxConcurrency` of 0 means:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html>.
pub const MOST_CHILDREN: u64 = 10_000;

/// Functions that an account runs at once by default, in each region; new accounts have fewer:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub const DEFAULT_QUOTA: u64 = 1_000;

/// The initializer's environment variable that has the stack's parameter `MaxConcurrency`, 0 where it is not set.
pub const MAX_CONCURRENCY_VARIABLE: &str = "COSMIC_MAX_CONCURRENCY";

/// The initializer's environment variable that has the name of the inference function.
pub const INFERENCE_FUNCTION_VARIABLE: &str = "COSMIC_INFERENCE_FUNCTION";

/// What is known of how many ranks may run at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// The stack's parameter `MaxConcurrency`, where it is set.
    pub of_stack: Option<u64>,
    /// Lambda's quota, or why it is not known.
    pub of_lambda: Result<LambdaQuota, String>,
}

impl Default for Quotas {
    /// An account as AWS makes it by default, and a stack that sets nothing.
    fn default() -> Self {
        Self { of_stack: None, of_lambda: Ok(LambdaQuota::Unreserved(DEFAULT_QUOTA)) }
    }
}

/// How many inference functions Lambda runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LambdaQuota {
    /// So many are reserved for the inference function.
    Reserved(u64),
    /// So many are left for all functions of the account that have none reserved.
    Unreserved(u64),
}

impl LambdaQuota {
    /// The most functions that run at once.
    pub fn functions(self) -> u64 {
        match self {
            Self::Reserved(functions) | Self::Unreserved(functions) => functions,
        }
    }

    /// As many ranks as are sure to find a function free, at least one.
    pub fn ranks(self) -> u64 {
        let ranks = match self {
            Self::Reserved(functions) => functions,
            Self::Unreserved(functions) => functions - margin(functions),
        };
        ranks.clamp(1, MOST_CHILDREN)
    }
}

/// What is left to other functions of so many: a tenth, and at least one of two.
fn margin(functions: u64) -> u64 {
    (functions / 10).max(1).min(functions.saturating_sub(1))
}

/// How many ranks run at once, and what decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanksAtOnce {
    /// 0 is as many as a Distributed Map starts.
    pub max_concurrency: u64,
    /// What decided it, for a person.
    pub reason: String,
    /// What may go wrong with so many, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warning: Option<String>,
}

impl RanksAtOnce {
    /// Resolves a payload's `max_concurrency`, of which 0 leaves it open.
    pub fn resolve(asked: u64, quotas: &Quotas) -> Self {
        let (max_concurrency, reason) = match (asked, quotas.of_stack, &quotas.of_lambda) {
            (0, Some(of_stack), _) => (of_stack.min(MOST_CHILDREN), "the stack's parameter MaxConcurrency".to_owned()),
            (0, None, Ok(quota)) => (quota.ranks(), quota.to_string()),
            (0, None, Err(_)) => (0, "Lambda's quota is not known".to_owned()),
            (asked, ..) => (asked, "the payload's max_concurrency".to_owned()),
        };
        let warning = match &quotas.of_lambda {
            Ok(LambdaQuota::Reserved(0)) => Some(
                "the inference function's reserved concurrency is 0, with which Lambda runs none of it: raise it, or \
                 delete it"
                    .to_owned(),
            ),
            Ok(quota) if max_concurrency > quota.functions() => Some(format!(
                "max_concurrency is {max_concurrency}, and only {} functions run at once ({quota}): Lambda turns the other \
                 ranks away until there is room, and each attempt is a state transition; max_concurrency={} avoids it",
                quota.functions(),
                quota.ranks()
            )),
            Err(reason) if max_concurrency == 0 => Some(format!(
                "all ranks start at once, and Lambda may turn many away, because its quota is not known ({reason}): set \
                 max_concurrency in the payload, or the stack's parameter MaxConcurrency"
            )),
            _ => None,
        };
        Self { max_concurrency, reason, warning }
    }
}

impl std::fmt::Display for LambdaQuota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reserved(functions) => write!(f, "{functions} functions are reserved for inference"),
            Self::Unreserved(functions) => {
                write!(f, "the account has {functions} functions unreserved, less {} for others", margin(*functions))
            }
        }
    }
}

/// The stack's parameter as the initializer's environment has it, `None` where it is not set.
pub fn max_concurrency_of_stack(variable: Option<&str>) -> Option<u64> {
    variable.and_then(|text| text.trim().parse().ok()).filter(|number| *number > 0)
}

/// Asks Lambda for the quota of the inference function.
///
/// # Errors
/// Why it did not say, for a person.
pub async fn lambda_quota(client: &Client, inference_function: &str) -> Result<LambdaQuota, String> {
    let reserved = match client.get_function_concurrency().function_name(inference_function).send().await {
        Ok(answer) => answer.reserved_concurrent_executions,
        // Whoever may not ask this is taken to have reserved none: the account's answer holds then.
        Err(error) if error.code() == Some("AccessDeniedException") => None,
        Err(error) => return Err(explain(&error)),
    };
    if let Some(reserved) = reserved {
        return u64::try_from(reserved).map(LambdaQuota::Reserved).map_err(|error| error.to_string());
    }
    let settings = client.get_account_settings().send().await.map_err(|error| explain(&error))?;
    let unreserved = settings.account_limit.and_then(|limit| limit.unreserved_concurrent_executions);
    let unreserved = unreserved.and_then(|unreserved| u64::try_from(unreserved).ok());
    unreserved.map(LambdaQuota::Unreserved).ok_or_else(|| "GetAccountSettings names no limit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(asked: u64, of_stack: Option<u64>, of_lambda: Result<LambdaQuota, String>) -> RanksAtOnce {
        RanksAtOnce::resolve(asked, &Quotas { of_stack, of_lambda })
    }

    #[test]
    fn an_account_keeps_a_tenth_and_at_least_one_of_two() {
        for (functions, ranks) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 2),
            (10, 9),
            (19, 18),
            (100, 90),
            (1_000, 900),
            (11_000, 9_900),
            (50_000, 10_000),
        ] {
            let found = resolved(0, None, Ok(LambdaQuota::Unreserved(functions)));
            assert_eq!(found.max_concurrency, ranks, "{functions}");
        }
        let found = resolved(0, None, Ok(LambdaQuota::Unreserved(10)));
        assert_eq!(found.reason, "the account has 10 functions unreserved, less 1 for others");
        assert_eq!(found.warning, None);
    }

    #[test]
    fn what_is_nearer_to_the_user_decides() {
        let quota = || Ok(LambdaQuota::Unreserved(10));
        assert_eq!(resolved(3, Some(5), quota()).max_concurrency, 3);
        assert_eq!(resolved(0, Some(5), quota()).max_concurrency, 5);
        assert_eq!(resolved(0, Some(20_000), Err(String::new())).max_concurrency, MOST_CHILDREN);
        assert_eq!(resolved(0, None, Ok(LambdaQuota::Reserved(40))).max_concurrency, 40);
        assert_eq!(
            [None, Some("0"), Some(""), Some("x"), Some("7")].map(max_concurrency_of_stack),
            [None, None, None, None, Some(7)]
        );
    }

    #[test]
    fn more_than_lambda_runs_is_kept_and_warned_of() {
        for (asked, of_stack) in [(50, None), (0, Some(50))] {
            let found = resolved(asked, of_stack, Ok(LambdaQuota::Unreserved(10)));
            assert_eq!(found.max_concurrency, 50);
            let warning = found.warning.unwrap();
            assert!(warning.contains("only 10 functions") && warning.contains("max_concurrency=9"), "{warning}");
        }
        // The margin is advice, and no limit.
        assert_eq!(resolved(10, None, Ok(LambdaQuota::Unreserved(10))).warning, None);
    }

    #[test]
    fn a_quota_that_is_not_known_leaves_it_open_and_says_why() {
        let found = resolved(0, None, Err("access denied".into()));
        assert_eq!(found.max_concurrency, 0);
        assert!(found.warning.unwrap().contains("(access denied): set max_concurrency"));
        assert_eq!(resolved(7, None, Err("access denied".into())).warning, None);
    }

    #[test]
    fn a_function_that_is_switched_off_is_named() {
        let found = resolved(0, None, Ok(LambdaQuota::Reserved(0)));
        assert_eq!(found.max_concurrency, 1);
        assert!(found.warning.unwrap().contains("Lambda runs none of it"));
    }
}
