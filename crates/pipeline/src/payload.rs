//! The execution input: what a run is asked to do.
//!
//! The published system's field names work, so its payloads run unchanged; numbers may come as strings, as theirs
//! do. A field we do not know is an error with the nearest name we do know, because a typing error in an optional
//! field would otherwise silently give another run than the one that was meant.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    storage::as_folder,
};

/// Fields with a meaning.
const FIELDS: [&str; 13] = [
    "bucket",
    "prefix",
    "data_bucket",
    "data_prefix",
    "batch_size",
    "world_size",
    "file_limit",
    "model",
    "result_path",
    "engine",
    "tolerated_failure_percentage",
    "max_concurrency",
    "overwrite",
];

/// Fields of the published payload that mean nothing here: accepted, and named once in a warning.
const WITHOUT_MEANING: [&str; 3] = ["script", "S3_object_name", "object_type"];

/// The most rows of a batch. The reader holds three batches in memory, of 84 MB each at this size.
pub const MAX_BATCH_SIZE: u64 = 4096;

/// Ranks of one run: Step Functions' limit for the items of a Distributed Map's JSON file is far above it, and five
/// digits name a rank's files.
pub const MAX_WORLD_SIZE: u64 = 100_000;

/// The engine of payloads that name none, which every inference function is built with.
pub const DEFAULT_ENGINE: &str = "native";

/// A complete, checked execution input: every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Where results go, and where `model` is looked for.
    pub bucket: String,
    /// Where the partitions lie (default: `bucket`).
    pub data_bucket: String,
    /// The folder of the partitions, without slashes at its ends.
    pub data_prefix: String,
    /// Galaxies per prediction, 1 to [`MAX_BATCH_SIZE`].
    pub batch_size: u64,
    /// Number of ranks; one per file where absent.
    pub world_size: Option<u64>,
    /// Take only the first so many files, in natural order.
    pub file_limit: Option<u64>,
    /// Key of a checkpoint in `bucket`; the model packaged with the function where absent.
    pub model: Option<String>,
    /// Folder of the results, without slashes at its ends.
    pub result_path: String,
    /// Engine by name (default: [`DEFAULT_ENGINE`]).
    pub engine: String,
    /// Percentage of the files that may be missing from the catalogue while the execution still succeeds, 0 to 100.
    pub tolerated_failure_percentage: f64,
    /// Ranks that run at once; 0 is as many as Lambda gives.
    pub max_concurrency: u64,
    /// Take over a `result_path` that another run has left, and compute everything anew.
    pub overwrite: bool,
}

impl Payload {
    /// Reads an execution input. The second value holds warnings to log.
    ///
    /// # Errors
    /// [`Error::BadPayload`], naming the field.
    pub fn parse(input: &Value, execution: &str) -> Result<(Self, Vec<String>)> {
        let Value::Object(object) = input else {
            return Err(Error::BadPayload(format!(
                "expected a JSON object with at least `bucket`, `prefix` and `batch_size`, found {}",
                kind(input)
            )));
        };
        let warnings = check_names(object)?;
        let fields = Fields(object);

        let bucket = fields
            .required_text("bucket", "the bucket for results, and for the partitions unless `data_bucket` is given")?;
        let data_prefix = match (fields.text("data_prefix")?, fields.text("prefix")?) {
            (Some(prefix), _) | (None, Some(prefix)) => prefix,
            (None, None) => return Err(missing("prefix", "the folder that holds the partitions")),
        };
        let result_path = match fields.text("result_path")? {
            Some(path) => as_folder(&path).trim_end_matches('/').to_owned(),
            None => format!("results/{execution}"),
        };
        if result_path.is_empty() || result_path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::BadPayload(format!(
                "`result_path` must be a folder such as \"results/first-run\", found {result_path:?}"
            )));
        }
        let batch_size = fields
            .integer("batch_size", 1..=MAX_BATCH_SIZE)?
            .ok_or_else(|| missing("batch_size", "the number of galaxies per prediction, for example 512"))?;
        let tolerated_failure_percentage = fields.number("tolerated_failure_percentage")?.unwrap_or(0.0);
        if !(0.0..=100.0).contains(&tolerated_failure_percentage) {
            return Err(Error::BadPayload(format!(
                "`tolerated_failure_percentage` must lie between 0 and 100, found {tolerated_failure_percentage}"
            )));
        }
        Ok((
            Self {
                data_bucket: fields.text("data_bucket")?.unwrap_or_else(|| bucket.clone()),
                data_prefix: data_prefix.trim_matches('/').to_owned(),
                batch_size,
                world_size: fields.integer("world_size", 1..=MAX_WORLD_SIZE)?,
                file_limit: fields.integer("file_limit", 1..=u64::MAX)?,
                model: fields.text("model")?.map(|key| key.trim_start_matches('/').to_owned()),
                result_path,
                engine: fields.text("engine")?.unwrap_or_else(|| DEFAULT_ENGINE.to_owned()),
                tolerated_failure_percentage,
                max_concurrency: fields.integer("max_concurrency", 0..=10_000)?.unwrap_or(0),
                overwrite: fields.boolean("overwrite")?.unwrap_or(false),
                bucket,
            },
            warnings,
        ))
    }
}

impl Payload {
    /// The fields in which another payload asks for another catalogue, each as `field (theirs, here ours)`.
    ///
    /// Fields are left out that change neither rows nor redshifts, and so is where the results go.
    pub fn differences(&self, theirs: &Self) -> Vec<String> {
        fn shown<T: std::fmt::Debug>(value: Option<&T>) -> String {
            value.map_or("not set".into(), |value| format!("{value:?}"))
        }
        [
            ("data_bucket", shown(Some(&theirs.data_bucket)), shown(Some(&self.data_bucket))),
            ("data_prefix", shown(Some(&theirs.data_prefix)), shown(Some(&self.data_prefix))),
            ("batch_size", shown(Some(&theirs.batch_size)), shown(Some(&self.batch_size))),
            ("world_size", shown(theirs.world_size.as_ref()), shown(self.world_size.as_ref())),
            ("file_limit", shown(theirs.file_limit.as_ref()), shown(self.file_limit.as_ref())),
            ("model", shown(theirs.model.as_ref()), shown(self.model.as_ref())),
            ("engine", shown(Some(&theirs.engine)), shown(Some(&self.engine))),
        ]
        .into_iter()
        .filter(|(_, theirs, ours)| theirs != ours)
        .map(|(field, theirs, ours)| format!("`{field}` ({theirs} there, {ours} here)"))
        .collect()
    }
}

/// Refuses unknown names, and collects one warning for those that mean nothing.
fn check_names(object: &Map<String, Value>) -> Result<Vec<String>> {
    let mut idle = Vec::new();
    for name in object.keys().map(String::as_str) {
        if WITHOUT_MEANING.contains(&name) {
            idle.push(format!("`{name}`"));
        } else if !FIELDS.contains(&name) {
            let nearest =
                FIELDS.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = nearest.map(|field| format!(": did you mean `{field}`?")).unwrap_or_default();
            return Err(Error::BadPayload(format!("unknown field `{name}`{hint} (known: {})", FIELDS.join(", "))));
        }
    }
    Ok(if idle.is_empty() {
        Vec::new()
    } else {
        vec![format!("{} of the published payload mean nothing here and are ignored", idle.join(", "))]
    })
}

fn missing(name: &str, what: &str) -> Error {
    Error::BadPayload(format!("`{name}` is missing: {what}"))
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

fn wrong(name: &str, expected: impl std::fmt::Display, found: &Value) -> Error {
    Error::BadPayload(format!("`{name}` must be {expected}, found {}", kind(found)))
}

/// Typed access to the fields; `null` counts as absent.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(FIELDS.contains(&name));
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
            Some(other) => Err(wrong(name, "a text that is not empty", other)),
        }
    }

    fn required_text(&self, name: &str, what: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name, what))
    }

    fn integer(&self, name: &str, allowed: std::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => {
                let (low, high) = allowed.into_inner();
                let bound = if high == u64::MAX { "upwards".to_owned() } else { format!("to {high}") };
                Err(wrong(name, format_args!("a whole number from {low} {bound}"), value))
            }
        }
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| wrong(name, "a number", value))
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(input: Value) -> Result<Payload> {
        Payload::parse(&input, "run-1").map(|(payload, _)| payload)
    }

    fn message(input: Value) -> String {
        parse(input).unwrap_err().to_string()
    }

    #[test]
    fn the_published_payload_runs_unchanged() {
        let published = json!({
            "bucket": "cosmicai-data", "file_limit": "11", "batch_size": 512, "object_type": "folder",
            "S3_object_name": "Anomaly Detection", "script": "/tmp/Anomaly Detection/Inference/inference.py",
            "result_path": "result-partition-100MB/1GB/1", "data_bucket": "cosmicai-data", "data_prefix": "100MB"
        });
        let (payload, warnings) = Payload::parse(&published, "run-1").unwrap();
        assert_eq!(payload.file_limit, Some(11));
        assert_eq!(payload.batch_size, 512);
        assert_eq!(payload.world_size, None);
        assert_eq!(payload.result_path, "result-partition-100MB/1GB/1");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("`script`") && warnings[0].contains("`object_type`"), "{warnings:?}");
    }

    #[test]
    fn defaults_are_filled_in() {
        let payload = parse(json!({"bucket": "b", "prefix": "/sky/", "batch_size": "32"})).unwrap();
        assert_eq!((payload.data_bucket.as_str(), payload.data_prefix.as_str()), ("b", "sky"));
        assert_eq!(payload.result_path, "results/run-1");
        assert_eq!((payload.tolerated_failure_percentage, payload.max_concurrency), (0.0, 0));
        assert!(!payload.overwrite);
    }

    #[test]
    fn a_resolved_payload_parses_back() {
        let payload = parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "engine": "tch"})).unwrap();
        let text = serde_json::to_string(&payload).unwrap();
        assert_eq!(serde_json::from_str::<Payload>(&text).unwrap(), payload);
    }

    #[test]
    fn an_unknown_field_names_the_nearest_known_one() {
        let said = message(json!({"bucket": "b", "prefix": "p", "batchsize": 8}));
        assert!(said.contains("`batchsize`") && said.contains("did you mean `batch_size`"), "{said}");
        let said = message(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "worldsize": 2}));
        assert!(said.contains("did you mean `world_size`"), "{said}");
    }

    #[test]
    fn wrong_types_and_missing_fields_name_the_field() {
        for (input, field) in [
            (json!([]), "bucket"),
            (json!({"prefix": "p", "batch_size": 1}), "`bucket` is missing"),
            (json!({"bucket": "b", "batch_size": 1}), "`prefix` is missing"),
            (json!({"bucket": "b", "prefix": "p"}), "`batch_size` is missing"),
            (json!({"bucket": 7, "prefix": "p", "batch_size": 1}), "`bucket` must be"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 0}), "`batch_size` must be"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": -1}), "`batch_size` must be"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 1.5}), "`batch_size` must be"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": "many"}), "\"many\""),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 1, "overwrite": "perhaps"}), "`overwrite`"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 1, "world_size": 0}), "`world_size`"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 1, "result_path": "a/../b"}), "`result_path`"),
            (json!({"bucket": "b", "prefix": "p", "batch_size": 1, "result_path": "/"}), "`result_path`"),
            (
                json!({"bucket": "b", "prefix": "p", "batch_size": 1, "tolerated_failure_percentage": 101}),
                "`tolerated_failure_percentage`",
            ),
        ] {
            let said = message(input.clone());
            assert!(said.contains(field), "{input}: {said}");
        }
    }
}
