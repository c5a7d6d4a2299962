//! Where a rank was computed, which its times are worth nothing without.

use serde::{Deserialize, Serialize};

/// What computed a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RanOn {
    Lambda,
    /// The functions, as the local stack runs them: with all processors of a machine, and not by their memory.
    #[serde(rename = "local stack")]
    LocalStack,
    /// `cosmic infer`.
    #[serde(rename = "this machine")]
    ThisMachine,
}

impl RanOn {
    /// That of this process, by its environment.
    pub fn of_this_process() -> Self {
        Self::by(|name| std::env::var(name).ok())
    }

    fn by(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let endpoints = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];
        if !is_set("AWS_LAMBDA_FUNCTION_NAME") {
            Self::ThisMachine
        } else if endpoints.into_iter().filter_map(variable).any(|endpoint| !endpoint_is_aws(&endpoint)) {
            Self::LocalStack
        } else {
            Self::Lambda
        }
    }
}

/// Whether an endpoint that stands in for a service's own is one of AWS's all the same, such as that of a VPC.
pub fn endpoint_is_aws(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    host.is_empty() || [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_tells_lambda_from_the_local_stack() {
        let of = |variables: &[(&str, &str)]| {
            RanOn::by(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let function = ("AWS_LAMBDA_FUNCTION_NAME", "cosmic-inference");
        assert_eq!(of(&[]), RanOn::ThisMachine);
        assert_eq!(of(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")]), RanOn::ThisMachine);
        assert_eq!(of(&[function]), RanOn::Lambda);
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
            assert_eq!(of(&[function, (name, "http://127.0.0.1:4566")]), RanOn::LocalStack);
            assert_eq!(of(&[function, (name, "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com")]), RanOn::Lambda);
        }
        assert_eq!(serde_json::to_value(RanOn::LocalStack).unwrap(), "local stack");
    }

    #[test]
    fn only_hosts_of_aws_are_endpoints_of_aws() {
        for endpoint in ["https://lambda.eu-west-3.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn:443/a"] {
            assert!(endpoint_is_aws(endpoint), "{endpoint}");
        }
        for endpoint in ["http://127.0.0.1:4566", "http://localhost/.amazonaws.com", "http://s3.amazonaws.com.test"] {
            assert!(!endpoint_is_aws(endpoint), "{endpoint}");
        }
    }
}
