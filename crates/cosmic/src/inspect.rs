//! `cosmic inspect`: what is in a file, without executing it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use astromae::{Config, MAX_MODEL, MAX_SAFETENSORS_HEADER, Model, calibration};
use clap::Args;
use galaxies::Dataset;
use pipeline::{
    calibration::calibration_of,
    storage::{ObjectReader, explain},
};
use serde::{Deserialize, Serialize};
use torch_file::{Checkpoint, Format, Printable, RangeRead, TensorRef, TorchFile, escaped};

use crate::{
    calibration_summary::CalibrationSummary,
    global::Global,
    location::Location,
    outcome::Outcome,
    output::{Printer, bytes, table},
};

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// A .pt, .pth, .npz or .safetensors file, local or s3://bucket/key.
    file: String,
}

#[derive(Serialize)]
struct InspectOutput {
    file: String,
    bytes: u64,
    format: &'static str,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(tag = "content", rename_all = "snake_case")]
enum Content {
    Dataset {
        rows: u64,
        bytes_per_row: u64,
        tensors: Vec<TensorEntry>,
        /// What else the file says of each galaxy, which the catalogue will have.
        columns: Vec<ColumnEntry>,
        /// What else is in the file, and is not read.
        unused: Vec<String>,
    },
    Network {
        class: Option<String>,
        /// Free text in the file: origin, training, metrics.
        notes: BTreeMap<String, String>,
        #[serde(flatten)]
        configuration: Configuration,
        /// What the model was calibrated on, if it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        calibration: Option<Box<CalibrationSummary>>,
        parameters: u64,
        tensors: Vec<TensorEntry>,
    },
    Other {
        description: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Configuration {
    /// The dimensions of the network.
    Astromae(Config),
    /// Why it is no AstroMAE network.
    NotAstromae(String),
}

impl Configuration {
    /// What the network of a file is, and its calibration.
    async fn of(reader: &ObjectReader) -> Result<(Self, Option<Box<CalibrationSummary>>)> {
        let (file, size) = (reader.name().to_owned(), reader.size());
        let model = match size {
            ..=MAX_MODEL => Model::from_bytes(&file, reader.read_all().await?),
            _ => Err(astromae::Error::TooLarge { file, size, limit: MAX_MODEL }),
        };
        let calibrated = model.map_err(|error| explain(&error)).and_then(|model| {
            let calibration = calibration_of(&model).map_err(|error| explain(&error))?;
            Ok((model.config, calibration))
        });
        Ok(match calibrated {
            Ok((config, calibration)) => {
                (Self::Astromae(config), calibration.map(|calibration| Box::new(CalibrationSummary::of(&calibration))))
            }
            Err(reason) => (Self::NotAstromae(reason), None),
        })
    }
}

#[derive(Serialize)]
struct ColumnEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct TensorEntry {
    name: String,
    dtype: String,
    shape: Vec<u64>,
}

impl TensorEntry {
    fn of(name: &str, tensor: &TensorRef) -> Self {
        Self { name: name.to_owned(), dtype: tensor.dtype().name().to_owned(), shape: tensor.shape.clone() }
    }
}

pub(crate) async fn inspect(args: InspectArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let location = Location::parse(&args.file, global).await?;
    let reader = location.reader().await?;
    let start = reader.read(0..reader.size().min(9)).await.with_context(|| format!("failed to read {}", args.file))?;
    let size = reader.size();
    let (format, content) = if start.get(8) == Some(&b'{') {
        ("safetensors", safetensors_content(&reader).await?)
    } else {
        let file = TorchFile::open(reader.clone()).await?;
        let format = match file.format() {
            Format::Zip => "torch.save (zip)",
            Format::Legacy => "torch.save (legacy)",
            Format::Npz => "numpy.savez",
        };
        (format, torch_content(&file, &reader).await?)
    };
    let output = InspectOutput { file: location.name(), bytes: size, format, content };
    printer.print(&output, text)?;
    Ok(Outcome::Done)
}

/// What stands in the header of a safetensors file: <https://huggingface.co/docs/safetensors>.
async fn safetensors_content(reader: &ObjectReader) -> Result<Content> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__", default)]
        notes: BTreeMap<String, String>,
        #[serde(flatten)]
        tensors: BTreeMap<String, Tensor>,
    }
    #[derive(Deserialize)]
    struct Tensor {
        dtype: String,
        shape: Vec<u64>,
        data_offsets: (u64, u64),
    }
    let start = reader.read(0..8).await?;
    let end = start.first_chunk().map_or(0, |length| u64::from_le_bytes(*length)).saturating_add(8);
    if end > reader.size().min(MAX_SAFETENSORS_HEADER) {
        bail!("{} is not a safetensors file: its header would be {end} bytes long", reader.name());
    }
    let header: Header = serde_json::from_slice(&reader.read(8..end).await?)
        .with_context(|| format!("{} is not a safetensors file", reader.name()))?;
    let data = header.tensors.values().map(|tensor| tensor.data_offsets.1).max().unwrap_or(0);
    let whole = end.saturating_add(data);
    if whole != reader.size() {
        bail!(
            "{} has {} bytes, and its header speaks of {whole}: it is cut short, or not what was written",
            reader.name(),
            reader.size()
        );
    }
    let entry = |(name, tensor): (String, Tensor)| TensorEntry { name, dtype: tensor.dtype, shape: tensor.shape };
    let tensors: Vec<_> = header.tensors.into_iter().map(entry).collect();
    let of_network = tensors.iter().filter(|tensor| !tensor.name.starts_with(calibration::PREFIX));
    let parameters = count(of_network.map(|tensor| &tensor.shape[..]));
    let (configuration, calibration) = Configuration::of(reader).await?;
    let is_note = |key: &str| !["astromae", calibration::METADATA_KEY, calibration::NETWORK_KEY].contains(&key);
    Ok(Content::Network {
        class: None,
        parameters,
        tensors,
        notes: header.notes.into_iter().filter(|(key, _)| is_note(key)).collect(),
        configuration,
        calibration,
    })
}

async fn torch_content(file: &TorchFile<ObjectReader>, reader: &ObjectReader) -> Result<Content> {
    if let Ok(checkpoint) = Checkpoint::of(file)
        && (checkpoint.class.is_some() || checkpoint.tensors.keys().any(|name| name.contains('.')))
    {
        let (configuration, calibration) = Configuration::of(reader).await?;
        return Ok(Content::Network {
            class: checkpoint.class,
            parameters: count(checkpoint.tensors.values().map(|tensor| &tensor.shape[..])),
            tensors: checkpoint.tensors.iter().map(|(name, tensor)| TensorEntry::of(name, tensor)).collect(),
            notes: BTreeMap::new(),
            configuration,
            calibration,
        });
    }
    Ok(match Dataset::of(file) {
        Ok(dataset) => Content::Dataset {
            rows: dataset.rows(),
            bytes_per_row: dataset.bytes_per_row(),
            tensors: dataset.tensors().map(|(name, tensor)| TensorEntry::of(name, tensor)).collect(),
            columns: dataset
                .columns()
                .iter()
                .map(|column| ColumnEntry { name: column.name.clone(), kind: column.kind.describe() })
                .collect(),
            unused: dataset.unused().to_vec(),
        },
        // Something else altogether may be looked at; a data set with a fault is an error that names it.
        Err(galaxies::Error::Content { found, .. }) => Content::Other { description: found },
        Err(error) => return Err(error.into()),
    })
}

/// Counts the values of tensors. The shapes are what a file says, which may be anything.
fn count<'a>(shapes: impl Iterator<Item = &'a [u64]>) -> u64 {
    let values = shapes.map(|shape| shape.iter().fold(1_u64, |values, size| values.saturating_mul(*size)));
    values.fold(0, u64::saturating_add)
}

fn text(output: &InspectOutput) -> String {
    let head = format!("{}: {}, {}\n", output.file, output.format, bytes(output.bytes));
    let list = |tensors: &[TensorEntry]| {
        let rows: Vec<_> = tensors
            .iter()
            .map(|tensor| {
                vec![
                    Printable(&tensor.name).to_string(),
                    Printable(&tensor.dtype).to_string(),
                    format!("{:?}", tensor.shape),
                ]
            })
            .collect();
        table(&["tensor", "type", "shape"], &rows)
    };
    head + &match &output.content {
        Content::Dataset { rows, bytes_per_row, tensors, columns, unused } => {
            let own: Vec<_> =
                columns.iter().map(|column| vec![Printable(&column.name).to_string(), column.kind.clone()]).collect();
            let own = match own.is_empty() {
                true => String::new(),
                false => format!("\n{}", table(&["carried into the catalogue", "type"], &own)),
            };
            let unused = match unused.is_empty() {
                true => String::new(),
                false => format!("not read: {}\n", unused.join(", ")),
            };
            format!("a data set of {rows} galaxies, {bytes_per_row} bytes each\n{unused}\n{}{own}", list(tensors))
        }
        Content::Network { class, notes, configuration, calibration, parameters, tensors } => {
            let class = class
                .as_ref()
                .map_or("tensors by name".into(), |class| format!("a module of class {}", Printable(class)));
            let notes: String =
                notes.iter().map(|(key, text)| format!("{}: {}\n", escaped(key), escaped(text))).collect();
            let network = match configuration {
                Configuration::Astromae(config) => format!(
                    "AstroMAE: depth {}, width {}, {} heads, patches of {} pixels",
                    config.depth, config.embed_dim, config.hyperparameters.num_heads, config.patch_size
                ),
                Configuration::NotAstromae(reason) => format!("not usable as AstroMAE: {reason}"),
            };
            let calibration = calibration.as_ref().map(|calibration| calibration.text()).unwrap_or_default();
            format!("{class}, {parameters} values\n{network}\n{calibration}{notes}\n{}", list(tensors))
        }
        Content::Other { description } => format!("neither a data set nor a network: {description}\n"),
    }
}
