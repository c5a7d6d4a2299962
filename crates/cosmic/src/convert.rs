//! `cosmic convert`: a checkpoint as safetensors, which load faster and hold their own configuration.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context, Result, bail};
use astromae::{Hyperparameters, Model, StoredPrecision, calibration};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    global::Global,
    location::{Location, on_this_machine},
    outcome::Outcome,
    output::{Printer, bytes},
    whole_file::{WholeFile, show},
};

#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// The checkpoint, local or s3://bucket/key: a whole module, a state dict or safetensors.
    #[arg(long, value_name = "FILE")]
    model: String,
    /// The safetensors file to write.
    #[arg(long, value_name = "FILE", value_parser = on_this_machine)]
    out: PathBuf,
    /// Two or four bytes a weight; f16 moves redshifts by some 1e-4.
    #[arg(long, value_enum, default_value = "f16")]
    precision: PrecisionArg,
    /// A note for the file's metadata, such as origin=… (may be given several times).
    #[arg(long, value_name = "KEY=TEXT")]
    note: Vec<String>,
    /// Attention heads, which a bare state dict or safetensors of one do not say.
    #[arg(long, requires_all = ["layer_norm_eps", "batch_norm_eps"])]
    num_heads: Option<usize>,
    /// Epsilon of its layer norms, which a bare state dict or safetensors of one do not say (published: 1e-6).
    #[arg(long, requires = "num_heads")]
    layer_norm_eps: Option<f64>,
    /// Epsilon of its batch norms, which a bare state dict or safetensors of one do not say (published: 1e-5).
    #[arg(long, requires = "num_heads")]
    batch_norm_eps: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum PrecisionArg {
    F16,
    F32,
}

#[derive(Serialize)]
struct ConvertOutput {
    out: String,
    bytes: u64,
    parameters: u64,
    source_sha256: String,
}

pub(crate) async fn convert(args: ConvertArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let given = match (args.num_heads, args.layer_norm_eps, args.batch_norm_eps) {
        (Some(num_heads), Some(layer_norm_eps), Some(batch_norm_eps)) => {
            Some(Hyperparameters { num_heads, layer_norm_eps, batch_norm_eps })
        }
        _ => None,
    };
    let whole = WholeFile::create_model(&args.out)?;
    let location = Location::parse(&args.model, global).await?;
    let model = Model::from_bytes_with(&location.name(), location.read_model().await?, given)?;
    let mut notes: HashMap<String, String> = model.metadata.clone();
    for note in &args.note {
        let Some((key, text)) = note.split_once('=') else {
            bail!("--note {note:?} is not of the form key=text");
        };
        if ["astromae", calibration::METADATA_KEY, calibration::NETWORK_KEY].contains(&key) {
            bail!("--note {key}=… is not possible: the file says this of itself");
        }
        notes.insert(key.to_owned(), text.to_owned());
    }
    notes.insert("source_sha256".to_owned(), model.sha256.clone());
    let precision = match args.precision {
        PrecisionArg::F16 => StoredPrecision::F16,
        PrecisionArg::F32 => StoredPrecision::F32,
    };
    let encoded = model.to_safetensors(precision, &notes)?;
    let shown = show(&args.out);
    std::fs::write(whole.path(), &encoded).with_context(|| format!("failed to write {shown}"))?;
    whole.finish()?;
    let output = ConvertOutput {
        out: shown,
        bytes: encoded.len() as u64,
        parameters: model.weights.parameters() as u64,
        source_sha256: model.sha256,
    };
    printer.print(&output, |output| {
        format!("wrote {}: {} parameters, {}", output.out, output.parameters, bytes(output.bytes))
    })?;
    Ok(Outcome::Done)
}
