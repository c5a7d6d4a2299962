//! Lambda: one rank of an execution.

fn main() {}
