//! Executions that get into each other's way: over a store in memory, a scheduler with a seed decides which of all
//! storage operations that are under way happens next. Executions are stopped while their functions live on, functions
//! run twice, ranks are lost, operations stall for as long as a whole run takes, payloads and overwriting differ. The
//! last execution runs undisturbed but for what the others still have under way, and at the end the results must be its
//! own, whole, and say so.
//!
//! `COSMIC_SEEDS=0..1000 cargo test --release -p pipeline --test interleavings -- --nocapture` runs a thousand
//! schedules, and `COSMIC_SEEDS=7..8` one of them again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use astromae::{
    Engine, EngineError,
    engine::{BANDS, PIXELS},
};
use async_trait::async_trait;
use bytes::Bytes;
use galaxies::{DatasetWriter, Layout, Redshifts};
use pipeline::{
    Error,
    concurrency::Quotas,
    engine_cache::EngineCache,
    events::{InitializeEvent, RankEvent, Run, SummarizeEvent, Summary, Task},
    initialize::{ExecutionState, Executions, initialize},
    plan::Owner,
    rank,
    run_files::{RESULTS, RESULTS_JSON, Results, RunFiles, sha256},
    storage::{Listing, Object, ObjectInfo, ObjectStore, StorageError, Stores, Upload, Write, explain},
    summarize::summarize,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

/// The schedules that run where `COSMIC_SEEDS` names no others.
const SEEDS: Range<u64> = 0..120;

#[test]
fn the_last_run_wins_and_is_whole() {
    let seeds = std::env::var("COSMIC_SEEDS").map_or(SEEDS, |seeds| {
        let (from, to) = seeds.split_once("..").unwrap();
        from.parse().unwrap()..to.parse().unwrap()
    });
    let data = Arc::new(Data::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let workers: Vec<_> = (0..threads)
        .map(|worker| {
            let (data, seeds) = (Arc::clone(&data), seeds.clone());
            std::thread::spawn(move || {
                let mut seen = Seen::default();
                for seed in seeds.filter(|seed| seed % threads == worker) {
                    let mut runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
                    runtime.block_on(schedule(seed, &data, &mut seen));
                }
                seen
            })
        })
        .collect();
    let mut seen = Seen::default();
    for worker in workers {
        seen.add(worker.join().unwrap());
    }
    println!("{} schedules: {seen:?}", seeds.end - seeds.start);
    if seeds == SEEDS {
        let Seen { busy, taken, lost, conflicts, resumed } = seen;
        assert!([busy, taken, lost, conflicts, resumed].iter().all(|seen| *seen >= 5), "too tame: {seen:?}");
    }
}

/// How often the schedules have come to what they are made for.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Executions that were refused because another was running.
    busy: usize,
    /// Executions that were refused because of their payload.
    taken: usize,
    /// Steps that found that the path was no longer theirs.
    lost: usize,
    /// Conditional writes that came too late.
    conflicts: usize,
    /// Rows that were taken over from another execution.
    resumed: usize,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.busy += other.busy;
        self.taken += other.taken;
        self.lost += other.lost;
        self.conflicts += other.conflicts;
        self.resumed += other.resumed;
    }
}

/// The bytes of partitions and model, which all schedules share.
struct Data(BTreeMap<String, Bytes>);

/// Rows of the partitions of the two data sets.
const ROWS: [(&str, &[u64]); 2] = [("data", &[2, 1, 3]), ("other", &[1, 2])];

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../astromae/tests/fixtures/module.pt");
        let mut objects = BTreeMap::from([("model.pt".to_owned(), std::fs::read(model).unwrap().into())]);
        for (prefix, partitions) in ROWS {
            for (index, rows) in partitions.iter().enumerate() {
                let path = folder.path().join("partition.pt");
                let mut writer =
                    DatasetWriter::create(&path, *rows, &Layout::published(Redshifts::F32), Vec::new()).unwrap();
                for row in 0..*rows {
                    let magnitude = magnitude(prefix, index, row);
                    writer.write(&[0.0; PIXELS], &[magnitude, 18.0, 17.0, 16.0, 15.0], Some(&[0.1]), &[]).unwrap();
                }
                writer.finish().unwrap();
                objects.insert(format!("{prefix}/{}.pt", index + 1), std::fs::read(&path).unwrap().into());
            }
        }
        Self(objects)
    }
}

fn magnitude(prefix: &str, index: usize, row: u64) -> f64 {
    10.0 + prefix.len() as f64 / 2.0 + index as f64 / 8.0 + row as f64 / 64.0
}

/// z = first magnitude / 100.
struct Formula;

impl Engine for Formula {
    fn name(&self) -> &'static str {
        "formula"
    }

    fn description(&self) -> String {
        "formula".into()
    }

    fn predict(&self, _: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        Ok(magnitudes.chunks(BANDS).map(|magnitudes| magnitudes[0] / 100.0).collect())
    }
}

/// xorshift64*, which is enough to choose with.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// The bucket, and the storage operations that wait for the scheduler.
#[derive(Clone)]
struct World(Arc<Inner>);

#[derive(Default)]
struct Inner {
    objects: Mutex<BTreeMap<String, Bytes>>,
    waiting: Mutex<Vec<Waiting>>,
    step: AtomicUsize,
    /// How often each operation has come.
    seen: Mutex<HashMap<String, u64>>,
    seed: u64,
    running: Mutex<HashSet<String>>,
    conflicts: AtomicUsize,
}

/// An operation that waits for the scheduler.
struct Waiting {
    operation: String,
    /// The step before which it is not picked, unless nothing else is left.
    not_before: usize,
    pick: oneshot::Sender<()>,
}

tokio::task_local! {
    /// Whether operations of this task may stall.
    static STALLS: bool;
}

/// So many of a thousand operations stall, for at most so many steps.
const STALLED: u64 = 40;
const LONGEST_STALL: u64 = 700;

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Inner { seed, ..Inner::default() }))
    }

    /// Waits until the scheduler picks this operation.
    async fn pass(&self, operation: &str, key: &str) {
        let operation = format!("{operation} {key}");
        let stall = if STALLS.try_with(|stalls| *stalls).unwrap_or(false) { self.stall(&operation) } else { 0 };
        let not_before = self.0.step.load(Ordering::Relaxed) + stall;
        let (pick, picked) = oneshot::channel();
        self.0.waiting.lock().unwrap().push(Waiting { operation, not_before, pick });
        picked.await.unwrap();
    }

    /// For how many steps an operation stalls: by the seed, whatever other tasks do meanwhile.
    fn stall(&self, operation: &str) -> usize {
        let mut seen = self.0.seen.lock().unwrap();
        let times = seen.entry(operation.to_owned()).or_default();
        *times += 1;
        let hash = sha256(format!("{} {operation} {times}", self.0.seed).as_bytes());
        let draw = u64::from_str_radix(&hash[..12], 16).unwrap();
        // What claims and what writes results decides whose they are.
        let share = if operation.starts_with("put results/") { 5 * STALLED } else { STALLED };
        if draw % 1000 < share { (draw / 1000 % LONGEST_STALL) as usize } else { 0 }
    }

    /// Lets one of the waiting operations happen, once nothing else can go on. `false` where none is waiting.
    async fn step(&self, random: &mut Random) -> bool {
        // The clock stands still: this returns when all tasks wait, for this scheduler or for each other.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let step = self.0.step.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.0.waiting.lock().unwrap();
        // Tasks on other threads may arrive in any order; a schedule must not depend on it.
        waiting.sort_by(|a, b| (a.not_before > step, &a.operation).cmp(&(b.not_before > step, &b.operation)));
        let ready = waiting.iter().filter(|waiting| waiting.not_before <= step).count();
        let choice = if ready > 0 { ready } else { waiting.len() };
        if choice == 0 {
            return false;
        }
        let picked = waiting.remove(random.below(choice));
        let _ = picked.pick.send(());
        true
    }

    fn object(&self, key: &str) -> Option<Object> {
        let objects = self.0.objects.lock().unwrap();
        objects.get(key).map(|bytes| Object { info: info(key, bytes), bytes: bytes.clone() })
    }

    fn insert(&self, key: &str, bytes: Bytes) -> ObjectInfo {
        let info = info(key, &bytes);
        self.0.objects.lock().unwrap().insert(key.to_owned(), bytes);
        info
    }

    fn find(&self, key: &str) -> Result<Object, StorageError> {
        self.object(key).ok_or_else(|| StorageError::NotFound { location: key.into(), hint: "" })
    }
}

/// As S3's, the tag of equal bytes is equal.
fn info(key: &str, bytes: &Bytes) -> ObjectInfo {
    ObjectInfo { key: key.to_owned(), size: bytes.len() as u64, etag: sha256(bytes) }
}

impl Stores for World {
    fn bucket(&self, _: &str) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Executions for World {
    async fn state(&self, execution_arn: &str) -> Result<ExecutionState, Error> {
        self.pass("describe", execution_arn).await;
        let runs = self.0.running.lock().unwrap().contains(execution_arn);
        Ok(if runs { ExecutionState::Running } else { ExecutionState::Ended })
    }
}

#[async_trait]
impl ObjectStore for World {
    fn location(&self, key: &str) -> String {
        key.to_owned()
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StorageError> {
        self.pass("list", prefix).await;
        let objects = self.0.objects.lock().unwrap();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let objects = found.map(|(key, bytes)| info(key, bytes)).collect();
        Ok(Listing { objects, unreadable: Vec::new() })
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        self.pass("head", key).await;
        self.find(key).map(|object| object.info)
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        self.pass("get", key).await;
        self.find(key)
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.pass("get", &object.key).await;
        let there = self.find(&object.key)?;
        if there.info.etag != object.etag {
            return Err(StorageError::Changed { location: object.key.clone() });
        }
        Ok(there.bytes.slice(range.start as usize..range.end as usize))
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        self.pass("put", key).await;
        let there = self.object(key);
        let allowed = match write {
            Write::Replace => true,
            Write::Create => there.is_none(),
            Write::Update(etag) => there.is_some_and(|there| there.info.etag == etag),
        };
        if !allowed {
            self.0.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(allowed.then(|| self.insert(key, bytes)))
    }

    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError> {
        Ok(Box::new(Parts { world: self.clone(), key: key.to_owned(), sent: Vec::new() }))
    }

    /// So small that half of the schedules write the catalogue in parts.
    fn part_bytes(&self) -> usize {
        if self.0.seed.is_multiple_of(2) { 1000 } else { 8 << 20 }
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        self.insert(key, std::fs::read(file).unwrap().into());
        Ok(())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        for key in keys {
            self.pass("delete", key).await;
            self.0.objects.lock().unwrap().remove(key);
        }
        Ok(())
    }
}

/// An object that is written in parts, which nobody else sees.
struct Parts {
    world: World,
    key: String,
    sent: Vec<u8>,
}

#[async_trait]
impl Upload for Parts {
    async fn send(&mut self, part: Bytes) -> Result<(), StorageError> {
        self.sent.extend_from_slice(&part);
        Ok(())
    }

    async fn complete(&mut self, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        self.world.put(&self.key, self.sent.clone().into(), write).await
    }

    async fn abort(&mut self) -> Result<(), StorageError> {
        self.sent.clear();
        Ok(())
    }
}

/// What an execution is started with, and what goes wrong in it.
#[derive(Debug, Clone)]
struct Start {
    name: String,
    payload: Value,
    /// The scheduler's step at which it starts.
    at: usize,
    /// The step at which it is stopped: no further function starts, and those under way live on.
    stop: Option<usize>,
    /// Each function starts a second time in so many percent of cases.
    twice: usize,
    /// So many percent of the ranks never run.
    lost_ranks: usize,
}

/// What came of an execution.
enum Ended {
    Done(Summary),
    Refused(Error),
    Stopped,
}

fn owner(name: &str) -> Owner {
    Owner { execution: name.into(), execution_arn: format!("arn:{name}") }
}

/// Executes the state machine: the second attempts of functions start with the first and nobody waits for them.
async fn execute(world: World, engines: Arc<EngineCache>, start: Start, lost: Arc<AtomicUsize>) -> Ended {
    let arn = owner(&start.name).execution_arn;
    let mut random = Random::new(start.at as u64 * 7919 + start.name.len() as u64);
    let stalls = start.stop.is_some();
    let stopped = || !world.0.running.lock().unwrap().contains(&arn);
    let count_lost = {
        let lost = Arc::clone(&lost);
        move |error: &Error| {
            if error.name() == "PlanMismatch" {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    };

    let event = InitializeEvent { payload: start.payload.clone(), owner: owner(&start.name), attempt: 0 };
    let spawn_initialize = |attempt| -> JoinHandle<Result<Run, Error>> {
        let (world, event) = (world.clone(), InitializeEvent { attempt, ..event.clone() });
        // An attempt that was given up may stall, whether its execution was stopped or not.
        let stalls = stalls || attempt == 0 && start.twice > 0;
        tokio::spawn(
            STALLS.scope(stalls, async move { initialize(&world, &world, &Quotas::default(), &event, None).await }),
        )
    };
    // The state machine gives the first attempt up, and starts a second one, while the first lives on.
    let given_up = random.percent(start.twice);
    let late = given_up.then(|| spawn_initialize(0));
    let planned = spawn_initialize(given_up.into()).await.unwrap();
    if stopped() {
        return Ended::Stopped;
    }
    let planned = match planned {
        Ok(planned) => planned,
        Err(error) => {
            count_lost(&error);
            world.0.running.lock().unwrap().remove(&arn);
            return Ended::Refused(error);
        }
    };
    // The Map reads the tasks when it starts, whoever has written them.
    drop(late);
    let tasks: Vec<Task> = serde_json::from_slice(&world.get(&planned.tasks).await.unwrap().bytes).unwrap();
    let mut ranks = Vec::new();
    for task in tasks {
        if random.percent(start.lost_ranks) {
            continue;
        }
        for attempt in 0..if random.percent(start.twice) { 2 } else { 1 } {
            let (world, engines, event) = (world.clone(), Arc::clone(&engines), RankEvent::new(&planned, task.clone()));
            let rank = async move { rank::run(&world, &engines, &event, None).await };
            let rank = tokio::spawn(STALLS.scope(stalls, rank));
            if attempt == 0 {
                ranks.push(rank);
            }
        }
    }
    for rank in ranks {
        if let Err(error) = rank.await.unwrap() {
            count_lost(&error);
        }
    }
    if stopped() {
        return Ended::Stopped;
    }
    let event = SummarizeEvent {
        owner: planned.owner,
        bucket: planned.bucket,
        result_path: planned.result_path,
        fingerprint: planned.fingerprint,
        files: planned.files,
        attempt: 0,
        start_time: "2026-01-01T00:00:00.000Z".into(),
        map: None,
        error: None,
    };
    let spawn_summarize = |attempt| -> JoinHandle<Result<Summary, Error>> {
        let (world, event) = (world.clone(), SummarizeEvent { attempt, ..event.clone() });
        let stalls = stalls || attempt == 0 && start.twice > 0;
        let summary =
            async move { summarize(&world, &event, SystemTime::UNIX_EPOCH, &|_| "<!doctype html>".to_owned()).await };
        tokio::spawn(STALLS.scope(stalls, summary))
    };
    let given_up = random.percent(start.twice);
    if given_up {
        spawn_summarize(0);
    }
    let summary = spawn_summarize(given_up.into()).await.unwrap();
    let ended = match summary {
        Ok(summary) => Ended::Done(summary),
        Err(error) => {
            count_lost(&error);
            Ended::Refused(error)
        }
    };
    world.0.running.lock().unwrap().remove(&arn);
    ended
}

async fn schedule(seed: u64, data: &Data, seen: &mut Seen) {
    let mut random = Random::new(seed);
    let world = World::new(seed);
    for (key, bytes) in &data.0 {
        world.insert(key, bytes.clone());
    }
    world.insert("results/notes.txt", "mine".into());
    let model: Arc<EngineCache> = Arc::new(EngineCache::new(PathBuf::new(), Box::new(|_, _, _| Ok(Arc::new(Formula)))));
    let lost = Arc::new(AtomicUsize::new(0));

    let payload = |prefix: &str, overwrite: bool| {
        json!({
            "bucket": "sky", "prefix": prefix, "model": "model.pt", "batch_size": 2, "result_path": "results",
            "overwrite": overwrite, "tolerated_failure_percentage": 100
        })
    };
    let mut starts: Vec<Start> = Vec::new();
    for number in 0..2 + random.below(2) {
        let prefix = ROWS[random.below(2)].0;
        let at = random.below(60 * (number + 1));
        starts.push(Start {
            name: format!("run-{number}"),
            payload: payload(prefix, random.percent(50)),
            at,
            stop: random.percent(70).then(|| at + 1 + random.below(120)),
            twice: random.below(60),
            lost_ranks: random.below(50),
        });
    }
    // It starts when the others have been stopped, or have ended, while functions of theirs may still be alive.
    let mut last: Option<JoinHandle<Ended>> = None;
    let mut last_prefix = ROWS[random.below(2)].0;
    let overwrites = random.percent(50);
    let patience = 40 + random.below(200);
    let mut handles: Vec<(String, JoinHandle<Ended>)> = Vec::new();
    for step in 0.. {
        for start in &starts {
            let arn = owner(&start.name).execution_arn;
            if start.at == step && last.is_none() {
                world.0.running.lock().unwrap().insert(arn.clone());
                let execution = execute(world.clone(), Arc::clone(&model), start.clone(), Arc::clone(&lost));
                handles.push((start.name.clone(), tokio::spawn(execution)));
            }
            if start.stop == Some(step) {
                world.0.running.lock().unwrap().remove(&arn);
            }
        }
        if last.is_none() && step >= patience {
            world.0.running.lock().unwrap().clear();
            world.0.running.lock().unwrap().insert(owner("last").execution_arn);
            if !overwrites && let Some(plan) = world.object("results/plan.json") {
                let plan: Value = serde_json::from_slice(&plan.bytes).unwrap();
                last_prefix = ROWS.iter().find(|(name, _)| plan["payload"]["data_prefix"] == *name).unwrap().0;
            }
            let start = Start {
                name: "last".into(),
                payload: payload(last_prefix, overwrites),
                at: step,
                stop: None,
                twice: 50,
                lost_ranks: 0,
            };
            last = Some(tokio::spawn(execute(world.clone(), Arc::clone(&model), start, Arc::clone(&lost))));
        }
        let went_on = world.step(&mut random).await;
        if !went_on && last.is_some() {
            break;
        }
        assert!(step < 20_000, "seed {seed} never ends");
    }

    for (name, handle) in handles {
        match handle.await.unwrap() {
            Ended::Refused(error) => match error.name() {
                "ResultPathBusy" => seen.busy += 1,
                "ResultPathTaken" => seen.taken += 1,
                "PlanMismatch" | "ExecutionEnded" => {}
                _ => panic!("seed {seed}: {name}: {}", explain(&error)),
            },
            Ended::Done(_) | Ended::Stopped => {}
        }
    }
    match last.unwrap().await.unwrap() {
        Ended::Done(summary) => assert!(summary.complete, "seed {seed}: {:?}", summary.reason),
        // An initializer that was given up as dead has claimed the path for another payload, just before.
        Ended::Refused(error) if error.name() == "ResultPathTaken" && !overwrites => {
            seen.taken += 1;
            return;
        }
        Ended::Refused(error) => panic!("seed {seed}: the last run was refused: {}", explain(&error)),
        Ended::Stopped => panic!("seed {seed}: nobody stopped the last run"),
    }
    check_results(seed, &world, last_prefix);
    seen.lost += lost.load(Ordering::Relaxed);
    seen.conflicts += world.0.conflicts.load(Ordering::Relaxed);
    resume(seed, &world, &model, last_prefix, &mut random, seen).await;
}

/// The same payload again, once nothing is under way: it finds every rank finished.
async fn resume(
    seed: u64,
    world: &World,
    engines: &Arc<EngineCache>,
    prefix: &str,
    random: &mut Random,
    seen: &mut Seen,
) {
    let payload = json!({
        "bucket": "sky", "prefix": prefix, "model": "model.pt", "batch_size": 2, "result_path": "results",
        "engine": "native"
    });
    world.0.running.lock().unwrap().insert(owner("resumed").execution_arn);
    let start = Start { name: "resumed".into(), payload, at: 0, stop: None, twice: 0, lost_ranks: 100 };
    let resumed = tokio::spawn(execute(world.clone(), Arc::clone(engines), start, Arc::default()));
    while world.step(random).await {}
    let Ended::Done(summary) = resumed.await.unwrap() else { panic!("seed {seed}: the run was not resumed") };
    assert!(summary.complete, "seed {seed}: the last run was whole, and is not: {:?}", summary.reason);
    seen.resumed += results(world).throughput.resumed_rows as usize;
}

fn results(world: &World) -> Results {
    serde_json::from_slice(&world.object(&format!("results/{RESULTS_JSON}")).unwrap().bytes).unwrap()
}

/// The results are the last run's, whole, and say so.
fn check_results(seed: u64, world: &World, prefix: &str) {
    let results = results(world);
    assert_eq!(results.execution, "last", "seed {seed}");
    assert!(results.complete, "seed {seed}");
    for name in RESULTS.into_iter().filter(|name| *name != RESULTS_JSON) {
        let object = world.object(&RunFiles::new(Arc::new(world.clone()), "results").key(name)).unwrap();
        assert_eq!(sha256(&object.bytes), results.sha256[name], "seed {seed}: {name}");
    }
    let catalogue = world.object("results/predictions.parquet").unwrap();
    let mut found = Vec::new();
    for rows in catalogue::read(catalogue.bytes).unwrap() {
        let rows = rows.unwrap();
        for at in 0..rows.len() {
            found.push((rows.source_file.clone(), rows.first_row + at as u64, rows.z_phot[at].unwrap()));
        }
    }
    let (_, partitions) = ROWS.into_iter().find(|(name, _)| *name == prefix).unwrap();
    let mut expected = Vec::new();
    for (index, rows) in partitions.iter().enumerate() {
        for row in 0..*rows {
            let z = magnitude(prefix, index, row) as f32 / 100.0;
            expected.push((format!("{prefix}/{}.pt", index + 1), row, z));
        }
    }
    assert_eq!(found, expected, "seed {seed}");
    assert_eq!(world.object("results/notes.txt").unwrap().bytes, "mine", "seed {seed}");
}
