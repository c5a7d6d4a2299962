//! `cosmic simulate`: galaxies of a simulated sky, or images for the rows of a real catalogue.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use serde::Serialize;
use sky::{Galaxy, OwnColumns, Sky, contact_sheet};

use crate::{
    csv_catalogue::{self, CsvCatalogue},
    location::on_this_machine,
    outcome::Outcome,
    output::{Printer, bytes, progress_bar},
    whole_file::{WholeFile, show},
};

/// Galaxies on a contact sheet.
const PREVIEWED: u64 = 60;

#[derive(Args)]
#[command(
    group = ArgGroup::new("galaxies").required(true).args(["count", "catalogue"]),
    group = ArgGroup::new("written").required(true).multiple(true).args(["out", "preview"])
)]
pub(crate) struct SimulateArgs {
    /// Number of galaxies.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    count: Option<u64>,
    /// Index of the first one: a part of a sky has the same galaxies as the whole.
    #[arg(long, value_name = "INDEX", default_value_t = 0, conflicts_with = "catalogue",
          value_parser = clap::value_parser!(u64).range(0..=1_000_000_000_000))]
    first: u64,
    /// Instead of a sky of its own, make images for the rows of this CSV file: columns u, g, r, i, z (AB magnitudes,
    /// dereddened, as SDSS's dered_*) and redshift; others, such as object_id, are carried along. What they leave open,
    /// such as a galaxy's size, is drawn as galaxies of these colours and this luminosity have it.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Number that everything random follows from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The data set to write.
    #[arg(long, value_name = "FILE", value_parser = on_this_machine)]
    out: Option<PathBuf>,
    /// A picture of the first 60 galaxies, by redshift.
    #[arg(long, value_name = "PNG")]
    preview: Option<PathBuf>,
}

#[derive(Serialize)]
struct SimulateOutput {
    galaxies: u64,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
}

#[derive(Serialize)]
struct Written {
    file: String,
    bytes: u64,
    seconds: f64,
    galaxies_per_second: f64,
}

pub(crate) async fn simulate(args: SimulateArgs, printer: Printer) -> Result<Outcome> {
    let output = tokio::task::spawn_blocking(move || make(&args)).await??;
    printer.print(&output, |output| {
        let out = output.out.as_ref().map(|written| {
            let Written { file, bytes: size, galaxies_per_second, .. } = written;
            format!("{file}: {} galaxies, {}, {galaxies_per_second:.0} a second\n", output.galaxies, bytes(*size))
        });
        let preview = output
            .preview
            .as_ref()
            .map(|file| format!("{file}: a picture of the first {}\n", output.galaxies.min(PREVIEWED)));
        [out, preview].into_iter().flatten().collect()
    })?;
    Ok(Outcome::Done)
}

/// Refuses to write one file over another that the same command names.
fn check_paths(args: &SimulateArgs) -> Result<()> {
    let named = [("--catalogue", &args.catalogue), ("--out", &args.out), ("--preview", &args.preview)];
    let same = |a: &Path, b: &Path| a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    for (at, (name, path)) in named.iter().enumerate() {
        for (other, second) in &named[at + 1..] {
            if let (Some(path), Some(second)) = (path, second)
                && same(path, second)
            {
                bail!("{name} and {other} are the same file, {}: nothing was written", show(path));
            }
        }
    }
    Ok(())
}

fn make(args: &SimulateArgs) -> Result<SimulateOutput> {
    check_paths(args)?;
    let sky = Sky::new(args.seed);
    let catalogue = args.catalogue.as_deref().map(CsvCatalogue::read).transpose()?;
    let (indices, galaxy, own): (Range<u64>, Box<dyn Fn(u64) -> Galaxy + Sync + '_>, _) = match &catalogue {
        Some(CsvCatalogue { photometry, columns }) => {
            let galaxy = |index| sky.observed(index, &photometry[index as usize]);
            (0..photometry.len() as u64, Box::new(galaxy), csv_catalogue::own_columns(columns))
        }
        None => {
            let count = args.count.unwrap_or(0);
            (args.first..args.first + count, Box::new(|index| sky.galaxy(index)), sky.survey())
        }
    };
    let galaxies = indices.end - indices.start;
    let out = args.out.as_deref().map(|file| write(file, indices.clone(), &galaxy, &own)).transpose()?;
    if let Some(file) = &args.preview {
        let what = match &args.catalogue {
            Some(catalogue) => format!("Galaxies of {}", catalogue.display()),
            None => "A simulated sky".to_owned(),
        };
        let picture = preview(indices, &galaxy, &what, args.seed)?;
        let whole = WholeFile::create(file)?;
        std::fs::write(whole.path(), picture).with_context(|| format!("failed to write {}", show(file)))?;
        whole.finish()?;
    }
    let preview = args.preview.as_ref().map(|file| file.display().to_string());
    Ok(SimulateOutput { galaxies, seed: args.seed, out, preview })
}

fn write(
    file: &Path,
    indices: Range<u64>,
    galaxy: &(impl Fn(u64) -> Galaxy + Sync),
    own: &OwnColumns<'_>,
) -> Result<Written> {
    let count = indices.end - indices.start;
    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {per_sec:0}, {eta} left");
    bar.set_length(count);
    let start = Instant::now();
    let whole = WholeFile::create(file)?;
    let written = sky::write(whole.path(), indices, galaxy, own, |written| bar.set_position(written));
    written.with_context(|| format!("failed to write {}", show(file)))?;
    whole.finish()?;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    Ok(Written {
        file: file.display().to_string(),
        bytes: count * own.bytes_per_galaxy(),
        seconds,
        galaxies_per_second: count as f64 / seconds,
    })
}

fn preview(indices: Range<u64>, galaxy: &impl Fn(u64) -> Galaxy, what: &str, seed: u64) -> Result<Vec<u8>> {
    let mut galaxies: Vec<Galaxy> = indices.take(PREVIEWED as usize).map(galaxy).collect();
    galaxies.sort_by(|a, b| a.object.redshift.total_cmp(&b.object.redshift));
    let drawn: Vec<(&[f32], f64)> =
        galaxies.iter().map(|Galaxy { object, images }| (images.as_slice(), object.redshift)).collect();
    let subtitle = format!(
        "the first {} by redshift, seed {seed}; i, r and g as red, green and blue, 12.7 arcsec wide",
        drawn.len()
    );
    Ok(contact_sheet::draw(&drawn, what, &subtitle)?)
}
