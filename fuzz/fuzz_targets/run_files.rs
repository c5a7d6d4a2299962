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
    // A plan, and the lines of the list of files behind it.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(Ok(plan)) = lines.next().map(serde_json::from_slice::<Plan>) else {
        return;
    };
    let files: Vec<PlannedFile> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    if plan.check().is_err() || plan.world_size > 1000 {
        return;
    }
    for share in plan.shares(&files) {
        let slices = share.slices(&files[share.files.clone()]);
        assert_eq!(plan.object_name(&slices).len(), 64);
    }
});
