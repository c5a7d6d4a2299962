//! Where a run keeps what, under its result path.

/// The keys of one run.
#[derive(Debug, Clone)]
pub struct Layout {
    root: String,
}

impl Layout {
    /// The keys under `result_path` (no slashes at its ends; empty for the root).
    pub fn new(result_path: &str) -> Self {
        Self { root: crate::store::as_folder(result_path) }
    }

    /// The plan.
    pub fn plan(&self) -> String {
        self.key("plan.json")
    }

    /// The ranks still to run, as the Distributed Map reads them.
    pub fn tasks(&self) -> String {
        self.key("tasks.json")
    }

    /// One rank's part of the catalogue.
    pub fn part(&self, rank: u64) -> String {
        self.key(&format!("predictions/{rank:05}.parquet"))
    }

    /// The mark of a finished rank, written last.
    pub fn mark(&self, rank: u64) -> String {
        self.key(&format!("ranks/{rank:05}.json"))
    }

    /// The merged catalogue.
    pub fn catalogue(&self) -> String {
        self.key("predictions.parquet")
    }

    /// Metrics, counts, timings, and what made them.
    pub fn results(&self) -> String {
        self.key("Results.json")
    }

    /// One object per rank with the published keys.
    pub fn combined(&self) -> String {
        self.key("combined_data.json")
    }

    /// The picture.
    pub fn picture(&self) -> String {
        self.key("inference.png")
    }

    /// What a run may have left behind, for `overwrite`: its parts, marks and merged files, nothing else under the path.
    pub fn is_ours(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(&self.root) else { return false };
        matches!(
            name,
            "plan.json"
                | "tasks.json"
                | "predictions.parquet"
                | "Results.json"
                | "combined_data.json"
                | "inference.png"
        ) || [("predictions/", ".parquet"), ("ranks/", ".json"), ("map/", ".json")]
            .iter()
            .any(|(folder, ending)| name.starts_with(folder) && name.ends_with(ending))
    }

    /// The folder itself, with a trailing slash.
    pub fn root(&self) -> &str {
        &self.root
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }
}
