//! How far each kind of layer is from the processor's peak: `layers MODEL`.

use astromae::Model;
use engine_native::{InstructionSet, profile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).ok_or("usage: layers MODEL")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let model = runtime.block_on(Model::open(&model))?;
    for instructions in InstructionSet::available() {
        let peak = profile::peak(instructions);
        let layers = profile::layers(&model, instructions)?;
        let total: f64 = layers.iter().map(|layer| layer.seconds).sum();
        println!("{instructions}, one thread: {:.1} GFLOP/s at best", peak / 1e9);
        println!("{:<24}{:>16}{:>10}{:>12}{:>12}", "layer", "MFLOP/galaxy", "time", "GFLOP/s", "of peak");
        for layer in &layers {
            let speed = layer.operations / layer.seconds;
            println!(
                "{:<24}{:>16.2}{:>8.1} %{:>12.1}{:>10.0} %",
                layer.name,
                layer.operations / 1e6,
                100.0 * layer.seconds / total,
                speed / 1e9,
                100.0 * speed / peak
            );
        }
        let operations: f64 = layers.iter().map(|layer| layer.operations).sum();
        println!(
            "{:<24}{:>16.2}{:>10}{:>12.1}{:>10.0} %   {:.0} galaxies/s\n",
            "all",
            operations / 1e6,
            "",
            operations / total / 1e9,
            100.0 * operations / total / peak,
            1.0 / total
        );
    }
    Ok(())
}
