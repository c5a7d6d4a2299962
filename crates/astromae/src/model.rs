//! Trained networks, from the files they come in: a whole module or a state dict written by `torch.save`, or
//! safetensors.
//!
//! A model is read whole, so that its SHA-256 is that of the very bytes it was made of. Fetching them is the caller's
//! part, who knows where they are and what can go wrong there; nothing here waits for anything.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    path::Path,
};

use bytes::Bytes;
use futures::FutureExt;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};
use torch_file::{Attribute, Checkpoint, FormatError, InMemory, Printable, TorchFile, without_wrappers};

use crate::{
    calibration::{self, StoredCalibration},
    config::{Config, Hyperparameters},
    error::{Error, Result},
    names::name_some,
    safetensors_file::{Encoded, encode},
    selection::{Listed, OnlyNetwork, only_network, remove_second_names, used_tensors},
    weights::{Tensor, Weights},
};

/// Key of the configuration in a safetensors file's metadata.
const METADATA_KEY: &str = "astromae";

/// The size, in bytes, above which a file is no model: the published one is sixty times smaller. Whoever fetches a
/// model from elsewhere refuses a larger one first, with [`Error::TooLarge`].
pub const MAX_MODEL: u64 = 4 << 30;

/// A network with its weights.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network's dimensions, which the weights fit.
    pub config: Config,
    /// The tensors as they were trained, in f32 whichever type the file has.
    pub weights: Weights,
    /// SHA-256 of the file's bytes, in hexadecimal: what a result says made it.
    pub sha256: String,
    /// Free text beside the network: origin, training, metrics. Only safetensors files have it.
    pub metadata: HashMap<String, String>,
    /// How sure its redshifts are, if it was calibrated. Only safetensors files have it.
    pub calibration: Option<StoredCalibration>,
}

/// How [`Model::to_safetensors`] stores values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredPrecision {
    /// Two bytes a value: redshifts move by some 10⁻⁴.
    F16,
    /// Four bytes a value: nothing is lost.
    F32,
}

impl Model {
    /// Reads a whole-module checkpoint or a safetensors file on this machine.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::TooLarge`], and those of [`Model::from_bytes`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref().display().to_string();
        let failed = |source| Error::Read { file: file.clone(), source };
        let size = fs::metadata(&path).map_err(failed)?.len();
        if size > MAX_MODEL {
            return Err(Error::TooLarge { file, size, limit: MAX_MODEL });
        }
        let bytes = fs::read(&path).map_err(failed)?;
        Self::from_bytes(&file, bytes.into())
    }

    /// Makes a model of the bytes of a whole-module checkpoint or a safetensors file. `name` is what errors call the
    /// file.
    ///
    /// # Errors
    /// [`Error`], with the file's or the tensor's name; [`Error::Hyperparameters`] for a bare state dict.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Self> {
        Self::from_bytes_with(name, bytes, None)
    }

    /// Makes a model of the bytes of a file that may be a bare state dict, whose hyperparameters are then `given`.
    ///
    /// # Errors
    /// Those of [`Model::from_bytes`]; [`Error::Contradicted`] where the file itself says something else.
    pub fn from_bytes_with(name: &str, bytes: Bytes, given: Option<Hyperparameters>) -> Result<Self> {
        // A safetensors file starts with its header's length and the header, a JSON object.
        let is_safetensors = bytes.get(8) == Some(&b'{');
        let (sha256, contents) = rayon::join(
            || hex::encode(Sha256::digest(&bytes)),
            || match is_safetensors {
                true => read_safetensors(name, &bytes, given),
                false => read_torch(name, &bytes, given),
            },
        );
        let Contents { config, mut weights, metadata, calibration } = contents?;
        remove_second_names(&mut weights)?;
        if let Some((name, _)) = weights.par_iter().find_first(|(_, tensor)| !are_finite(&tensor.data)) {
            return Err(Error::NotFinite { name: name.clone() });
        }
        let is_negative = |(name, tensor): &(&String, &Tensor)| {
            name.ends_with(".running_var") && tensor.data.iter().any(|value| *value < 0.0)
        };
        if let Some((name, _)) = weights.iter().find(is_negative) {
            return Err(Error::NegativeVariance { name: name.clone() });
        }
        Ok(Self { config, weights, sha256, metadata, calibration })
    }

    /// The smaller precision in which no weight changes.
    pub fn exact_precision(&self) -> StoredPrecision {
        let is_f16 = |value: &f32| half::f16::from_f32(*value).to_f32() == *value;
        match self.weights.par_iter().all(|(_, tensor)| tensor.data.iter().all(is_f16)) {
            true => StoredPrecision::F16,
            false => StoredPrecision::F32,
        }
    }

    /// Encodes the network as a safetensors file, with its configuration, `metadata` and calibration. The same model
    /// gives the same file, byte for byte.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that has no form in JSON.
    pub fn to_safetensors(&self, precision: StoredPrecision, metadata: &HashMap<String, String>) -> Result<Vec<u8>> {
        let failed = |error: serde_json::Error| Error::Config { reason: error.to_string() };
        let in_f32 = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let in_f16 =
            |values: &[f32]| values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
        // The calibration comes first: its tensors are as long as they are in either precision, and begin where an f32
        // may.
        let calibration = self.calibration.iter().flat_map(|calibration| &calibration.tensors);
        let mut tensors: Vec<_> = calibration
            .map(|(name, tensor)| Encoded { name, dtype: "F32", shape: &tensor.shape, bytes: in_f32(&tensor.data) })
            .collect();
        tensors.extend(self.weights.iter().map(|(name, Tensor { shape, data })| match precision {
            StoredPrecision::F16 => Encoded { name, dtype: "F16", shape, bytes: in_f16(data) },
            StoredPrecision::F32 => Encoded { name, dtype: "F32", shape, bytes: in_f32(data) },
        }));
        let own = self.calibration.as_ref().map_or(0, |calibration| calibration.tensors.len());
        let network = calibration::network_checksum(tensors[own..].iter().map(|tensor| &tensor.bytes[..]));
        let config = serde_json::to_string(&self.config).map_err(failed)?;
        let mut header: BTreeMap<&str, &str> =
            metadata.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        header.insert(METADATA_KEY, &config);
        if let Some(calibration) = &self.calibration {
            header.insert(calibration::METADATA_KEY, &calibration.description);
            header.insert(calibration::NETWORK_KEY, &network);
        }
        encode(&tensors, &header).map_err(failed)
    }
}

/// What is read of a file.
struct Contents {
    config: Config,
    weights: Weights,
    metadata: HashMap<String, String>,
    calibration: Option<StoredCalibration>,
}

/// The longest header of a safetensors file that is read, in bytes: that of the published network has 60,000.
pub const MAX_SAFETENSORS_HEADER: u64 = 8 << 20;

fn read_safetensors(file: &str, bytes: &Bytes, given: Option<Hyperparameters>) -> Result<Contents> {
    let failed = |source| Error::Safetensors { file: file.to_owned(), source };
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if length > MAX_SAFETENSORS_HEADER {
        return Err(failed(SafeTensorError::HeaderTooLarge));
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(failed)?;
    let mut metadata = header.metadata().clone().unwrap_or_default();
    let said: Option<Hyperparameters> = metadata
        .remove(METADATA_KEY)
        .map(|config| serde_json::from_str(&config))
        .transpose()
        .map_err(|error| Error::Metadata { file: file.to_owned(), reason: error.to_string() })?;
    let hyperparameters = said_or_given(file, said.map_or([None; 3], |said| values(said).map(Some)), given)?;
    let mut listed = SafeTensors::deserialize(bytes).map_err(failed)?.tensors();
    let calibration = StoredCalibration::take(file, &mut listed, metadata.remove(calibration::METADATA_KEY))?;
    let calibrated = metadata.remove(calibration::NETWORK_KEY);
    let listed = listed.into_iter().map(|(name, view)| {
        let is_float = !matches!(
            view.dtype(),
            Dtype::BOOL
                | Dtype::U8
                | Dtype::I8
                | Dtype::U16
                | Dtype::I16
                | Dtype::U32
                | Dtype::I32
                | Dtype::U64
                | Dtype::I64
        );
        (name, Listed { shape: view.shape().to_vec(), is_float, tensor: view })
    });
    let OnlyNetwork { prefix, listed, others } = only_network(without_wrappers(listed.collect()))?;
    warn_of_others(file, &prefix, &others, save_prefix);
    let (config, used) = used_tensors(listed, hyperparameters)?;
    if let (Some(_), Some(calibrated)) = (&calibration, calibrated)
        && calibrated != calibration::network_checksum(used.values().map(|listed| listed.tensor.data()))
    {
        let reason = "it is that of another network: calibrate this one (`cosmic calibrate`)".to_owned();
        return Err(Error::Calibration { file: file.to_owned(), reason });
    }
    let weights =
        used.into_par_iter().map(|(name, Listed { shape, tensor, .. })| match decode(tensor.dtype(), tensor.data()) {
            Some(data) => Ok((name, Tensor { shape, data })),
            None => {
                let expected = format!("values of type F16, BF16, F32 or F64 instead of {:?}", tensor.dtype());
                Err(Error::Shape { name, found: shape, expected })
            }
        });
    Ok(Contents { config, weights: weights.collect::<Result<_>>()?, metadata, calibration })
}

fn decode(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let two = || bytes.as_chunks::<2>().0;
    Some(match dtype {
        Dtype::F16 => decode_f16(two()),
        Dtype::BF16 => two().iter().map(|chunk| half::bf16::from_le_bytes(*chunk).to_f32()).collect(),
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect(),
        Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk) as f32).collect(),
        _ => return None,
    })
}

/// Looks at all values, also behind one that is not finite: without an early exit, the compiler uses vectors.
fn are_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// Converts some values at a time, which `half` does with the processor's own instruction where there is one: loading a
/// model is part of a cold start.
fn decode_f16(bytes: &[[u8; 2]]) -> Vec<f32> {
    const STEP: usize = 512;
    let mut values = vec![0.0; bytes.len()];
    let mut buffer = [half::f16::ZERO; STEP];
    for (bytes, values) in bytes.chunks(STEP).zip(values.chunks_mut(STEP)) {
        let halves = &mut buffer[..bytes.len()];
        for (half, bytes) in halves.iter_mut().zip(bytes) {
            *half = half::f16::from_le_bytes(*bytes);
        }
        halves.convert_to_f32_slice(values);
    }
    values
}

fn read_torch(file: &str, bytes: &Bytes, given: Option<Hyperparameters>) -> Result<Contents> {
    let torch = ready(TorchFile::open(InMemory::new(file, bytes.clone())))?;
    let Checkpoint { tensors, attributes, place, others, .. } = Checkpoint::of(&torch)?;
    warn_of_others(file, &place, &others, save_place);
    let listed = tensors.into_iter().map(|(name, tensor)| {
        let shape = tensor.shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
        (name, Listed { shape, is_float: tensor.dtype().is_float(), tensor })
    });
    let OnlyNetwork { prefix, listed, others } = only_network(listed.collect())?;
    warn_of_others(file, &prefix, &others, save_prefix);
    let attributes = attributes.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, value)));
    let is_batch_norm = |layer: &str| listed.contains_key(&format!("{layer}.running_mean"));
    let hyperparameters = find_hyperparameters(file, attributes, is_batch_norm, given)?;
    let (config, used) = used_tensors(listed, hyperparameters)?;
    // Tensors may share a storage, and some do. What is made of a file is still not much larger than the file.
    let sizes = used.values().map(|listed| listed.tensor.bytes());
    let claimed = sizes.fold(0_u64, |sum, bytes| sum.saturating_add(bytes.unwrap_or(u64::MAX)));
    if claimed > 2 * bytes.len() as u64 || used.values().any(|listed| !listed.tensor.fits_its_storage()) {
        return Err(Error::Expanded { file: file.to_owned(), claimed });
    }
    let mut weights = Weights::default();
    for (name, Listed { shape, is_float, tensor }) in used {
        if !is_float {
            let expected = format!("values of a floating-point type instead of {}", tensor.dtype().name());
            return Err(Error::Shape { name, found: shape, expected });
        }
        weights.insert(name, shape, ready(torch.stored(&tensor)?.read())?);
    }
    Ok(Contents { config, weights, metadata: HashMap::new(), calibration: None })
}

/// Says that a file holds more than one network, which one is used, and how another one is saved.
fn warn_of_others(file: &str, taken: &str, others: &[String], save: impl Fn(&str) -> String) {
    if let [first, ..] = others {
        let names: Vec<&str> = others.iter().map(String::as_str).collect();
        tracing::warn!(
            "{file} holds {} networks, of which {} is used, and not {}: to use another, save it alone, `{}`",
            others.len() + 1,
            if taken.is_empty() { "the one without a prefix".to_owned() } else { Printable(taken).to_string() },
            name_some(&names),
            save(&Printable(first).to_string())
        );
    }
}

/// The line of Python that saves what lies at a place of a file.
fn save_place(place: &str) -> String {
    format!("torch.save(torch.load(path, weights_only=False){place}, new_path)")
}

/// The line of Python that saves the network whose names begin with a prefix, of all tensors by name.
fn save_prefix(prefix: &str) -> String {
    format!(
        "torch.save({{name.removeprefix(\"{prefix}\"): tensor for name, tensor in tensors.items() if \
         name.startswith(\"{prefix}\")}}, new_path)"
    )
}

/// The result of reading from memory. `torch-file` waits for its reader alone, and [`InMemory`] answers at once, so
/// there is nothing to wait for; an executor's `block_on`, in contrast, panics where the caller is in such a one.
#[expect(clippy::expect_used, reason = "every test that reads a checkpoint would meet it")]
fn ready<T>(future: impl Future<Output = Result<T, torch_file::Error<Infallible>>>) -> Result<T, FormatError> {
    future.now_or_never().expect("a reader in memory never waits").map_err(|error| match error {
        torch_file::Error::Format(error) => error,
        torch_file::Error::Open { source, .. } | torch_file::Error::Read { source, .. } => match source {},
    })
}

/// Takes the hyperparameters from a module's attributes, each of which must be the same in all layers, or else those
/// that were given.
fn find_hyperparameters<'a>(
    file: &str,
    attributes: impl Iterator<Item = (&'a str, &'a Attribute)>,
    is_batch_norm: impl Fn(&str) -> bool,
    given: Option<Hyperparameters>,
) -> Result<Hyperparameters> {
    let mut heads = CommonValue::default();
    let (mut layer_norm, mut batch_norm) = (CommonValue::default(), CommonValue::default());
    for (name, attribute) in attributes {
        let (layer, attribute_name) = name.rsplit_once('.').unwrap_or(("", name));
        match (attribute_name, attribute) {
            ("num_heads", Attribute::Int(value)) => heads.add(name, *value as f64)?,
            ("eps", Attribute::Float(value)) if is_batch_norm(layer) => {
                batch_norm.add(name, *value)?;
            }
            ("eps", Attribute::Float(value)) => layer_norm.add(name, *value)?,
            ("approximate", Attribute::Text(text)) if text != "none" => {
                return Err(Error::Config { reason: format!("{layer} is an approximate GELU ({text})") });
            }
            _ => {}
        }
    }
    said_or_given(file, [heads.0, layer_norm.0, batch_norm.0], given)
}

/// Number of heads, and the eps of layer and batch norms.
fn values(of: Hyperparameters) -> [f64; 3] {
    [of.num_heads as f64, of.layer_norm_eps, of.batch_norm_eps]
}

/// The hyperparameters, in the order of [`values`], as the file says them, or as they were given where it does not.
fn said_or_given(file: &str, said: [Option<f64>; 3], given: Option<Hyperparameters>) -> Result<Hyperparameters> {
    let value = |index: usize, what: &str| {
        let (file, what) = (file.to_owned(), what.to_owned());
        match (said[index], given.map(|given| values(given)[index])) {
            (Some(found), Some(given)) if found != given => Err(Error::Contradicted { file, what, found, given }),
            (said, given) => said.or(given).ok_or(Error::Hyperparameters { file, what }),
        }
    };
    Ok(Hyperparameters {
        num_heads: value(0, "the number of attention heads")? as usize,
        layer_norm_eps: value(1, "the eps of its layer norms")?,
        batch_norm_eps: value(2, "the eps of its batch norms")?,
    })
}

/// An attribute that must have one value in all layers; `None` before the first.
#[derive(Default)]
struct CommonValue(Option<f64>);

impl CommonValue {
    fn add(&mut self, name: &str, value: f64) -> Result<()> {
        match self.0.replace(value) {
            Some(other) if other != value => {
                Err(Error::Config { reason: format!("{name} is {value}, elsewhere it is {other}") })
            }
            _ => Ok(()),
        }
    }
}
