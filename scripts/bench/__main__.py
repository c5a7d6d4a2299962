"""Runs the engines in turns, the processor's peak between them, and one rank at two sizes. See scripts/bench.sh.

Machines are shared and noisy: all engines take turns on the same cores, round after round, and what counts is the
median over rounds of the ratio within a round.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import picture

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
MODEL = ROOT / "payloads/demo/model.safetensors"
OUT = ROOT / "out/bench"
# Where scripts/bench.sh has each engine's programs.
PROGRAMS = {"native": OUT / "native", "tch": EXAMPLES}
ROW_BYTES = 5 * 32 * 32 * 4
# In the units of the published partitions: 100 MB are 100 × 2²⁰ bytes. One galaxy: what a cold start costs.
SIZES = {"1 galaxy": ROW_BYTES, "100 MB": 100 << 20, "1 GB": 1 << 30}
MEMORY_BATCH = 512
# As infra/template.yaml has it for the function; crates/launcher takes it away where libtorch is used.
RANK_ENVIRONMENT = {"native": {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "2"}, "tch": {}}

ENGINES = {
    "native": "native",
    "tch": "libtorch",
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "pytorch_eager": "PyTorch eager",
}
RATIOS = [
    ("tch", "pytorch_eager"),
    ("native", "pytorch_eager"),
    ("native", "openvino"),
    ("native", "onnxruntime"),
    ("native", "tch"),
]


class Process:
    """Answers each line with a number."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}; what it said is above")
        return float(line)

    def ask(self, line: object) -> float:
        print(line, file=self.process.stdin, flush=True)
        return self.answer()

    def peak_memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) / 1024

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of each engine (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine at each batch size (default: 7)")
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        default=[512, 128, 32, 1],
        metavar="N",
        help="the first is the one that the ratios are reported of (default: 512 128 32 1)",
    )
    parser.add_argument(
        "--no-memory", action="store_true", help="leave out the memory of a rank, which needs 1.2 GB of disk"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()

    threads = arguments.threads
    print(f"{cpu_name()}, {threads} threads each, {arguments.rounds} rounds in turns\n", flush=True)
    report = {"cpu": cpu_name(), "threads": threads, "rounds": arguments.rounds, "layers": layers()}
    report |= throughput(threads, arguments.rounds, arguments.batch_sizes, report["layers"])
    if not arguments.no_memory:
        report["rank"] = {engine: memory(engine, threads) for engine in ("native", "tch")}
    OUT.mkdir(parents=True, exist_ok=True)
    picture.draw(report, ENGINES, OUT / "bench.png")
    (OUT / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"picture: {OUT / 'bench.png'}")
    if arguments.json:
        print(json.dumps(report))


def layers() -> dict:
    """How far each layer of the native engine is from the peak of one thread."""
    report = json.loads(
        subprocess.run([EXAMPLES / "layers", MODEL, "--json"], check=True, stdout=subprocess.PIPE).stdout
    )
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


def throughput(threads: int, rounds: int, batch_sizes: list[int], layers: dict) -> dict:
    operations = sum(layer["operations"] for layer in layers["layers"])
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder, "model.onnx")
        runtimes = [sys.executable, Path(__file__).with_name("runtimes.py")]
        subprocess.run([*runtimes, "export", MODEL, onnx], check=True, stdout=subprocess.DEVNULL)
        commands = {
            "native": [PROGRAMS["native"] / "throughput", "native", MODEL],
            "tch": [PROGRAMS["tch"] / "throughput", "tch", MODEL],
            "openvino": [*runtimes, "openvino", onnx],
            "onnxruntime": [*runtimes, "onnxruntime", onnx],
            "pytorch_eager": [*runtimes, "pytorch", MODEL],
        }
        engines, start = {}, {}
        for name, command in commands.items():
            engines[name] = Process(*command, threads)
            start[name] = engines[name].answer()
    peak = Process(EXAMPLES / "peak", threads)
    print(f"{'galaxies/s at batch':>20}" + "".join(f"{name:>15}" for name in ENGINES.values()))
    speeds, ratios, of_peak = {}, {}, {}
    for batch in batch_sizes:
        turns = []
        for _ in range(rounds):
            turn = {name: batch / engine.ask(batch) for name, engine in engines.items()}
            turns.append(turn | {"peak": peak.ask("")})
        speeds[str(batch)] = {name: statistics.median(turn[name] for turn in turns) for name in engines}
        ratios[str(batch)] = {
            f"{one}_vs_{other}": spread([turn[one] / turn[other] for turn in turns]) for one, other in RATIOS
        }
        of_peak[str(batch)] = spread([turn["native"] * operations / turn["peak"] for turn in turns])
        print(f"{batch:20}" + "".join(f"{speeds[str(batch)][name]:15.0f}" for name in ENGINES), flush=True)
    memory = {name: engine.peak_memory_mb() for name, engine in engines.items()}
    print(f"{'peak memory, MB':>20}" + "".join(f"{memory[name]:15.0f}" for name in ENGINES))
    print(f"{'seconds to load':>20}" + "".join(f"{start[name]:15.2f}" for name in ENGINES))
    for process in (*engines.values(), peak):
        process.close()

    print(f"\n{'ratio at batch':>28}" + "".join(f"{batch:>22}" for batch in batch_sizes))
    for one, other in RATIOS:
        rows = [ratios[str(batch)][f"{one}_vs_{other}"] for batch in batch_sizes]
        shown = [f"{row['median']:.2f} ({row['lowest']:.2f}–{row['highest']:.2f})" for row in rows]
        print(f"{ENGINES[one] + ' : ' + ENGINES[other]:>28}" + "".join(f"{text:>22}" for text in shown))
    shown = [
        f"{row['median']:.0%} ({row['lowest']:.0%}–{row['highest']:.0%})"
        for row in map(of_peak.get, map(str, batch_sizes))
    ]
    print(f"{'native : the peak':>28}" + "".join(f"{text:>22}" for text in shown) + "\n", flush=True)
    first = str(batch_sizes[0])
    return {
        "ratios": {name: ratio["median"] for name, ratio in ratios[first].items()},
        "native_fraction_of_peak": of_peak[first]["median"],
        "galaxies_per_second": speeds,
        "ratios_by_batch": ratios,
        "native_fraction_of_peak_by_batch": of_peak,
        "peak_memory_mb": memory,
        "start_seconds": start,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def memory(engine: str, threads: int) -> dict:
    """Time and peak memory of one rank per size, from a local file of simulated galaxies."""
    print(f"{'one rank, ' + ENGINES[engine]:>20}{'galaxies':>10}{'seconds':>9}{'galaxies/s':>12}{'peak memory':>13}")
    ranks = {}
    for name, size in SIZES.items():
        rows = size // ROW_BYTES
        with tempfile.TemporaryDirectory() as folder:
            simulate = [EXAMPLES.parent / "cosmic", "simulate", "--count", str(rows), "--out", f"{folder}/1.pt"]
            subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL)
            command = [PROGRAMS[engine] / "rank", folder, MODEL, engine, str(MEMORY_BATCH), str(threads)]
            finished = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, env=os.environ | RANK_ENVIRONMENT[engine]
            )
            mark = json.loads(finished.stdout)
        row = {
            "galaxies": mark["work"]["rows"],
            "seconds": mark["wall_seconds"],
            "peak_memory_mb": mark["peak_memory_mb"],
        }
        if row["galaxies"] != rows:
            sys.exit(f"the rank predicted {row['galaxies']} of {rows} galaxies")
        ranks[name] = row
        print(
            f"{name:>20}{rows:10}{row['seconds']:9.2f}{rows / row['seconds']:12.0f}{row['peak_memory_mb']:10.0f} MB",
            flush=True,
        )
    print()
    return ranks


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
