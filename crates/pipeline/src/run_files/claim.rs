//! Whose a result path is: what the plan in storage says of it, and the proof that a step holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    plan::{Owner, Plan},
    storage::ObjectInfo,
};

/// Who has claimed a result path for an execution: a later step, or a later attempt of the same, goes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claimant {
    pub step: Step,
    /// How often the state machine has tried the step before.
    pub attempt: u64,
}

/// A step that claims the result path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    Initialize,
    Summarize,
}

/// `plan.json` as it is stored. Its stamp sees to it that no two versions of it have the same ETag.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StampedPlan {
    pub(super) claimed_by: Claimant,
    /// Nanoseconds since 1970, as text: JSON's numbers do not hold them.
    pub(super) claimed_at: String,
    #[serde(flatten)]
    pub(super) plan: Plan,
}

/// A plan that was found under a result path.
#[derive(Debug)]
pub struct FoundPlan {
    pub plan: Plan,
    pub claimed_by: Claimant,
    /// How long ago.
    pub age: Duration,
    /// Its object: a claim replaces this one or fails.
    pub info: ObjectInfo,
}

/// The proof that a result path is this step's: the plan.json that it wrote.
#[derive(Debug)]
pub struct Claim {
    pub(super) info: ObjectInfo,
    pub(super) owner: Owner,
    /// When it was made: what is written under the claim and could otherwise be the bytes of another's has it in it.
    pub(super) stamp: String,
}
