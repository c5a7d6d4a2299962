//! Fields that are set on the command line: `--set key=value`.

use anyhow::{Result, bail};
use serde_json::Value;

/// The fields and values of assignments. A value is JSON where it is that, else text. Of a field that `is_text` names, a
/// number or a truth value is text too: a folder 2024.10 or 007 keeps its name.
pub(crate) fn assignments(set: &[String], is_text: impl Fn(&str) -> bool) -> Result<Vec<(String, Value)>> {
    let parsed = set.iter().map(|assignment| {
        let Some((field, value)) = assignment.split_once('=') else {
            bail!("--set {assignment:?} is not of the form key=value");
        };
        let value = match serde_json::from_str(value) {
            Ok(Value::Number(_) | Value::Bool(_)) if is_text(field) => Value::String(value.to_owned()),
            Ok(value) => value,
            Err(_) => Value::String(value.to_owned()),
        };
        Ok((field.to_owned(), value))
    });
    parsed.collect()
}
