//! Writing safetensors (<https://huggingface.co/docs/safetensors>). The library's own writer takes the metadata from a
//! hash map, whose order changes from run to run, and with it the SHA-256 by which results name their model.

use std::collections::BTreeMap;

use serde::Serialize;

/// A tensor to be written.
pub(crate) struct Encoded<'a> {
    pub(crate) name: &'a str,
    /// The format's name of the type of the values, such as `F16`.
    pub(crate) dtype: &'static str,
    pub(crate) shape: &'a [usize],
    /// The values, little-endian.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// Encodes tensors, in the order given, with a header whose entries are sorted by name.
pub(crate) fn encode(tensors: &[Encoded], metadata: &BTreeMap<&str, &str>) -> serde_json::Result<Vec<u8>> {
    let mut end = 0;
    let mut entry = |tensor: &Encoded<'_>| {
        let start = end;
        end += tensor.bytes.len();
        [start, end]
    };
    let entries = tensors
        .iter()
        .map(|tensor| (tensor.name, Entry { dtype: tensor.dtype, shape: tensor.shape, data_offsets: entry(tensor) }));
    let mut header = serde_json::to_vec(&Header { metadata, tensors: entries.collect() })?;
    // The values begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.append(&mut header);
    tensors.iter().for_each(|tensor| bytes.extend(&tensor.bytes));
    Ok(bytes)
}
