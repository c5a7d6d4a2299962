//! The files that the steps of a run leave for each other: the plan, the list of files, the tasks, what a rank has left.
#![no_main]

use bytes::Bytes;
use pipeline::{
    events::Task,
    plan::{Plan, PlannedFile},
    run_files::RankObject,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"PAR1") {
        if let Ok(left) = RankObject::parse(Bytes::copy_from_slice(bytes)) {
            let _ = left.rows.iter().map(|rows| rows.flagged()).sum::<u64>();
        }
        return;
    }
    let _ = serde_json::from_slice::<Vec<Task>>(bytes);
    let Ok(plan) = serde_json::from_slice::<Plan>(bytes) else { return };
    let files: Vec<PlannedFile> = Vec::new();
    if plan.world_size < 1000 {
        let _ = plan.shares(&files);
    }
});
