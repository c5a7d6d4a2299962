//! `cosmic inspect`: what is in a file, without executing it.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, bail};
use astromae::{Config, Model};
use clap::Args;
use serde::{Deserialize, Serialize};
use torch_file::{Checkpoint, Dataset, Format, RangeRead, TensorRef, TorchFile};

use crate::{
    Global, Outcome,
    location::Location,
    output::{Printer, bytes, table},
};

/// Of safetensors files, as their own reader has it.
const MAX_HEADER: u64 = 100_000_000;

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// A .pt, .pth or .safetensors file, local or s3://bucket/key.
    file: String,
}

#[derive(Serialize)]
struct Report {
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
    },
    Network {
        class: Option<String>,
        /// What the file says of itself.
        notes: BTreeMap<String, String>,
        #[serde(flatten)]
        configuration: Configuration,
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
    /// The dimensions of an AstroMAE network.
    Astromae(Config),
    /// Why it is none.
    NotAstromae(String),
}

impl Configuration {
    async fn of(reader: Arc<dyn RangeRead>) -> Self {
        match Model::read(reader).await {
            Ok(model) => Self::Astromae(model.config),
            Err(error) => Self::NotAstromae(error.to_string()),
        }
    }
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
        ("safetensors", safetensors_content(reader).await?)
    } else {
        let file = TorchFile::open(Arc::clone(&reader) as Arc<dyn RangeRead>).await?;
        let format = match file.format() {
            Format::Zip => "torch.save (zip)",
            Format::Legacy => "torch.save (legacy)",
        };
        (format, torch_content(file, reader).await?)
    };
    let report = Report { file: location.name(), bytes: size, format, content };
    printer.print(&report, text)?;
    Ok(Outcome::Done)
}

/// What stands in the header of a safetensors file: <https://huggingface.co/docs/safetensors>.
async fn safetensors_content(reader: Arc<dyn RangeRead>) -> Result<Content> {
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
    }
    let start = reader.read(0..8).await?;
    let end = start.first_chunk().map_or(0, |length| u64::from_le_bytes(*length)).saturating_add(8);
    if end > reader.size().min(MAX_HEADER) {
        bail!("{} is not a safetensors file: its header would be {end} bytes long", reader.name());
    }
    let header: Header = serde_json::from_slice(&reader.read(8..end).await?)
        .with_context(|| format!("{} is not a safetensors file", reader.name()))?;
    let entry = |(name, tensor): (String, Tensor)| TensorEntry { name, dtype: tensor.dtype, shape: tensor.shape };
    let tensors: Vec<_> = header.tensors.into_iter().map(entry).collect();
    Ok(Content::Network {
        class: None,
        parameters: tensors.iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum(),
        tensors,
        notes: header.notes.into_iter().filter(|(key, _)| key != "astromae").collect(),
        configuration: Configuration::of(reader).await,
    })
}

async fn torch_content(file: TorchFile, reader: Arc<dyn RangeRead>) -> Result<Content> {
    if let Ok(checkpoint) = Checkpoint::of(&file)
        && (checkpoint.class.is_some() || checkpoint.tensors.keys().any(|name| name.contains('.')))
    {
        return Ok(Content::Network {
            class: checkpoint.class,
            parameters: checkpoint.tensors.values().filter_map(TensorRef::elements).sum(),
            tensors: checkpoint.tensors.iter().map(|(name, tensor)| TensorEntry::of(name, tensor)).collect(),
            notes: BTreeMap::new(),
            configuration: Configuration::of(reader).await,
        });
    }
    let description = format!("{:?}", file.root());
    Ok(match Dataset::of(file).await {
        Ok(dataset) => Content::Dataset {
            rows: dataset.rows(),
            bytes_per_row: dataset.bytes_per_row(),
            tensors: dataset.tensors().map(|(name, tensor)| TensorEntry::of(name, tensor)).collect(),
        },
        // Something else altogether may be looked at; a data set with a fault is an error that names it.
        Err(torch_file::Error::Content { .. }) => Content::Other { description },
        Err(error) => return Err(error.into()),
    })
}

fn text(report: &Report) -> String {
    let head = format!("{}: {}, {}\n", report.file, report.format, bytes(report.bytes));
    let list = |tensors: &[TensorEntry]| {
        let rows: Vec<_> = tensors
            .iter()
            .map(|tensor| vec![tensor.name.clone(), tensor.dtype.clone(), format!("{:?}", tensor.shape)])
            .collect();
        table(&["tensor", "type", "shape"], &rows)
    };
    head + &match &report.content {
        Content::Dataset { rows, bytes_per_row, tensors } => {
            format!("a data set of {rows} galaxies, {bytes_per_row} bytes each\n\n{}", list(tensors))
        }
        Content::Network { class, notes, configuration, parameters, tensors } => {
            let class = class.as_ref().map_or("tensors by name".into(), |class| format!("a module of class {class}"));
            let notes: String = notes.iter().map(|(key, text)| format!("{key}: {text}\n")).collect();
            let network = match configuration {
                Configuration::Astromae(config) => format!(
                    "AstroMAE: depth {}, width {}, {} heads, patches of {} pixels",
                    config.depth, config.embed_dim, config.hyperparameters.num_heads, config.patch_size
                ),
                Configuration::NotAstromae(reason) => format!("not usable as AstroMAE: {reason}"),
            };
            format!("{class}, {parameters} values\n{network}\n{notes}\n{}", list(tensors))
        }
        Content::Other { description } => format!("neither a data set nor a network: {description}\n"),
    }
}
