//! ARNs of executions: `arn:aws:states:eu-west-1:123456789012:execution:cosmic-redshift:demo-1732406400123`.

use anyhow::{Result, bail};
use pipeline::storage::printable;

/// The parts of an execution's ARN that say where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecutionArn {
    pub(crate) arn: String,
    pub(crate) region: String,
    pub(crate) account: String,
    /// Name of the state machine.
    pub(crate) machine: String,
    /// Name of the execution.
    pub(crate) name: String,
}

impl ExecutionArn {
    /// Takes an ARN apart, and refuses those of other things than executions that a user starts.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let shown = printable(text);
        match parts[..] {
            ["arn", _, "states", _, _, "stateMachine", ..] => {
                bail!("{shown} is the ARN of a state machine: give an execution's, or its name with --state-machine")
            }
            ["arn", _, "states", _, _, "mapRun", ..] => {
                bail!("{shown} is the ARN of a map run: give that of the execution which started it, or its name")
            }
            ["arn", _, "states", _, _, "execution", machine, _] if machine.contains('/') => {
                bail!("{shown} is one rank of a map run: give the ARN of the execution which started it, or its name")
            }
            ["arn", _, "states", region, account, "execution", machine, name]
                if [region, account, machine, name].iter().all(|part| !part.is_empty()) =>
            {
                let [region, account, machine, name] = [region, account, machine, name].map(str::to_owned);
                Ok(Self { arn: text.to_owned(), region, account, machine, name })
            }
            _ => bail!(
                "{shown} is not the ARN of an execution, which looks like \
                 arn:aws:states:us-east-1:123456789012:execution:cosmic-redshift:demo-1732406400123"
            ),
        }
    }

    /// The ARN of an execution of a state machine, which is given by its own ARN.
    pub(crate) fn of(machine_arn: &str, name: &str) -> Result<Self> {
        Self::parse(&format!("{}:{name}", machine_arn.replacen(":stateMachine:", ":execution:", 1)))
    }

    /// The ARN of the state machine.
    pub(crate) fn machine_arn(&self) -> String {
        let execution = self.arn.replacen(":execution:", ":stateMachine:", 1);
        execution.rsplit_once(':').map_or(execution.clone(), |(machine, _)| machine.to_owned())
    }
}

/// The region that an ARN names.
pub(crate) fn region_of(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_arn_are_those_that_step_functions_writes() {
        let arn = "arn:aws-cn:states:cn-north-1:123456789012:execution:cosmic-redshift:demo-1";
        let parsed = ExecutionArn::parse(arn).unwrap();
        assert_eq!((parsed.region.as_str(), parsed.account.as_str()), ("cn-north-1", "123456789012"));
        assert_eq!((parsed.machine.as_str(), parsed.name.as_str()), ("cosmic-redshift", "demo-1"));
        assert_eq!(parsed.machine_arn(), "arn:aws-cn:states:cn-north-1:123456789012:stateMachine:cosmic-redshift");
        assert_eq!(ExecutionArn::of(&parsed.machine_arn(), "demo-1").unwrap(), parsed);
        assert_eq!(region_of(arn), Some("cn-north-1"));
        assert_eq!(region_of("cosmic-redshift"), None);
    }

    #[test]
    fn arns_of_other_things_are_named_as_what_they_are() {
        for (kind, said) in [
            ("states:us-east-1:1:stateMachine:m", "a state machine"),
            ("states:us-east-1:1:mapRun:m/Ranks:8f3a", "a map run"),
            ("states:us-east-1:1:execution:m/Ranks:8f3a", "one rank"),
            ("states:us-east-1:1:execution:m:", "not the ARN of an execution"),
            ("s3:::bucket", "not the ARN of an execution"),
        ] {
            let error = ExecutionArn::parse(&format!("arn:aws:{kind}")).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
