//! The command that computes the rest of an execution which did not finish.
//!
//! A rank's part of the catalogue stays under the result path, and an execution with the same payload and result path
//! takes it over. The payload is the execution's input: the command names it by the execution's ARN, so that it can be
//! given on any machine.

pub(crate) use pipeline::payload::DEFAULT_MACHINE;
use pipeline::payload::Payload;
use serde_json::Value;

use crate::{execution::Execution, execution_arn::ExecutionArn, global::Global};

/// `cosmic run --payload ARN --set result_path=…`, ready for a shell.
pub(crate) fn resume_command(execution: &Execution, payload: &Payload, input: &Value, global: &Global) -> String {
    let mut words = vec!["cosmic".to_owned(), "run".to_owned()];
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
    flag("--payload", execution.arn.clone());
    flag("--set", format!("result_path={}", payload.result_path));
    if input.get("overwrite").is_some_and(|overwrite| !matches!(overwrite, Value::Null | Value::Bool(false))) {
        // It would delete what is there.
        flag("--set", "overwrite=false".into());
    }
    if let Ok(arn) = ExecutionArn::parse(&execution.arn)
        && arn.machine != DEFAULT_MACHINE
    {
        flag("--state-machine", arn.machine_arn());
    }
    if let Some(url) = &global.endpoint_url {
        flag("--endpoint-url", url.clone());
    }
    words.join(" ")
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_other_characters_are_quoted_for_the_shell() {
        assert_eq!(quoted("result_path=results/demo-1"), "result_path=results/demo-1");
        assert_eq!(quoted("result_path=it's mine"), r"'result_path=it'\''s mine'");
    }
}
