//! The payload of an execution to start: of a file, or that of an earlier execution, with fields set over it.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use pipeline::payload::is_text;
use serde_json::{Map, Value};

use crate::{assignments::assignments, execution::Execution, execution_arn::ExecutionArn};

/// What `--payload` names.
pub(crate) enum PayloadSource<'a> {
    File(&'a Path),
    /// An execution, by its ARN.
    Execution(&'a str),
}

impl<'a> PayloadSource<'a> {
    pub(crate) fn of(argument: &'a Path) -> Self {
        match argument.to_str() {
            Some(text) if text.starts_with("arn:") => Self::Execution(text),
            _ => Self::File(argument),
        }
    }

    /// A name for what comes of it: the file's without its extension, or the execution's without the time at its end.
    pub(crate) fn stem(&self) -> Option<String> {
        match self {
            Self::File(path) => path.file_stem()?.to_str().map(str::to_owned),
            Self::Execution(arn) => {
                let name = ExecutionArn::parse(arn).ok()?.name;
                let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix('-');
                Some(stem.filter(|stem| !stem.is_empty()).unwrap_or(&name).to_owned())
            }
        }
    }

    /// Reads the payload, and sets fields over it, also that of --requester-pays.
    pub(crate) async fn read(&self, aws: &SdkConfig, set: &[String], requester_pays: bool) -> Result<Value> {
        let mut input = match self {
            Self::File(path) => read_file(path)?,
            Self::Execution(arn) => {
                let (_, described) = Execution::at(aws, ExecutionArn::parse(arn)?).await?;
                serde_json::from_str(&described.input.unwrap_or_default())
                    .with_context(|| format!("the input of {arn} is not a payload: expected one JSON object"))?
            }
        };
        if requester_pays {
            input.insert("requester_pays".to_owned(), true.into());
        }
        input.extend(assignments(set, is_text)?);
        Ok(Value::Object(input))
    }
}

impl fmt::Display for PayloadSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Execution(arn) => f.write_str(arn),
        }
    }
}

fn read_file(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    // Editors on Windows put a byte order mark in front.
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text))
        .with_context(|| format!("{} is not a payload: expected one JSON object", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fields_set_on_the_command_line_win_and_keep_their_types() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        std::fs::write(&path, "\u{feff}{\"bucket\": \"old\", \"batch_size\": 32}").unwrap();
        let aws = SdkConfig::builder().build();
        let source = PayloadSource::of(&path);
        let set = ["bucket=new", "batch_size=64", "overwrite=true", "result_path=a=b", "prefix=2024.10", "model=null"];
        let input = source.read(&aws, &set.map(str::to_owned), false).await.unwrap();
        let expected = serde_json::json!({
            "bucket": "new", "batch_size": 64, "overwrite": true, "result_path": "a=b", "prefix": "2024.10", "model": null
        });
        assert_eq!(input, expected);
        assert!(source.read(&aws, &["nothing".into()], false).await.is_err());
        let paid = source.read(&aws, &[], true).await.unwrap();
        assert_eq!(paid["requester_pays"], true);
    }

    #[test]
    fn what_comes_of_a_payload_is_named_after_it() {
        let stem = |argument: &str| PayloadSource::of(Path::new(argument)).stem().unwrap();
        assert_eq!(stem("payloads/demo.json"), "demo");
        let arn = "arn:aws:states:us-east-1:1:execution:cosmic-redshift:";
        assert_eq!(stem(&format!("{arn}demo-1732406400123")), "demo");
        assert_eq!(stem(&format!("{arn}nightly")), "nightly");
        assert_eq!(stem(&format!("{arn}2024")), "2024");
    }
}
