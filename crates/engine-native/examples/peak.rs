//! Measures how many multiplications and additions the processor does in a second at best, for `scripts/bench.sh`:
//! `peak THREADS`. It reads a line of standard input before each measurement, and answers with a line.

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
