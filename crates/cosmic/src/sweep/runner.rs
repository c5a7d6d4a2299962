//! Running what is missing of a sweep, run by run, and leaving everything behind as it was.

use std::{any::Any, panic::AssertUnwindSafe};

use anyhow::{Context, Result, anyhow, bail};
use experiments::{Cell, MemoryToRestore, Repeat};
use futures::FutureExt;
use pipeline::{phases::seconds_since_1970, run_files::COMBINED_DATA, storage::explain};

use crate::{
    global::Global,
    interrupt::interrupted,
    sweep::{
        executions::Executions, local::Local, memory::Released, partitions::Partitions, progress::Progress,
        repeat::failed, state::State,
    },
};

/// What cells are run by.
pub(super) enum Backend {
    Local(Local),
    Executions(Box<Executions>),
}

/// How a sweep ended that could do its work.
pub(super) enum Ended {
    /// Every run was made, or has failed.
    All,
    /// By a signal, which the word says.
    Stopped(&'static str),
}

/// A sweep that runs.
pub(super) struct Runner<'a> {
    state: State,
    backend: Backend,
    global: &'a Global,
    /// The folder for partitions.
    under: String,
}

impl<'a> Runner<'a> {
    pub(super) fn new(state: State, backend: Backend, global: &'a Global, under: String) -> Self {
        Self { state, backend, global, under }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Runs what is missing. However that ends, by an error, a signal or a panic, the function's memory is put back and
    /// no execution is left running.
    pub(super) async fn run(&mut self) -> Result<Ended> {
        self.restore_and_say().await?;
        self.state.record.ended_at = None;
        self.state.save()?;
        let ended = {
            let running = AssertUnwindSafe(self.run_all()).catch_unwind();
            tokio::select! {
                ended = running => ended.unwrap_or_else(|panic| Err(anyhow!("a bug: {}", message(panic.as_ref())))),
                word = interrupted() => Ok(Ended::Stopped(word)),
            }
        };
        let restored = self.restore_and_say().await;
        if matches!(ended, Ok(Ended::All)) {
            self.state.record.ended_at = Some(seconds_since_1970());
        }
        let left = restored.and(self.state.save());
        match (ended, left) {
            (Ok(ended), left) => left.map(|()| ended),
            (Err(error), left) => {
                // Both are to be known, and the first is why the sweep ends.
                if let Err(left) = left {
                    eprintln!("error: {}", explain(left.as_ref()));
                }
                Err(error)
            }
        }
    }

    async fn restore_and_say(&mut self) -> Result<()> {
        let mut said = Vec::new();
        let restored = self.restore(&mut said).await;
        said.iter().for_each(|said| eprintln!("{said}"));
        restored
    }

    async fn run_all(&mut self) -> Result<Ended> {
        let mut todo = self.todo();
        todo.reverse();
        let all: u64 = self.state.planned.iter().map(|planned| planned.repeats).sum();
        let mut progress = Progress::new(all, all - todo.len() as u64);
        for (at, runs) in self.state.record.cells.iter().enumerate() {
            runs.repeats.iter().filter(|repeat| repeat.rows > 0).for_each(|repeat| progress.learn(at, repeat.seconds));
        }
        let data = self.state.record.asked.data.clone();
        let mut partitions = Partitions {
            global: self.global,
            data: &data,
            under: self.under.clone(),
            found: std::collections::BTreeMap::new(),
        };
        while let Some((repeat, at)) = todo.pop() {
            let cell = self.state.planned[at].cell.clone();
            progress.starts(&cell, repeat);
            let started_at = seconds_since_1970();
            let ended = match self.run_one(&mut partitions, at, &cell, repeat).await {
                Ok(ended) => {
                    self.state.record.running = None;
                    ended
                }
                Err(error) => failed(repeat, started_at, seconds_since_1970() - started_at, explain(error.as_ref())),
            };
            self.check_model(&ended)?;
            let left: Vec<usize> = todo.iter().map(|(_, at)| *at).collect();
            progress.ended(at, &cell, &ended, &left);
            self.state.take(at, ended);
            self.state.save()?;
            // Of a run that failed the execution may run still, and would be beside the next one.
            let mut said = Vec::new();
            self.stop_running(&mut said).await.context("the sweep ends, because an execution may run still")?;
            said.iter().for_each(|said| eprintln!("{said}"));
        }
        progress.finish();
        Ok(Ended::All)
    }

    /// The runs that are missing, as repeat and cell. Among the cells of a repeat, those of one memory size follow each
    /// other, because each change replaces all of the function's environments.
    fn todo(&self) -> Vec<(u64, usize)> {
        let planned = &self.state.planned;
        let mut todo = Vec::new();
        for (at, cell) in planned.iter().enumerate() {
            let missing = (1..=cell.repeats).filter(|repeat| !self.state.has(at, *repeat));
            todo.extend(missing.map(|repeat| (repeat, at)));
        }
        todo.sort_by_key(|&(repeat, at)| (repeat, planned[at].cell.memory_mb, at));
        todo
    }

    async fn run_one(
        &mut self,
        partitions: &mut Partitions<'_>,
        at: usize,
        cell: &Cell,
        repeat: u64,
    ) -> Result<Repeat> {
        let folder = partitions.of(cell).await?;
        self.check_data(cell, &folder)?;
        let out = self.state.folder(cell, repeat);
        match &self.backend {
            Backend::Local(local) => {
                let lock = self.state.shared_lock()?;
                let ended = local.run(&self.state.record.asked, cell, repeat, &folder, &out, lock).await?;
                if let Ok(combined) = std::fs::read(out.join(COMBINED_DATA))
                    && ended.rows > 0
                {
                    self.publish(at, repeat, &combined)?;
                }
                Ok(ended)
            }
            Backend::Executions(executions) => {
                set_memory(&mut self.state, executions, cell.memory_mb).await?;
                let started = executions.start(&self.state.record.asked, at, cell, repeat, &folder).await?;
                self.state.record.running = Some(started.arn().to_owned());
                self.state.save()?;
                let (ended, combined) = executions.finish(&started, repeat).await?;
                check_memory(cell, &ended)?;
                if let Some(combined) = combined {
                    self.publish(at, repeat, &combined)?;
                }
                Ok(ended)
            }
        }
    }

    /// Refuses partitions of another data set than the sweep began with. Their folder is named by what they are made of.
    fn check_data(&mut self, cell: &Cell, folder: &str) -> Result<()> {
        let size = cell.partition.clone().unwrap_or_default();
        let first = self.state.record.partitions.entry(size).or_insert_with(|| folder.to_owned());
        if first != folder {
            bail!(
                "the data set has become another one: its partitions were in {first}, and now they are in {folder}; start \
                 a sweep in another folder for it"
            );
        }
        Ok(())
    }

    /// Puts a combined_data.json where the published scripts look for it.
    fn publish(&self, at: usize, repeat: u64, combined: &[u8]) -> Result<()> {
        for folder in self.state.planned[at].published_folders(repeat) {
            let folder = self.state.out.join("published").join(folder);
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(folder.join(COMBINED_DATA), combined))
                .with_context(|| format!("failed to write into {}", folder.display()))?;
        }
        Ok(())
    }

    /// Ends the sweep where the model has become another one: the figures of two are no sweep.
    fn check_model(&mut self, ended: &Repeat) -> Result<()> {
        let Some(found) = &ended.model_sha256 else { return Ok(()) };
        let record = &mut self.state.record;
        if record.engine.is_none() {
            record.engine.clone_from(&ended.engine);
        }
        match &record.model_sha256 {
            Some(expected) if expected != found => bail!(
                "the model has become another one: it had the SHA-256 {expected}, and now it has {found}; start a sweep in \
                 another folder for it"
            ),
            Some(_) => {}
            None => record.model_sha256 = Some(found.clone()),
        }
        Ok(())
    }

    /// Stops the execution that is recorded as running, and puts the function's memory back: each also where the other
    /// cannot be done, and tells `said` what was done.
    ///
    /// # Errors
    /// The first one. What could not be done stays in the record, so that it is tried again.
    pub(super) async fn restore(&mut self, said: &mut Vec<String>) -> Result<()> {
        let stopped = self.stop_running(said).await;
        let put_back = self.put_memory_back(said).await;
        match (stopped, put_back) {
            (Err(first), Err(second)) => {
                eprintln!("error: {}", explain(second.as_ref()));
                Err(first)
            }
            (stopped, put_back) => stopped.and(put_back),
        }
    }

    async fn stop_running(&mut self, said: &mut Vec<String>) -> Result<()> {
        let Backend::Executions(executions) = &self.backend else { return Ok(()) };
        let Some(arn) = &self.state.record.running else { return Ok(()) };
        if executions.stop(arn).await? {
            said.push(format!("stopped {arn}"));
        }
        self.state.record.running = None;
        self.state.save()
    }

    async fn put_memory_back(&mut self, said: &mut Vec<String>) -> Result<()> {
        let Backend::Executions(executions) = &self.backend else { return Ok(()) };
        let Some(MemoryToRestore { function, memory_mb }) = &self.state.record.memory_to_restore else { return Ok(()) };
        if *function != executions.function.name {
            bail!(
                "{} gave {function} another memory, and {memory_mb} MB are to be put back, but the state machine now \
                 calls {}",
                self.state.out.display(),
                executions.function.name
            );
        }
        let released = executions.function.release(&self.state.unique_name(), *memory_mb).await.with_context(|| {
            format!(
                "the memory of {function} could not be put back to {memory_mb} MB: do so with `aws lambda \
                 update-function-configuration --function-name {function} --memory-size {memory_mb}`"
            )
        })?;
        said.push(match released {
            Released::PutBack => format!("{function} has its memory of {memory_mb} MB again"),
            Released::OfAnother(tag) => format!(
                "{function} is left as it is, and not put back to {memory_mb} MB: {}",
                tag.map_or("it has lost this sweep's tag".to_owned(), |tag| format!("another sweep has it ({tag} MB)"))
            ),
        });
        self.state.record.memory_to_restore = None;
        self.state.save()
    }
}

/// Refuses a run whose ranks had another memory than its cell: somebody has configured the function meanwhile.
fn check_memory(cell: &Cell, ended: &Repeat) -> Result<()> {
    let Some(wanted) = cell.memory_mb else { return Ok(()) };
    let had = |rank: &serde_json::Value| rank.get("memory_mb").and_then(serde_json::Value::as_u64);
    match ended.ranks.iter().filter_map(had).find(|had| *had != wanted) {
        Some(had) => bail!(
            "a rank ran with {had} MB where {wanted} were to be measured: the function was configured by somebody else \
             while the sweep ran"
        ),
        None => Ok(()),
    }
}

/// Gives the function the memory of a cell. What it had is on the disk before that.
async fn set_memory(state: &mut State, executions: &Executions, memory_mb: Option<u64>) -> Result<()> {
    let deployed = state.record.memory_to_restore.as_ref().map(|restore| restore.memory_mb);
    let Some(wanted) = memory_mb.or(deployed) else { return Ok(()) };
    if state.record.memory_to_restore.is_none() {
        let memory_mb = executions.function.claim(&state.unique_name()).await?;
        let function = executions.function.name.clone();
        state.record.memory_to_restore = Some(MemoryToRestore { function, memory_mb });
        state.save()?;
    }
    executions.function.set(wanted).await
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
