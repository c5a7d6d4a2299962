//! Prints how far each kind of layer is from the processor's peak, on one thread and each instruction set that the
//! processor has: `layers PRECISION MODEL`. With `--json`, it prints one JSON object for the instruction set that the engine
//! uses, for `scripts/bench.sh`.

use astromae::Model;
use engine_native::{
    InstructionSet,
    profile::{self, LayerProfile},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (precision, model, json) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [precision, model] => (precision, model, false),
        [precision, model, "--json"] => (precision, model, true),
        _ => return Err("usage: layers PRECISION MODEL [--json]".into()),
    };
    let precision = precision.parse()?;
    let model = Model::open(model)?;
    let sets = InstructionSet::available();
    for instructions in sets.into_iter().take(if json { 1 } else { usize::MAX }) {
        let before = profile::peak(instructions, 1);
        let layers = profile::layers(model.clone(), precision, instructions)?;
        // The machine may have been busy with something else for a moment.
        let peak = before.max(profile::peak(instructions, 1));
        if json {
            print_json(instructions, peak, &layers);
        } else {
            print(instructions, peak, &layers);
        }
    }
    Ok(())
}

fn print_json(instructions: InstructionSet, peak: f64, layers: &[LayerProfile]) {
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            serde_json::json!({
                "name": layer.name,
                "operations": layer.operations,
                "seconds": layer.seconds,
                "fraction_of_peak": layer.operations / layer.seconds / peak,
            })
        })
        .collect();
    println!("{}", serde_json::json!({ "instructions": instructions.to_string(), "peak": peak, "layers": layers }));
}

fn print(instructions: InstructionSet, peak: f64, layers: &[LayerProfile]) {
    let total = LayerProfile {
        name: "all",
        operations: layers.iter().map(|layer| layer.operations).sum(),
        seconds: layers.iter().map(|layer| layer.seconds).sum(),
    };
    println!("{instructions}: {:.1} GFLOP/s at best", peak / 1e9);
    println!("{:<22}{:>14}{:>9}{:>10}{:>9}", "layer", "MFLOP/galaxy", "time", "GFLOP/s", "of peak");
    for layer in layers.iter().chain([&total]) {
        let speed = layer.operations / layer.seconds;
        println!(
            "{:<22}{:>14.2}{:>7.1} %{:>10.1}{:>7.0} %",
            layer.name,
            layer.operations / 1e6,
            100.0 * layer.seconds / total.seconds,
            speed / 1e9,
            100.0 * speed / peak
        );
    }
    println!("{:.0} galaxies/s\n", 1.0 / total.seconds);
}
