//! Multiplications and additions a second that the processor does at best, for `scripts/bench.sh`: `peak THREADS`, then
//! a line on standard input for each measurement; answers with one line each.

use engine_native::{InstructionSet, profile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: peak THREADS")?.parse()?;
    let instructions = InstructionSet::available()[0];
    for line in std::io::stdin().lines() {
        line?;
        println!("{:.0}", profile::peak(instructions, threads));
    }
    Ok(())
}
