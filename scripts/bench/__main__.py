"""Measures the engines beside what users would run instead, on this machine. See scripts/bench.sh."""

import argparse
import json
import os
import time

from bench import conditions, layers, picture, rank, throughput
from bench.engines import ENGINES
from bench.paths import OUT, PROGRAMS
from bench.processor import this_processor


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=ENGINES,
        default=list(ENGINES),
        metavar="NAME",
        help=f"native, and what it is compared with, of {', '.join(ENGINES)} (default: all)",
    )
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of each engine (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine at each batch size (default: 7)")
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        default=[512, 128, 32, 8, 1],
        metavar="N",
        help="ratios are reported at all, and the first one's on top too (default: 512 128 32 8 1)",
    )
    parser.add_argument("--no-memory", action="store_true", help="leave out the ranks, which need 1.2 GB of disk")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()
    if "native" not in arguments.engines:
        parser.error("--engines must have native among them: all ratios are to it")

    started = time.monotonic()
    # In the order of the tables, however they were named.
    engines = [name for name in ENGINES if name in arguments.engines]
    threads = arguments.threads
    processor = this_processor()
    print(f"{processor}\n{threads} threads each, {arguments.rounds} rounds in turns\n", flush=True)
    report = {"cpu": str(processor), "processor": processor.as_dict(), "threads": threads, "rounds": arguments.rounds}
    report["conditions"] = conditions.before()
    report["layers"] = layers.measure()
    operations = sum(layer["operations"] for layer in report["layers"]["layers"])
    report |= throughput.measure(engines, threads, arguments.rounds, arguments.batch_sizes, operations)
    report["conditions"]["load_after"] = os.getloadavg()[0]
    report["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(conditions.describe(report) + "\n", flush=True)
    if not arguments.no_memory:
        report["rank"] = {name: rank.measure(name, threads) for name in engines if name in PROGRAMS}
    OUT.mkdir(parents=True, exist_ok=True)
    picture.draw(report, OUT / "bench.png")
    (OUT / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"picture: {OUT / 'bench.png'}")
    if arguments.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
