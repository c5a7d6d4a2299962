"""Runs the engines in turns and one rank at two sizes. See scripts/bench.sh.

Machines are shared and noisy: the two engines take turns on the same cores, round after round, and what counts is the
median over rounds of the ratio within a round.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/examples"
MODEL = ROOT / "payloads/demo/model.safetensors"
ROW_BYTES = 5 * 32 * 32 * 4
# In the units of the published partitions: 100 MB are 100 × 2²⁰ bytes.
SIZES = {"100 MB": 100 << 20, "1 GB": 1 << 30}
MEMORY_BATCH = 512


class Engine:
    """A process that answers each batch size with the seconds that a batch takes."""

    def __init__(self, *command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.start_seconds = self.answer()

    def answer(self) -> float:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended with {self.process.wait()}; what it said is above")
        return float(line)

    def seconds(self, batch: int) -> float:
        print(batch, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of each engine (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine at each batch size (default: 7)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[512, 128, 32, 1], metavar="N",
                        help="the first is the one that the ratio is reported of (default: 512 128 32 1)")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory, which needs 1.2 GB of disk")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()

    threads = arguments.threads
    print(f"{cpu_name()}, {threads} threads each, {arguments.rounds} rounds in turns\n", flush=True)
    report = {"cpu": cpu_name(), "threads": threads, "rounds": arguments.rounds}
    report |= throughput(threads, arguments.rounds, arguments.batch_sizes)
    if not arguments.no_memory:
        report["rank"] = memory(threads)
    if arguments.json:
        print(json.dumps(report))


def throughput(threads: int, rounds: int, batch_sizes: list[int]) -> dict:
    ours = Engine(EXAMPLES / "throughput", MODEL, threads)
    theirs = Engine(sys.executable, Path(__file__).with_name("pytorch.py"), MODEL, threads)
    print(f"{'batch':>6}{'tch galaxies/s':>17}{'PyTorch eager':>16}{'ratio':>8}{'lowest':>9}{'highest':>9}")
    batches = {}
    for batch in batch_sizes:
        seconds = [(ours.seconds(batch), theirs.seconds(batch)) for _ in range(rounds)]
        ratios = sorted(eager / tch for tch, eager in seconds)
        row = {
            "tch_galaxies_per_second": batch / statistics.median(tch for tch, _ in seconds),
            "pytorch_eager_galaxies_per_second": batch / statistics.median(eager for _, eager in seconds),
            "ratio": statistics.median(ratios), "lowest_ratio": ratios[0], "highest_ratio": ratios[-1],
        }
        batches[str(batch)] = row
        print(f"{batch:6}{row['tch_galaxies_per_second']:17.0f}{row['pytorch_eager_galaxies_per_second']:16.0f}"
              f"{row['ratio']:8.2f}{row['lowest_ratio']:9.2f}{row['highest_ratio']:9.2f}", flush=True)
    start = {"tch": ours.start_seconds, "pytorch_eager": theirs.start_seconds}
    print(f"\nfrom model file to first prediction: tch {start['tch']:.2f} s, "
          f"PyTorch {start['pytorch_eager']:.2f} s (after its import)\n", flush=True)
    ours.close()
    theirs.close()
    return {"ratios": {"tch_vs_pytorch_eager": batches[str(batch_sizes[0])]["ratio"]}, "batches": batches,
            "start_seconds": start}


def memory(threads: int) -> dict:
    """Time and peak memory of one rank per size, from a local file, with the demo's galaxies over and over."""
    print(f"{'one rank of':>12}{'galaxies':>10}{'seconds':>9}{'galaxies/s':>12}{'peak memory':>13}")
    ranks = {}
    for name, size in SIZES.items():
        rows = size // ROW_BYTES
        with tempfile.TemporaryDirectory() as folder:
            # torch.save wants the whole data set in memory: in a process of its own, which ends.
            subprocess.run([sys.executable, __file__, "make", str(rows), f"{folder}/1.pt"], check=True)
            command = [EXAMPLES / "rank", folder, MODEL, str(MEMORY_BATCH), str(threads)]
            mark = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        row = {"galaxies": mark["work"]["rows"], "seconds": mark["wall_seconds"], "peak_memory_mb": mark["peak_memory_mb"]}
        if row["galaxies"] != rows:
            sys.exit(f"the rank predicted {row['galaxies']} of {rows} galaxies")
        ranks[name] = row
        print(f"{name:>12}{rows:10}{row['seconds']:9.1f}{rows / row['seconds']:12.0f}{row['peak_memory_mb']:10.0f} MB",
              flush=True)
    return ranks


def make(rows: int, path: str) -> None:
    """Writes a partition of so many galaxies."""
    files = sorted((ROOT / "payloads/demo/partitions").glob("*.pt"))
    loaded = [torch.load(file, weights_only=False).tensors for file in files]
    columns = [torch.cat(column) for column in zip(*loaded)]
    index = torch.arange(rows) % len(columns[0])
    torch.save(torch.utils.data.TensorDataset(*(column[index] for column in columns)), path)


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(int(sys.argv[2]), sys.argv[3])
    else:
        main()
