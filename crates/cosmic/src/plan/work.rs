//! The work of a payload: its files, ranks and galaxies, as the initializer would divide them.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use bill::{
    estimate::{RankShare, RunWork},
    figures::Figures,
};
use pipeline::{
    initialize::count_rows,
    partitions::list_partitions,
    payload::{MAX_WORLD_SIZE, Payload},
    plan::{Owner, Plan, PlannedFile, PlannedModel, shares_files},
    run_files::RunFiles,
    storage::{ObjectInfo, ObjectStore, S3Store, Unreadable, explain, is_in_s3},
};

use crate::{global::Global, location::Location, output::bytes};

/// Where the data are.
pub(crate) struct DataArgs<'a> {
    /// In place of the payload's bucket.
    pub(crate) path: Option<&'a str>,
    /// So many bytes in partitions of this size, which nobody has seen.
    pub(crate) size: Option<(u64, u64)>,
    pub(crate) headers: bool,
}

impl DataArgs<'_> {
    /// Those of a payload as it is.
    pub(crate) const OF_PAYLOAD: Self = Self { path: None, size: None, headers: false };

    /// Whether planning needs no AWS.
    pub(crate) fn is_offline(&self) -> bool {
        self.size.is_some() || self.path.is_some_and(|path| !is_in_s3(path))
    }
}

/// What a payload asks for.
pub(crate) struct PlannedWork {
    pub(crate) run: RunWork,
    /// In natural order. Each has its number of galaxies, read or estimated.
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) payload: Payload,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Whether the galaxies were counted by headers, or estimated from sizes.
    pub(crate) counted: bool,
    /// What a run would leave out or refuse.
    pub(crate) warnings: Vec<String>,
}

/// Finds the files of a payload and divides them.
pub(crate) async fn find(
    payload: &Payload,
    data: &DataArgs<'_>,
    figures: &Figures,
    aws: Option<&SdkConfig>,
    global: &Global,
) -> Result<PlannedWork> {
    let mut warnings = Vec::new();
    let (files, store) = match (data.size, data.path) {
        (Some((size, partition_size)), _) => {
            (imagined(size, partition_size, figures.rank.bytes_per_galaxy, payload)?, None)
        }
        (None, Some(path)) => {
            let location = Location::parse(path, global).await?;
            let found = location.partitions(payload.file_limit).await?;
            warnings.extend(found.unreadable.first().map(unreadable));
            (found.files, Some(location.store))
        }
        (None, None) => {
            let aws = aws.context("the payload's data are in S3")?;
            let store = payload.data_store(&S3Store::client(aws));
            let found = list_partitions(&store, &payload.data_prefix, payload.file_limit).await.context(
                "failed to list the payload's data; --data PATH, or --size SIZE with --partition-size, plan without it",
            )?;
            warnings.extend(found.unreadable.first().map(unreadable));
            (found.files, Some(store))
        }
    };
    let model_bytes = model_bytes(payload, aws, &mut warnings).await;
    if let Some(aws) = aws {
        warnings.extend(result_path_warning(payload, aws).await);
    }
    let files = match (data.headers, &store) {
        (true, Some(store)) => count_rows(store, files).await?,
        _ => estimated(files, figures.rank.bytes_per_galaxy),
    };
    for file in files.iter().filter(|file| file.unreadable.is_some()).take(5) {
        warnings.push(format!(
            "{} cannot be read: {}",
            file.object.key,
            file.unreadable.as_deref().unwrap_or_default()
        ));
    }
    let run = RunWork { model_bytes, ..divide(payload, &files)? };
    let rows = run.ranks.iter().map(|rank| rank.rows).sum();
    let total = files.iter().map(|file| file.object.size).sum();
    Ok(PlannedWork { run, files, payload: payload.clone(), rows, bytes: total, counted: data.headers, warnings })
}

/// The size of the payload's model in the bucket; 0 of the one that is packaged, and where planning needs no AWS.
async fn model_bytes(payload: &Payload, aws: Option<&SdkConfig>, warnings: &mut Vec<String>) -> u64 {
    let (Some(key), Some(aws)) = (&payload.model, aws) else { return 0 };
    match S3Store::new(S3Store::client(aws), &payload.bucket).head(key).await {
        Ok(model) => model.size,
        Err(error) => {
            warnings.push(format!("the model cannot be found: {}", explain(&error)));
            0
        }
    }
}

/// What a run would find under its result path, if anything.
async fn result_path_warning(payload: &Payload, aws: &SdkConfig) -> Option<String> {
    let store = S3Store::new(S3Store::client(aws), &payload.bucket);
    let files = RunFiles::new(Arc::new(store), &payload.result_path);
    let found = match files.find_plan().await {
        Ok(found) => found?.plan,
        Err(error) => return Some(format!("what is under the result path cannot be read: {}", explain(&error))),
    };
    let (path, execution) = (&payload.result_path, &found.owner.execution);
    let differences = payload.differences(&found.payload);
    Some(if payload.overwrite {
        format!("the results of execution {execution} in {path} would be replaced")
    } else if differences.is_empty() {
        format!(
            "execution {execution} has begun this run in {path}: what it has finished would not be computed again, and is in \
             this estimate all the same"
        )
    } else {
        format!(
            "the run would be refused: {path} belongs to execution {execution}, with other {}",
            differences.join(", ")
        )
    })
}

/// The initializer refuses what local inference leaves out.
fn unreadable(Unreadable { name, reason }: &Unreadable) -> String {
    format!("{name} cannot be read, which a run would refuse: {reason}")
}

/// The most partitions that are imagined, ten for each rank that there can be.
const MOST_IMAGINED: u64 = 10 * MAX_WORLD_SIZE;

/// Partitions that nobody has seen.
fn imagined(size: u64, partition_size: u64, bytes_per_galaxy: f64, payload: &Payload) -> Result<Vec<PlannedFile>> {
    if (size.min(partition_size) as f64) < bytes_per_galaxy {
        bail!(
            "there is no galaxy in {}: one takes about {}",
            bytes(size.min(partition_size)),
            bytes(bytes_per_galaxy as u64)
        );
    }
    let limit = payload.file_limit.unwrap_or(u64::MAX);
    let count = size.div_ceil(partition_size).min(limit);
    if count > MOST_IMAGINED {
        bail!(
            "{} are {count} partitions of {}, and at most {MOST_IMAGINED} are planned: choose a larger --partition-size",
            bytes(size),
            bytes(partition_size)
        );
    }
    let files = (0..count)
        .map(|index| {
            let size = partition_size.min(size - index * partition_size);
            let key = format!("{}/{}.pt", payload.data_prefix, index + 1);
            PlannedFile::listed(ObjectInfo { key, size, etag: String::new() })
        })
        .collect();
    Ok(files)
}

fn estimated(files: Vec<PlannedFile>, bytes_per_galaxy: f64) -> Vec<PlannedFile> {
    let rows = |file: &PlannedFile| (file.object.size as f64 / bytes_per_galaxy.max(1.0)).round() as u64;
    files.into_iter().map(|file| PlannedFile { rows: file.rows.or(Some(rows(&file))), ..file }).collect()
}

/// Divides files among the ranks of a payload.
fn divide(payload: &Payload, files: &[PlannedFile]) -> Result<RunWork> {
    if files.is_empty() {
        bail!("there are no files to divide");
    }
    // Neither is in what ranks read.
    let owner = Owner { execution: "plan".to_owned(), execution_arn: "plan".to_owned() };
    let model = PlannedModel { name: String::new(), sha256: String::new(), object: None };
    let plan = Plan::new(payload.clone(), owner, "plan".to_owned(), files, model)?;
    let ranks = plan
        .shares(files)
        .into_iter()
        .map(|share| {
            let slices = share.slices(&files[share.files.clone()]);
            let mut read = RankShare { files: slices.len() as u64, ..RankShare::default() };
            for slice in &slices {
                let all = slice.file.rows.unwrap_or_default();
                let rows = slice.row_count().unwrap_or_default();
                read.rows += rows;
                read.bytes += (slice.file.object.size as f64 * rows as f64 / all.max(1) as f64) as u64;
            }
            read
        })
        .collect();
    let headers = if shares_files(plan.world_size, files.len()) { files.len() as u64 } else { 0 };
    Ok(RunWork {
        ranks,
        files: files.len() as u64,
        headers,
        batch_size: payload.batch_size,
        precision: payload.precision,
        model_bytes: 0,
    })
}

impl PlannedWork {
    /// The same files divided among another number of ranks.
    pub(crate) fn divided(&self, world_size: u64) -> Result<RunWork> {
        let run = divide(&Payload { world_size: Some(world_size), ..self.payload.clone() }, &self.files)?;
        Ok(RunWork { model_bytes: self.run.model_bytes, ..run })
    }

    /// What there is to do, for a person.
    pub(crate) fn title(&self) -> String {
        format!("{} galaxies in {} files, batch {}", self.rows, self.files.len(), self.payload.batch_size)
    }
}
