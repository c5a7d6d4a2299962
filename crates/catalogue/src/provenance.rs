//! What made a catalogue, so that a result can say it.

use crate::{intervals::MadeOf, precision::f32_precision};

/// What made a catalogue. It stands in the metadata of each Parquet file and in Results.json.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Fingerprint of the plan; absent for inference on one machine, which has no plan.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// Key or name of the model's file.
    pub model: String,
    /// SHA-256 of the model's file, in hexadecimal.
    pub model_sha256: String,
    /// What the model was calibrated on, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<MadeOf>,
    /// The engine with its version, instructions and threads.
    pub engine: String,
    /// The numbers that the engine multiplied: `f32` or `int8`.
    #[serde(default = "f32_precision")]
    pub precision: String,
    /// Version of Cosmic that computed it.
    pub version: String,
}
