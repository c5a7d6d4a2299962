//! Lambda: payload to plan.

fn main() {}
