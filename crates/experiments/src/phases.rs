//! Stands in for `pipeline::phases` until that is there.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    pub start: Spent,
    pub model: Spent,
    pub warm_up: Spent,
    pub waiting: Spent,
    pub inference: Spent,
    pub post_processing: Spent,
}
