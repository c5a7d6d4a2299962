//! Lambda: merges the ranks of an execution and reports.

fn main() {}
