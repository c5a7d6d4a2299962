//! The calibration that a model's file may carry: tensors named `calibration.*`, and a text in the metadata.
//!
//! What they mean is not this crate's subject, which only keeps them out of the network's tensors and together with it.

use std::collections::BTreeMap;

use safetensors::{Dtype, tensor::TensorView};

use crate::{
    error::{Error, Result},
    weights::Tensor,
};

/// How the names of a calibration's tensors begin.
pub const PREFIX: &str = "calibration.";

/// Key of a calibration's description in a safetensors file's metadata.
pub const METADATA_KEY: &str = "calibration";

/// Key of the checksum of the network that the calibration belongs to, in the same metadata. A network that was trained
/// further, and saved with what else was in its file, is told by it.
pub const NETWORK_KEY: &str = "calibration_network";

/// The CRC-32, in hexadecimal, of the bytes of a network's tensors, in the order of their names.
pub(crate) fn network_checksum<'a>(tensors: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    tensors.for_each(|bytes| hasher.update(bytes));
    format!("{:08x}", hasher.finalize())
}

/// The most values that all tensors of a calibration may have: its tables have a thousand.
const MAX_VALUES: usize = 1 << 20;

/// A calibration as it stands in a file. It is never rounded to the precision of the network's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCalibration {
    /// The tensors by their names in the file, which begin with [`PREFIX`].
    pub tensors: BTreeMap<String, Tensor>,
    /// What it was made of, as JSON.
    pub description: String,
}

impl StoredCalibration {
    /// Takes a calibration out of what a safetensors file lists, if it has one.
    pub(crate) fn take(
        file: &str,
        listed: &mut Vec<(String, TensorView<'_>)>,
        description: Option<String>,
    ) -> Result<Option<Self>> {
        let failed = |reason: String| Error::Calibration { file: file.to_owned(), reason };
        let own: Vec<_> = listed.extract_if(.., |(name, _)| name.starts_with(PREFIX)).collect();
        let description = match (own.is_empty(), description) {
            (true, None) => return Ok(None),
            (true, Some(_)) => return Err(failed("its metadata describe tensors that it does not hold".to_owned())),
            (false, None) => return Err(failed(format!("its metadata lack `{METADATA_KEY}`"))),
            (false, Some(description)) => description,
        };
        let values: usize = own.iter().map(|(_, view)| view.data().len() / size_of::<f32>()).sum();
        if values > MAX_VALUES {
            return Err(failed(format!("its tensors have {values} values, and may have {MAX_VALUES}")));
        }
        let tensors = own.into_iter().map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(failed(format!(
                    "{} has values of type {:?} instead of F32",
                    name.escape_debug(),
                    view.dtype()
                )));
            }
            let data = view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            Ok((name, Tensor { shape: view.shape().to_vec(), data }))
        });
        Ok(Some(Self { tensors: tensors.collect::<Result<_>>()?, description }))
    }
}
