"""How far each layer of the native engine is from the peak of one thread."""

import json
import subprocess

from bench.paths import EXAMPLES, MODEL


def measure() -> dict:
    """The report of crates/engine-native/examples/layers.rs, which is printed as a table too."""
    command = [EXAMPLES / "layers", "f32", MODEL, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    total = sum(layer["seconds"] for layer in report["layers"])
    print(f"native engine, {report['instructions']}, one thread, whose peak is {report['peak'] / 1e9:.0f} GFLOP/s:\n")
    print(f"{'layer':>22}{'MFLOP/galaxy':>14}{'of the time':>13}{'of the peak':>13}")
    for layer in report["layers"]:
        print(
            f"{layer['name']:>22}{layer['operations'] / 1e6:14.1f}{layer['seconds'] / total:13.1%}"
            f"{layer['fraction_of_peak']:13.0%}"
        )
    print(flush=True)
    return report
