//! The execution input: what a run is asked to do.
//!
//! The published system's field names work, so its payloads run unchanged; numbers may come as strings, as theirs
//! do, or as `512.0`, as tools write them that know but one kind of number. A field we do not know is an error with the
//! nearest name we do know, because a typing error in an optional field would otherwise silently give another run than
//! the one that was meant.

use std::{ops::RangeInclusive, sync::Arc};

pub use astromae::Precision;
use catalogue::intervals::LevelSet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    concurrency::MOST_CHILDREN,
    error::{Error, Result},
    storage::{ObjectStore, Stores, as_folder, is_bucket_name, is_in_s3, split_address},
};

/// Fields with a meaning.
const FIELDS: [&str; 16] = [
    "bucket",
    "prefix",
    "data_bucket",
    "data_prefix",
    "requester_pays",
    "batch_size",
    "world_size",
    "file_limit",
    "model",
    "result_path",
    "engine",
    "precision",
    "tolerated_failure_percentage",
    "max_concurrency",
    "levels",
    "overwrite",
];

/// Fields of the published payload that mean nothing here: accepted, and named once in a warning.
const WITHOUT_MEANING: [&str; 3] = ["script", "S3_object_name", "object_type"];

/// Fields that Step Functions has in the input of an execution that another one started:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html>.
const STEP_FUNCTIONS_PREFIX: &str = "AWS_STEP_FUNCTIONS_";

/// How alike two names must be for one to be taken for a misspelling of the other (Jaro-Winkler, 1 is equality).
const ALIKE: f64 = 0.85;

/// The most rows of a batch. The reader holds three batches in memory, of 84 MB each at this size.
pub const MAX_BATCH_SIZE: u64 = 4096;

/// Ranks of one run. `scripts/load_test.sh` runs 10,000; at this number the list of ranks that the map reads has some 12 MB.
pub const MAX_WORLD_SIZE: u64 = 100_000;

const BATCH_SIZES: RangeInclusive<u64> = 1..=MAX_BATCH_SIZE;
const WORLD_SIZES: RangeInclusive<u64> = 1..=MAX_WORLD_SIZE;
const FILE_LIMITS: RangeInclusive<u64> = 1..=u64::MAX;
const CONCURRENCIES: RangeInclusive<u64> = 0..=MOST_CHILDREN;

/// The engine of payloads that name none, which every inference function is built with.
pub const DEFAULT_ENGINE: &str = "native";

/// A complete, checked execution input: every default filled in. What is read back from a plan is checked as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
// Gives the derived functions to the type itself, so that `Deserialize` can be they and a check.
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Payload {
    /// Where results go, and where `model` is looked for.
    pub bucket: String,
    /// Where the partitions lie (default: `bucket`).
    pub data_bucket: String,
    /// The folder of the partitions, without slashes at its ends.
    pub data_prefix: String,
    /// Whether reading `data_bucket` is to be paid by this account, where its owner wants that of all who read it.
    #[serde(default)]
    pub requester_pays: bool,
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
    /// The numbers that the engine multiplies.
    #[serde(default)]
    pub precision: Precision,
    /// Percentage of the files that may be missing from the catalogue while the execution still succeeds, 0 to 100.
    pub tolerated_failure_percentage: f64,
    /// Ranks that run at once; 0 leaves it to the deployment: see [`concurrency`](crate::concurrency).
    pub max_concurrency: u64,
    /// Whether the catalogue has the quantiles at all levels, of a model that is calibrated, and not at five.
    #[serde(default)]
    pub levels: bool,
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
        let bucket = bucket_name("bucket", &bucket)?;
        let data_bucket = match fields.text("data_bucket")? {
            Some(name) => bucket_name("data_bucket", &name)?,
            None => bucket.clone(),
        };
        let data_prefix = match (fields.path("data_prefix")?, fields.path("prefix")?) {
            (Some(prefix), _) => key_in("data_prefix", &prefix, "data_bucket", &data_bucket)?,
            (None, Some(prefix)) => key_in("prefix", &prefix, "data_bucket", &data_bucket)?,
            (None, None) => return Err(missing("prefix", "the folder that holds the partitions")),
        };
        let result_path = match fields.path("result_path")? {
            Some(path) => {
                let path = key_in("result_path", &path, "bucket", &bucket)?;
                as_folder(&path).trim_end_matches('/').to_owned()
            }
            None => format!("results/{execution}"),
        };
        let model = fields.path("model")?.map(|key| key_in("model", &key, "bucket", &bucket)).transpose()?;
        let batch_size = fields
            .integer("batch_size", BATCH_SIZES)?
            .ok_or_else(|| missing("batch_size", "the number of galaxies per prediction, for example 512"))?;
        let payload = Self {
            data_bucket,
            data_prefix: data_prefix.trim_matches('/').to_owned(),
            requester_pays: fields.boolean("requester_pays")?.unwrap_or(false),
            batch_size,
            world_size: fields.integer("world_size", WORLD_SIZES)?,
            file_limit: fields.integer("file_limit", FILE_LIMITS)?,
            model: model.map(|key| key.trim_start_matches('/').to_owned()),
            result_path,
            engine: fields.text("engine")?.unwrap_or_else(|| DEFAULT_ENGINE.to_owned()),
            precision: fields.precision("precision")?.unwrap_or_default(),
            tolerated_failure_percentage: fields.number("tolerated_failure_percentage")?.unwrap_or(0.0),
            max_concurrency: fields.integer("max_concurrency", CONCURRENCIES)?.unwrap_or(0),
            levels: fields.boolean("levels")?.unwrap_or(false),
            overwrite: fields.boolean("overwrite")?.unwrap_or(false),
            bucket,
        };
        payload.check()?;
        Ok((payload, warnings))
    }

    /// Checks what every payload keeps to, however it came to be.
    ///
    /// # Errors
    /// [`Error::BadPayload`], naming the field.
    pub fn check(&self) -> Result<()> {
        for (name, bucket) in [("bucket", &self.bucket), ("data_bucket", &self.data_bucket)] {
            if !is_bucket_name(bucket) {
                return Err(Error::BadPayload(format!("`{name}` must be the name of a bucket, found {bucket:?}")));
            }
        }
        let path = &self.result_path;
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::BadPayload(format!(
                "`result_path` must be a folder such as \"results/first-run\", found {path:?}"
            )));
        }
        if self.model.as_ref().is_some_and(String::is_empty) {
            return Err(Error::BadPayload("`model` must be the key of a model".into()));
        }
        let integers = [
            ("batch_size", Some(self.batch_size), BATCH_SIZES),
            ("world_size", self.world_size, WORLD_SIZES),
            ("file_limit", self.file_limit, FILE_LIMITS),
            ("max_concurrency", Some(self.max_concurrency), CONCURRENCIES),
        ];
        for (name, value, allowed) in integers {
            if let Some(value) = value.filter(|value| !allowed.contains(value)) {
                return Err(out_of_bounds(name, allowed, &value.into()));
            }
        }
        // This crate knows no engine. The functions that plan are to refuse what every rank would fail at.
        if self.precision != Precision::F32 && self.engine != DEFAULT_ENGINE {
            return Err(Error::BadPayload(format!(
                "`precision` can be \"{}\" where `engine` is \"{DEFAULT_ENGINE}\" alone, found the engine {:?}",
                self.precision, self.engine
            )));
        }
        if !(0.0..=100.0).contains(&self.tolerated_failure_percentage) {
            return Err(Error::BadPayload(format!(
                "`tolerated_failure_percentage` must lie between 0 and 100, found {}",
                self.tolerated_failure_percentage
            )));
        }
        Ok(())
    }

    /// The store of the partitions.
    pub fn data_store(&self, stores: &dyn Stores) -> Arc<dyn ObjectStore> {
        match self.requester_pays {
            true => stores.bucket_at_own_cost(&self.data_bucket),
            false => stores.bucket(&self.data_bucket),
        }
    }

    /// The levels whose quantiles the catalogue has, if the model is calibrated.
    pub(crate) fn level_set(&self) -> LevelSet {
        if self.levels { LevelSet::All } else { LevelSet::Five }
    }

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
            ("precision", shown(Some(&theirs.precision.name())), shown(Some(&self.precision.name()))),
            ("levels", shown(Some(&theirs.levels)), shown(Some(&self.levels))),
        ]
        .into_iter()
        .filter(|(_, theirs, ours)| theirs != ours)
        .map(|(field, theirs, ours)| format!("`{field}` ({theirs} there, {ours} here)"))
        .collect()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Self::deserialize(deserializer)?;
        payload.check().map_err(D::Error::custom)?;
        Ok(payload)
    }
}

/// The state machine that commands use if they are told no other.
pub const DEFAULT_MACHINE: &str = "cosmic-redshift";

/// Whether a field holds a text: `--set prefix=2024` means a folder of this name, and no number.
pub fn is_text(name: &str) -> bool {
    ["bucket", "prefix", "data_bucket", "data_prefix", "model", "result_path", "engine", "precision"].contains(&name)
}

/// The name of a bucket that is given as one, or as `s3://name` or `arn:aws:s3:::name`.
fn bucket_name(field: &str, given: &str) -> Result<String> {
    let said = match split_address(given) {
        Ok((name, folder)) if folder.trim_matches('/').is_empty() => return Ok(name.to_owned()),
        Ok((name, _)) => {
            format!(
                "has a folder in it: write {name:?}, and the folder into `prefix` or `result_path`, which are for it"
            )
        }
        Err(said) => said,
    };
    Err(Error::BadPayload(format!("`{field}` must be the name of a bucket, found {given:?}, which {said}")))
}

/// The key in a bucket that is given as one, or with the bucket as `s3://bucket/key` or `arn:aws:s3:::bucket/key`.
fn key_in(field: &str, given: &str, bucket_field: &str, bucket: &str) -> Result<String> {
    if !is_in_s3(given) {
        return Ok(given.to_owned());
    }
    let said = match split_address(given) {
        Ok((named, key)) if named == bucket => return Ok(key.to_owned()),
        Ok(_) => "lies in another: name that bucket there, or the key alone here".to_owned(),
        Err(said) => said,
    };
    Err(Error::BadPayload(format!(
        "`{field}` must lie in the bucket of `{bucket_field}`, {bucket}: found {given:?}, which {said}"
    )))
}

/// Refuses unknown names, and collects one warning for those that mean nothing.
fn check_names(object: &Map<String, Value>) -> Result<Vec<String>> {
    let mut idle = Vec::new();
    for name in object.keys().map(String::as_str) {
        if WITHOUT_MEANING.contains(&name) {
            idle.push(format!("`{name}`"));
        } else if !FIELDS.contains(&name) && !name.starts_with(STEP_FUNCTIONS_PREFIX) {
            let likeness = |field: &str| strsim::jaro_winkler(field, &name.to_lowercase());
            let nearest = FIELDS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let hint = nearest
                .filter(|field| likeness(field) >= ALIKE)
                .map(|field| format!(": did you mean `{field}`?"))
                .unwrap_or_default();
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

/// What was found where something else was wanted, for a message.
pub fn kind(value: &Value) -> String {
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

fn out_of_bounds(name: &str, allowed: RangeInclusive<u64>, found: &Value) -> Error {
    let (low, high) = allowed.into_inner();
    let bound = if high == u64::MAX { "upwards".to_owned() } else { format!("to {high}") };
    wrong(name, format_args!("a whole number from {low} {bound}"), found)
}

/// A number that has no fraction, such as 512 or 512.0.
fn whole(number: f64) -> Option<u64> {
    // Above 2⁵³, numbers with a point are no longer each whole number.
    (number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
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

    fn precision(&self, name: &str) -> Result<Option<Precision>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let precision = value.as_str().and_then(|text| text.trim().parse().ok());
        precision.map(Some).ok_or_else(|| wrong(name, "\"f32\" or \"int8\"", value))
    }

    fn required_text(&self, name: &str, what: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name, what))
    }

    /// A text that names a folder or file, which may be a number.
    fn path(&self, name: &str) -> Result<Option<String>> {
        let number = match self.get(name) {
            Some(Value::Number(number)) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            _ => None,
        };
        number.map_or_else(|| self.text(name), |number| Ok(Some(number.to_string())))
    }

    fn integer(&self, name: &str, allowed: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
            }
            _ => None,
        };
        match number {
            Some(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(out_of_bounds(name, allowed, value)),
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
        assert_eq!((payload.engine.as_str(), payload.precision), ("native", Precision::F32));
        assert!(!payload.overwrite);
    }

    #[test]
    fn a_resolved_payload_parses_back() {
        let payload = parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "engine": "tch"})).unwrap();
        let text = serde_json::to_string(&payload).unwrap();
        assert_eq!(serde_json::from_str::<Payload>(&text).unwrap(), payload);
    }

    #[test]
    fn a_precision_is_known_by_its_name_and_is_of_one_engine() {
        let with = |precision: Value, engine: &str| {
            parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "precision": precision, "engine": engine}))
        };
        assert_eq!(with(json!("int8"), "native").unwrap().precision, Precision::Int8);
        assert_eq!(with(Value::Null, "tch").unwrap().precision, Precision::F32);
        for unknown in [json!("fp16"), json!("INT8"), json!(8), json!("")] {
            let said = with(unknown, "native").unwrap_err().to_string();
            assert!(said.contains("`precision` must be \"f32\" or \"int8\", found"), "{said}");
        }
        let said = with(json!("int8"), "tch").unwrap_err().to_string();
        assert!(said.contains("`precision`") && said.contains("`engine`") && said.contains("\"tch\""), "{said}");
    }

    #[test]
    fn a_payload_of_a_version_without_precisions_was_computed_in_f32() {
        let payload = parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8})).unwrap();
        let mut written = serde_json::to_value(&payload).unwrap();
        assert_eq!(written.as_object_mut().unwrap().remove("precision"), Some(json!("f32")));
        let read: Payload = serde_json::from_value(written).unwrap();
        assert!(read.differences(&payload).is_empty());
        let other = Payload { precision: Precision::Int8, ..payload };
        assert_eq!(read.differences(&other), ["`precision` (\"int8\" there, \"f32\" here)"]);
    }

    #[test]
    fn an_unknown_field_names_the_nearest_known_one() {
        let said = message(json!({"bucket": "b", "prefix": "p", "batchsize": 8}));
        assert!(said.contains("`batchsize`") && said.contains("did you mean `batch_size`"), "{said}");
        let said = message(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "worldsize": 2}));
        assert!(said.contains("did you mean `world_size`"), "{said}");
    }

    #[test]
    fn a_name_that_is_like_none_gets_no_hint() {
        for name in ["colour", "nodes", "AWS_REGION"] {
            let said = message(json!({"bucket": "b", "prefix": "p", "batch_size": 8, name: 1}));
            assert!(said.contains(name) && !said.contains("did you mean"), "{said}");
        }
    }

    #[test]
    fn what_tools_write_is_taken() {
        let nested = json!({
            "bucket": "b", "prefix": 2024, "batch_size": 512.0, "world_size": "8.0", "file_limit": 3e1,
            "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:aws:states:us-east-1:1:execution:outer:1"
        });
        let (payload, warnings) = Payload::parse(&nested, "run-1").unwrap();
        assert_eq!((payload.batch_size, payload.world_size, payload.file_limit), (512, Some(8), Some(30)));
        assert_eq!((payload.data_prefix.as_str(), warnings.len()), ("2024", 0));
        for wrong in [json!(512.5), json!("512.5"), json!(-1.0), json!(1e300), json!("NaN"), json!("inf")] {
            let said = message(json!({"bucket": "b", "prefix": "p", "batch_size": wrong}));
            assert!(said.contains("`batch_size` must be a whole number"), "{said}");
        }
    }

    #[test]
    fn addresses_are_taken_apart_or_refused_in_a_sentence() {
        let payload = parse(json!({
            "bucket": "arn:aws:s3:::results", "data_bucket": "s3://sky/", "prefix": "s3://sky/25MB/", "batch_size": 8,
            "model": "s3://results/models/a.pt", "result_path": "s3://results/mine/1"
        }))
        .unwrap();
        assert_eq!((payload.bucket.as_str(), payload.data_bucket.as_str()), ("results", "sky"));
        assert_eq!((payload.data_prefix.as_str(), payload.result_path.as_str()), ("25MB", "mine/1"));
        assert_eq!(payload.model.as_deref(), Some("models/a.pt"));
        for (field, value) in [
            ("bucket", "s3://results/mine"),
            ("bucket", "arn:aws:s3:eu-west-1:123456789012:accesspoint/sky"),
            ("bucket", "../sky"),
            ("data_bucket", "my bucket"),
            ("data_bucket", "https://sky.s3.eu-west-1.amazonaws.com/25MB/"),
            ("data_bucket", "sky-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias"),
            ("data_bucket", "sky--use1-az4--x-s3"),
            ("prefix", "s3://elsewhere/25MB"),
            ("prefix", "https://b.s3.amazonaws.com/25MB"),
            ("result_path", "s3://elsewhere/1"),
            ("model", "arn:aws:s3:::elsewhere/model.pt"),
        ] {
            let mut input = json!({"bucket": "b", "prefix": "p", "batch_size": 8});
            input[field] = value.into();
            let said = message(input);
            assert!(said.contains(&format!("`{field}` must")) && said.contains(value), "{said}");
        }
    }

    #[test]
    fn a_bucket_with_a_folder_says_where_each_belongs() {
        let said = message(json!({"bucket": "S3://sky/25MB/", "prefix": "p", "batch_size": 8}));
        assert!(said.contains("write \"sky\", and the folder into `prefix`"), "{said}");
        for same in ["S3://sky/", "arn:aws-cn:s3:::sky", "sky/", " sky "] {
            assert_eq!(parse(json!({"bucket": same, "prefix": "p", "batch_size": 8})).unwrap().bucket, "sky");
        }
        let by_arn = json!({"bucket": "sky", "prefix": "arn:aws:s3:::sky/25MB/", "batch_size": 8});
        assert_eq!(parse(by_arn).unwrap().data_prefix, "25MB");
    }

    #[test]
    fn characters_that_mean_something_elsewhere_are_those_of_the_key_here() {
        for prefix in ["a b+c", "50%", "%2F", "α/é", "what? #1 & {2}"] {
            let payload = parse(json!({"bucket": "b", "prefix": prefix, "batch_size": 8})).unwrap();
            assert_eq!(payload.data_prefix, prefix);
            let payload =
                parse(json!({"bucket": "b", "prefix": format!("s3://b/{prefix}/"), "batch_size": 8})).unwrap();
            assert_eq!(payload.data_prefix, prefix);
        }
    }

    #[test]
    fn who_pays_for_reading_changes_no_catalogue() {
        let owner = parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8})).unwrap();
        let requester =
            parse(json!({"bucket": "b", "prefix": "p", "batch_size": 8, "requester_pays": "true"})).unwrap();
        assert!(!owner.requester_pays && requester.requester_pays);
        assert!(owner.differences(&requester).is_empty());
    }

    #[test]
    fn a_payload_that_is_read_back_keeps_to_the_same_bounds() {
        let payload = parse(json!({"bucket": "b", "prefix": "/", "batch_size": 8})).unwrap();
        let written = serde_json::to_value(&payload).unwrap();
        assert_eq!(serde_json::from_value::<Payload>(written.clone()).unwrap(), payload);
        for (field, value) in [
            ("batch_size", json!(0)),
            ("batch_size", json!(4097)),
            ("world_size", json!(100_001)),
            ("result_path", json!("a/../b")),
            ("bucket", json!("../b")),
            ("tolerated_failure_percentage", json!(1e9)),
        ] {
            let mut changed = written.clone();
            changed[field] = value;
            let said = serde_json::from_value::<Payload>(changed).unwrap_err().to_string();
            assert!(said.contains(&format!("`{field}` must")), "{said}");
        }
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
