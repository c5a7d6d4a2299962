//! The cosmic command line.

fn main() {}
