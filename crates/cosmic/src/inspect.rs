//! `cosmic inspect`: what is in a file, without executing it.

use std::sync::Arc;

use anyhow::{Context, Result};
use astromae::{Config, Model};
use clap::Args;
use serde::Serialize;
use torch_file::{Checkpoint, Dataset, Format, RangeRead, TensorRef, TorchFile};

use crate::{
    Global, Outcome,
    location::Location,
    output::{Printer, bytes, table},
};

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
        /// The configuration, where it is an AstroMAE network; else why it is not.
        astromae: Result<Config, String>,
        parameters: u64,
        tensors: Vec<TensorEntry>,
    },
    Other {
        description: String,
    },
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
        let model = Model::read(reader).await?;
        let entry = |(name, tensor): (&String, &astromae::weights::Tensor)| TensorEntry {
            name: name.clone(),
            dtype: "float".into(),
            shape: tensor.shape.iter().map(|size| *size as u64).collect(),
        };
        let content = Content::Network {
            class: None,
            parameters: model.weights.parameters() as u64,
            tensors: model.weights.iter().map(entry).collect(),
            astromae: Ok(model.config),
        };
        ("safetensors", content)
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

async fn torch_content(file: TorchFile, reader: Arc<dyn RangeRead>) -> Result<Content> {
    if let Ok(checkpoint) = Checkpoint::of(&file)
        && (checkpoint.class.is_some() || checkpoint.tensors.keys().any(|name| name.contains('.')))
    {
        return Ok(Content::Network {
            class: checkpoint.class,
            parameters: checkpoint.tensors.values().filter_map(TensorRef::elements).sum(),
            tensors: checkpoint.tensors.iter().map(|(name, tensor)| TensorEntry::of(name, tensor)).collect(),
            astromae: Model::read(reader).await.map(|model| model.config).map_err(|error| error.to_string()),
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
        Content::Network { class, astromae, parameters, tensors } => {
            let class = class.as_ref().map_or("a state dict".into(), |class| format!("a module of class {class}"));
            let network = match astromae {
                Ok(config) => format!(
                    "AstroMAE: depth {}, width {}, {} heads, patches of {} pixels",
                    config.depth, config.embed_dim, config.hyperparameters.num_heads, config.patch_size
                ),
                Err(reason) => format!("not usable as AstroMAE: {reason}"),
            };
            format!("{class}, {parameters} values\n{network}\n\n{}", list(tensors))
        }
        Content::Other { description } => format!("neither a data set nor a network: {description}\n"),
    }
}
