"""Galaxies per second of all engines, in turns on the same cores, round after round, with the processor's peak.

A machine is never quite alone: ratios are formed within a round, and what counts is their median over the rounds.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.engines import ENGINES, ratios
from bench.paths import EXAMPLES, MODEL, PROGRAMS
from bench.process import Process

# The largest difference of a redshift from PyTorch's, above which an engine does not compute the same network.
TOLERANCES = {"f32": 1e-4}
REDUCED_PRECISION_TOLERANCE = 0.05


def measure(names: list[str], threads: int, rounds: int, batch_sizes: list[int], operations: float) -> dict:
    """The report's part on throughput. `operations` are those of one galaxy, for the fraction of the peak."""
    with tempfile.TemporaryDirectory() as folder:
        engines, about = start(names, threads, Path(folder))
    compare_redshifts(about)
    peak = Process(EXAMPLES / "peak", threads)
    by_batch = {}
    for batch in batch_sizes:
        turns = []
        for turn in range(rounds):
            progress(f"batch {batch}, round {turn + 1} of {rounds}")
            speeds = {name: batch / engine.ask(batch) for name, engine in engines.items()}
            turns.append(speeds | {"peak": peak.ask("") / operations})
        by_batch[str(batch)] = turns
    progress("")
    for name, engine in engines.items():
        about[name]["peak_memory_mb"] = round(engine.peak_memory_mb(), 1)
    for process in (*engines.values(), peak):
        process.close()

    first = str(batch_sizes[0])
    speeds = {
        batch: {name: statistics.median(turn[name] for turn in turns) for name in names}
        for batch, turns in by_batch.items()
    }
    by_pair = {
        batch: {
            f"{one}_vs_{other}": spread([turn[one] / turn[other] for turn in turns]) for one, other in ratios(names)
        }
        for batch, turns in by_batch.items()
    }
    of_peak = {batch: spread([turn["native"] / turn["peak"] for turn in turns]) for batch, turns in by_batch.items()}
    print_speeds(speeds, about)
    print_ratios(by_pair, of_peak, names)
    return {
        "engines": about,
        "ratios": {name: ratio["median"] for name, ratio in by_pair[first].items()},
        "native_fraction_of_peak": of_peak[first]["median"],
        "galaxies_per_second": speeds,
        "ratios_by_batch": by_pair,
        "native_fraction_of_peak_by_batch": of_peak,
        "peak_memory_mb": {name: one["peak_memory_mb"] for name, one in about.items()},
        "start_seconds": {name: one["seconds"] for name, one in about.items()},
    }


def start(names: list[str], threads: int, folder: Path) -> tuple[dict[str, Process], dict[str, dict]]:
    """Starts the engines, one after the other; returns them with what each says of itself."""
    onnx = folder / "model.onnx"
    runtimes = [sys.executable, "-m", "bench.runtimes"]
    if any(ENGINES[name].reads_onnx for name in names):
        progress("exporting the network as ONNX")
        subprocess.run([*runtimes, "export", MODEL, onnx], check=True, stdout=subprocess.DEVNULL)
    engines, about = {}, {}
    for name in names:
        progress(f"loading {ENGINES[name].label}")
        if ENGINES[name].ours:
            command = [PROGRAMS[name] / "throughput", name, MODEL]
        else:
            command = [*runtimes, name, onnx if ENGINES[name].reads_onnx else MODEL]
        engines[name] = Process(*command, threads)
        answer = engines[name].answer()
        # Our own say the seconds alone.
        about[name] = (
            answer if isinstance(answer, dict) else {"seconds": answer, "threads": threads, "precision": "f32"}
        )
    return engines, about


def compare_redshifts(about: dict[str, dict]) -> None:
    """Replaces the redshifts that each runtime gave with their largest difference from the first one's."""
    with_redshifts = {name: one.pop("redshifts") for name, one in about.items() if "redshifts" in one}
    if not with_redshifts:
        return
    reference = next(iter(with_redshifts.values()))
    for name, redshifts in with_redshifts.items():
        difference = max(abs(one - other) for one, other in zip(redshifts, reference, strict=True))
        if difference > TOLERANCES.get(about[name]["precision"], REDUCED_PRECISION_TOLERANCE):
            sys.exit(f"the redshifts of {ENGINES[name].label} differ by up to {difference:.2g} from PyTorch's")
        about[name]["largest_difference"] = difference


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def progress(text: str) -> None:
    """Says on a terminal what goes on, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def print_speeds(speeds: dict[str, dict[str, float]], about: dict[str, dict]) -> None:
    print(f"{'galaxies/s at batch':>30}" + "".join(f"{batch:>8}" for batch in speeds), end="")
    print(f"{'precision':>11}{'load, s':>9}{'peak memory':>13}  version")
    for name, one in about.items():
        print(
            f"{ENGINES[name].label:>30}" + "".join(f"{by_engine[name]:8.0f}" for by_engine in speeds.values()), end=""
        )
        print(f"{one['precision']:>11}{one['seconds']:9.2f}{one['peak_memory_mb']:10.0f} MB  {one.get('version', '')}")


def print_ratios(by_pair: dict[str, dict], of_peak: dict[str, dict], names: list[str]) -> None:
    print(f"\n{'ratio at batch':>40}" + "".join(f"{batch:>20}" for batch in by_pair))
    for one, other in ratios(names):
        found = [by_batch[f"{one}_vs_{other}"] for by_batch in by_pair.values()]
        shown = [f"{ratio['median']:.2f} ({ratio['lowest']:.2f}–{ratio['highest']:.2f})" for ratio in found]
        print(f"{ENGINES[one].label + ' : ' + ENGINES[other].label:>40}" + "".join(f"{text:>20}" for text in shown))
    shown = [f"{ratio['median']:.0%} ({ratio['lowest']:.0%}–{ratio['highest']:.0%})" for ratio in of_peak.values()]
    print(f"{'native : the peak':>40}" + "".join(f"{text:>20}" for text in shown) + "\n", flush=True)
