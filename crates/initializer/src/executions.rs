//! What Step Functions says of executions.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sfn::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata},
    types::ExecutionStatus,
};
use pipeline::{
    Error,
    initialize::{ExecutionState, Executions},
};

/// The executions of an account and region.
pub(crate) struct StepFunctions(Client);

impl StepFunctions {
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        let limits = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(10)).build();
        let config = aws_sdk_sfn::config::Builder::from(aws)
            .timeout_config(limits)
            .retry_config(RetryConfig::standard().with_max_attempts(8));
        Self(Client::from_conf(config.build()))
    }
}

#[async_trait]
impl Executions for StepFunctions {
    async fn state(&self, execution_arn: &str) -> pipeline::Result<ExecutionState> {
        match self.0.describe_execution().execution_arn(execution_arn).send().await {
            Ok(described) => Ok(match described.status {
                ExecutionStatus::Running | ExecutionStatus::PendingRedrive => ExecutionState::Running,
                _ => ExecutionState::Ended,
            }),
            // Step Functions forgets executions 90 days after their end, and with their state machine:
            // https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html. One that has just started may
            // not be visible yet.
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(ExecutionState::Unknown),
            // The owner belongs to another deployment, whose executions this one may not look at.
            Err(error) if error.code() == Some("AccessDeniedException") => Err(Error::BadPayload(format!(
                "`result_path` belongs to execution {execution_arn}, of which this deployment may not know whether it is \
                 still running ({}): choose another `result_path`, or delete plan.json there once you know that it is not",
                DisplayErrorContext(&error)
            ))),
            Err(error) => {
                Err(Error::internal(format!("failed to ask Step Functions for execution {execution_arn}"), error))
            }
        }
    }
}
