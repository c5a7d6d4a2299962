//! `cosmic calibrate`: what a model's errors are like, written into its file.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use astromae::{Engine, Model, Precision};
use catalogue::intervals::{Calibration, LabelledGalaxy, MadeOf};
use clap::Args;
use pipeline::{
    batch_loop::{BatchLoop, Output, Predicted},
    calibration::to_stored,
    payload::MAX_BATCH_SIZE,
    read_ahead::{Input, OnStorageFailure},
};
use serde::Serialize;

use crate::{
    calibration_summary::CalibrationSummary,
    global::Global,
    inputs::{open_all, refuse_unreadable, row_count},
    location::{Location, on_this_machine},
    outcome::Outcome,
    output::{Printer, bytes, progress_bar},
    whole_file::{WholeFile, show},
};

#[derive(Args)]
pub(crate) struct CalibrateArgs {
    /// Galaxies with spectroscopic redshifts that the model was not trained with: a data set, or a folder of them,
    /// local or s3://bucket/prefix.
    #[arg(long, value_name = "PATH", env = "COSMIC_DATA")]
    data: String,
    /// The model, local or s3://bucket/key: a checkpoint or safetensors.
    #[arg(long, value_name = "FILE", env = "COSMIC_MODEL")]
    model: String,
    /// The safetensors file to write, which may be that of the model: f16 where that loses nothing, else f32.
    #[arg(long, value_name = "FILE", value_parser = on_this_machine)]
    out: PathBuf,
    /// What else the model should say of these galaxies, such as their seed or date.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Galaxies per prediction.
    #[arg(long, value_name = "N", default_value_t = 512, env = "COSMIC_BATCH_SIZE",
          value_parser = clap::value_parser!(u64).range(1..=MAX_BATCH_SIZE))]
    batch_size: u64,
    /// What computes: one of the engines that this binary was built with.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(engines::AVAILABLE), env = "COSMIC_ENGINE")]
    engine: Option<String>,
    /// The numbers that the network's large layers are multiplied in: f32 or int8. The calibration may be used with either.
    #[arg(long, value_name = "f32|int8", default_value_t, env = "COSMIC_PRECISION")]
    precision: Precision,
    /// Threads to compute with; one per core if not given.
    #[arg(long, value_name = "N", env = "COSMIC_THREADS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

#[derive(Serialize)]
struct CalibrateOutput {
    out: String,
    bytes: u64,
    calibration: CalibrationSummary,
    left_out: LeftOut,
}

/// Galaxies that say nothing of the model's errors.
#[derive(Default, Serialize)]
struct LeftOut {
    /// They have no spectroscopic redshift, or a number that cannot be one.
    without_z_spec: u64,
    /// They have no predicted redshift.
    flagged: u64,
}

impl LeftOut {
    fn warnings(&self) -> Vec<String> {
        let Self { without_z_spec, flagged } = self;
        [
            (*without_z_spec, "they have no spectroscopic redshift between -0.05 and 20"),
            (*flagged, "the model gave them no redshift; `cosmic infer` says why"),
        ]
        .into_iter()
        .filter(|(galaxies, _)| *galaxies > 0)
        .map(|(galaxies, reason)| format!("{galaxies} galaxies were left out: {reason}"))
        .collect()
    }
}

pub(crate) async fn calibrate(args: CalibrateArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let whole = WholeFile::create_model(&args.out)?;
    let data = Location::parse(&args.data, global).await?;
    let inputs = labelled_inputs(&data).await?;
    let location = Location::parse(&args.model, global).await?;
    let mut model = Model::from_bytes(&location.name(), location.read_model().await?)?;
    let (name, threads, precision, network) = (args.engine, args.threads, args.precision, model.clone());
    let engine = tokio::task::spawn_blocking(move || engines::load(name.as_deref(), network, threads, precision))
        .await?
        .context("failed to start the engine")?;

    let (galaxies, left_out) = predict(&data, inputs, &engine, args.batch_size).await?;
    let made_of = MadeOf {
        sample: last_part(&args.data),
        galaxies: 0,
        note: args.note,
        model_sha256: model.sha256.clone(),
        precision: precision.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let calibration =
        Calibration::fit(&galaxies, made_of).with_context(|| format!("{} cannot calibrate a model", data.name()))?;
    model.calibration = Some(to_stored(&calibration));

    let encoded = model.to_safetensors(model.exact_precision(), &model.metadata)?;
    let shown = show(&args.out);
    std::fs::write(whole.path(), &encoded).with_context(|| format!("failed to write {shown}"))?;
    whole.finish()?;
    if printer.json {
        left_out.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    let output = CalibrateOutput {
        out: shown,
        bytes: encoded.len() as u64,
        calibration: CalibrationSummary::of(&calibration),
        left_out,
    };
    printer.print(&output, |CalibrateOutput { out, bytes: size, calibration, left_out }| {
        let warnings: String = left_out.warnings().iter().map(|warning| format!("warning: {warning}\n")).collect();
        format!("wrote {out}: {}\n{}{warnings}", bytes(*size), calibration.text())
    })?;
    Ok(Outcome::Done)
}

/// Opens all files of a sample, one of which at least must have redshifts.
async fn labelled_inputs(data: &Location) -> Result<Vec<Input>> {
    let inputs = open_all(data, None).await?;
    if !inputs.iter().any(|input| input.opened.as_ref().is_some_and(|dataset| dataset.has_redshifts())) {
        bail!(
            "{} has no redshifts: a model is calibrated on galaxies whose spectroscopic redshifts are known",
            data.name()
        );
    }
    Ok(inputs)
}

/// Predicts the galaxies of a sample, all of which must be readable.
async fn predict(
    data: &Location,
    inputs: Vec<Input>,
    engine: &Arc<dyn Engine>,
    batch_size: u64,
) -> Result<(Vec<LabelledGalaxy>, LeftOut)> {
    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {per_sec:0}, {eta} left");
    bar.set_length(row_count(&inputs));
    let batches = BatchLoop {
        store: &data.store,
        engine,
        intervals: None,
        batch_size,
        deadline: None,
        on_storage_failure: OnStorageFailure::Fail,
    };
    let (mut galaxies, mut left_out) = (Vec::new(), LeftOut::default());
    let work = batches.run(inputs, |output| {
        match output {
            Output::Predicted(rows) => bar.set_position(rows),
            Output::Rows(Predicted { catalogue, r }) => {
                for ((z_phot, z_spec), r) in catalogue.z_phot.iter().zip(&catalogue.z_spec).zip(r) {
                    match (*z_phot, *z_spec) {
                        (Some(z_phot), Some(z_spec)) => galaxies.push(LabelledGalaxy { z_phot, z_spec, r }),
                        (None, _) => left_out.flagged += 1,
                        (Some(_), None) => left_out.without_z_spec += 1,
                    }
                }
            }
        }
        Ok(())
    });
    let work = work.await?;
    bar.finish_and_clear();
    refuse_unreadable(data, &work)?;
    Ok((galaxies, left_out))
}

/// The name of a file or folder, without where it lies.
fn last_part(path: &str) -> String {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned()
}
