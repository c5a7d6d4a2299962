//! A panic that a function does not catch itself is tried again, under the name that the runtime gives it.

use std::any::{Any, type_name};

use serde_json::Value;

/// `lambda_runtime` reports a panic by the type of a reference to what it has caught:
/// <https://docs.rs/lambda_runtime/1.5.0/src/lambda_runtime/layers/panic.rs.html>.
#[test]
fn the_state_machine_retries_what_the_runtime_calls_a_panic() {
    let name = Value::from(type_name::<&Box<dyn Any + Send>>());
    let machine: Value =
        serde_json::from_str(include_str!("../../../statemachine/redshift.asl.json")).expect("the definition is JSON");
    let infer = &machine["States"]["Ranks"]["ItemProcessor"]["States"]["Infer"];
    for task in [&machine["States"]["Initialize"], infer, &machine["States"]["Summarize"]] {
        let mut retriers = task["Retry"].as_array().expect("the task has retriers").iter();
        assert!(
            retriers.any(|retrier| retrier["ErrorEquals"].as_array().is_some_and(|names| names.contains(&name))),
            "{name}"
        );
    }
}
