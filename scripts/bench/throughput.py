"""Galaxies per second of all engines, in turns on the same cores, round after round, with the processor's peak; and
their accuracy.

A machine is never quite alone: ratios are formed within a round, and what counts is their median over the rounds.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

from bench import accuracy, prepare, sky
from bench.engines import ENGINES, ratios, spread
from bench.paths import EXAMPLES, MODEL, PROGRAMS
from bench.process import Process

# At least so many galaxies are predicted for the accuracy.
GALAXIES = 2000
# So many galaxies in a turn at least, but never so many batches more than that.
TURN_GALAXIES, TURN_BATCHES = 256, 64


def measure(names: list[str], threads: int, rounds: int, batch_sizes: list[int], operations: float) -> dict:
    """The report's part on throughput. `operations` are those of one galaxy, for the fraction of the peak."""
    first = batch_sizes[0]
    # Whole batches of the first size, in which the accuracy is measured.
    rows = -(-max(GALAXIES, *batch_sizes) // first) * first
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        progress("simulating galaxies, and exporting and quantising the network")
        networks = {ENGINES[name].network for name in names}
        subprocess.run(
            [sys.executable, "-m", "bench.prepare", folder, str(rows), *networks], check=True, stdout=sys.stderr
        )
        galaxies, reference = sky.read(folder / prepare.SKY), numpy.load(folder / prepare.REFERENCE)
        engines, about = start(names, threads, folder)
    peak = Process(EXAMPLES / "peak", threads)
    for name, engine in engines.items():
        progress(f"accuracy of {ENGINES[name].label}")
        redshifts = numpy.array(engine.ask(f"redshifts {first}"))
        about[name]["accuracy"] = accuracy.of(redshifts, reference, galaxies.redshifts)
        accuracy.check(name, about[name]["precision"], about[name]["accuracy"]["largest"])
    by_batch = {}
    for batch in batch_sizes:
        repeats = min(TURN_BATCHES, max(1, TURN_GALAXIES // batch))
        command = f"time {batch} {-(-repeats // 4)} {repeats}"
        turns = []
        for turn in range(rounds):
            speeds = {}
            for name, engine in engines.items():
                progress(f"batch {batch}, round {turn + 1} of {rounds}, {ENGINES[name].label}")
                speeds[name] = batch / engine.ask(command)
            turns.append(speeds | {"peak": peak.ask("") / operations})
        by_batch[str(batch)] = turns
    progress("")
    for name, engine in engines.items():
        about[name]["peak_memory_mb"] = round(engine.peak_memory_mb(), 1)
    for process in (*engines.values(), peak):
        process.close()

    speeds = {
        batch: {name: spread([turn[name] for turn in turns]) for name in names} for batch, turns in by_batch.items()
    }
    medians = {batch: {name: speed["median"] for name, speed in found.items()} for batch, found in speeds.items()}
    precisions = {name: one["precision"] for name, one in about.items()}
    formed = {batch: ratios(turns, precisions) for batch, turns in by_batch.items()}
    of_peak = {batch: spread([turn["native"] / turn["peak"] for turn in turns]) for batch, turns in by_batch.items()}
    print_engines(medians, about)
    print_ratios(formed, of_peak)
    on_top = {name: ratio["median"] for name, ratio in formed[str(first)].items()}
    if "native_best_vs_best_peer" in formed.get("1", {}):
        on_top["batch1_vs_best_peer"] = formed["1"]["native_best_vs_best_peer"]["median"]
    report = {
        "engines": about,
        "ratios": on_top,
        "native_fraction_of_peak": of_peak[str(first)]["median"],
        "galaxies_per_second": medians,
        "galaxies_per_second_spread": speeds,
        "ratios_by_batch": formed,
        "native_fraction_of_peak_by_batch": of_peak,
        "peak_memory_mb": {name: one["peak_memory_mb"] for name, one in about.items()},
        "start_seconds": {name: one["seconds"] for name, one in about.items()},
        "accuracy_galaxies": rows,
        "sigma_nmad_f64": accuracy.sigma_nmad(reference, galaxies.redshifts),
    }
    if "native_int8" in about:
        report["int8_max_error"] = about["native_int8"]["accuracy"]["largest"]
    return report


def start(names: list[str], threads: int, folder: Path) -> tuple[dict[str, Process], dict[str, dict]]:
    """Starts the engines, one after the other; returns them with what each says of itself."""
    engines, about = {}, {}
    data = folder / prepare.SKY
    for name in names:
        engine = ENGINES[name]
        progress(f"loading {engine.label}")
        if engine.ours:
            calls = threads if engine.streams else 1
            command = [PROGRAMS[engine.ours] / "throughput", engine.ours, engine.precision, calls, MODEL, data]
        else:
            network = prepare.network_file(engine.network, folder)
            command = [sys.executable, "-m", "bench.runtimes", name, network, data]
        engines[name] = Process(*command, threads)
        answer = engines[name].answer()
        # Our own say the seconds alone.
        about[name] = (
            answer
            if isinstance(answer, dict)
            else {"seconds": answer, "threads": threads, "precision": engine.precision}
        )
    return engines, about


def progress(text: str) -> None:
    """Says on a terminal what goes on, in one line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def print_engines(speeds: dict[str, dict[str, float]], about: dict[str, dict]) -> None:
    """A row per engine: its speed at each batch size, and beside it what it computes in and how far that is off."""
    print(
        f"{'galaxies/s at batch':>50}" + "".join(f"{batch:>7}" for batch in speeds) + f"{'computes in':>13}"
        f"{'max |Δz|/(1+z)':>16}{'rms':>9}{'σ_NMAD':>9}{'load, s':>9}{'peak memory':>13}"
    )
    for name, one in about.items():
        found = one["accuracy"]
        print(
            f"{ENGINES[name].label:>50}" + "".join(f"{by_engine[name]:7.0f}" for by_engine in speeds.values())
            + f"{one['precision']:>13}{found['largest']:16.1e}{found['rms']:9.1e}{found['sigma_nmad']:9.5f}"
            f"{one['seconds']:9.2f}{one['peak_memory_mb']:10.0f} MB"
        )  # fmt: skip


def print_ratios(formed: dict[str, dict], of_peak: dict[str, dict]) -> None:
    print(f"\n{'ratio at batch':>50}" + "".join(f"{batch:>20}" for batch in formed))
    for name in next(iter(formed.values())):
        shown = [f"{ratio['median']:.2f} ({ratio['lowest']:.2f}–{ratio['highest']:.2f})" for ratio in
                 (by_name[name] for by_name in formed.values())]  # fmt: skip
        print(f"{name:>50}" + "".join(f"{text:>20}" for text in shown))
    shown = [f"{ratio['median']:.0%} ({ratio['lowest']:.0%}–{ratio['highest']:.0%})" for ratio in of_peak.values()]
    print(f"{'native over the peak':>50}" + "".join(f"{text:>20}" for text in shown))
    if "native_best_vs_best_peer" not in next(iter(formed.values())):
        return
    for batch, by_name in formed.items():
        ours, theirs = by_name["native_best_vs_best_peer"]["of"]
        print(f"{f'fastest at batch {batch}':>50}: {ENGINES[ours].label}; of the others {ENGINES[theirs].label}")
    print(flush=True)
