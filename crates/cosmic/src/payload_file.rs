//! The payload of a file, with fields set over it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pipeline::payload::is_text;
use serde_json::{Map, Value};

/// The payload of a file with fields set over it. Values are JSON where they are that and no text is wanted, else text.
pub(crate) fn read_payload(path: &Path, set: &[String]) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    // Editors on Windows put a byte order mark in front.
    let mut input: Map<String, Value> = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text))
        .with_context(|| format!("{} is not a payload: expected one JSON object", path.display()))?;
    for assignment in set {
        let Some((key, value)) = assignment.split_once('=') else {
            bail!("--set {assignment:?} is not of the form key=value");
        };
        let value = match serde_json::from_str(value) {
            // A folder 2024.10 or 007 keeps its name.
            Ok(Value::Number(_) | Value::Bool(_)) if is_text(key) => Value::String(value.to_owned()),
            Ok(value) => value,
            Err(_) => Value::String(value.to_owned()),
        };
        input.insert(key.to_owned(), value);
    }
    Ok(Value::Object(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_set_on_the_command_line_win_and_keep_their_types() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        std::fs::write(&path, "\u{feff}{\"bucket\": \"old\", \"batch_size\": 32}").unwrap();
        let set = ["bucket=new", "batch_size=64", "overwrite=true", "result_path=a=b", "prefix=2024.10", "model=null"];
        let input = read_payload(&path, &set.map(str::to_owned)).unwrap();
        let expected = serde_json::json!({
            "bucket": "new", "batch_size": 64, "overwrite": true, "result_path": "a=b", "prefix": "2024.10", "model": null
        });
        assert_eq!(input, expected);
        assert!(read_payload(&path, &["nothing".into()]).is_err());
    }
}
