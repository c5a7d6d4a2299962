"""Prints the published figures beside this system's, as Markdown: see scripts/published.sh."""

import argparse
import csv
import json
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LOG = ROOT / "crates/bill/tests/published-cloudwatch-log.txt"
# us-east-1, x86-64, per GB-second: crates/bill/data/prices.json.
PRICES = json.loads((ROOT / "crates/bill/data/prices.json").read_text())["regions"]["us-east-1"]
GB_SECOND = PRICES["lambda_million_gb_seconds"]["x86_64"] / 1e6
# The published data set, and the payload and function that its model is asked about.
SIZE = "12.6GiB"
PUBLISHED_MEMORY = 10_240


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def table(header: list[str], lines: list[list[str]]) -> None:
    for line in [header, ["---"] * len(header), *lines]:
        print("| " + " | ".join(line) + " |")
    print()


def span(values: list[float], shown: str = "{:.0f}") -> str:
    low, high = shown.format(min(values)), shown.format(max(values))
    return low if low == high else f"{low} to {high}"


def middle(values: list[float], shown: str = "{:.0f}") -> str:
    """The median, with the least and the largest."""
    return f"{shown.format(statistics.median(values))} ({span(values, shown)})"


def done(cell: dict) -> list[dict]:
    return [repeat for repeat in cell["repeats"] if repeat["status"] == "done"]


def local_inference(sweep: dict) -> None:
    machine = sweep["machine"]
    print(f"Inference on one machine: {machine['cpu']}, {machine['cores']} cores, {sweep['engine']}.\n")
    phases = ["start", "model", "waiting", "inference", "warm_up", "post_processing"]
    lines = []
    for cell in sweep["cells"]:
        repeats = done(cell)
        spent = [
            "{:.2f} / {:.2f}".format(
                *(
                    statistics.median(repeat["phases"][phase][kind] for repeat in repeats)
                    for kind in ("wall_seconds", "cpu_seconds")
                )
            )
            for phase in phases
        ]
        lines.append(
            [
                str(cell["batch_size"]),
                middle([repeat["rows"] / repeat["seconds"] for repeat in repeats]),
                middle([repeat["seconds"] for repeat in repeats], "{:.1f}"),
                *spent,
                f"{statistics.median(repeat['peak_memory_mb'] for repeat in repeats):.0f}",
            ]
        )
    table(
        ["batch", "galaxies/s", "seconds", "start", "model", "waiting", "inference", "of it warm-up", "post", "MB"],
        lines,
    )
    quality(sweep)


def quality(sweep: dict) -> None:
    repeats = [repeat for cell in sweep["cells"] for repeat in done(cell)]
    hashes = {repeat["redshifts_sha256"] for repeat in repeats}
    metrics = repeats[0]["metrics"]
    same = "the same to the last bit" if len(hashes) == 1 else f"of {len(hashes)} kinds"
    print(
        f"Redshifts of all {len(repeats)} runs: {same}. "
        f"R² {metrics['R2']:.4f}, MAE {metrics['MAE']:.5f}, σ NMAD {metrics['Precision']:.5f}.\n"
    )


def on_the_stack(sweep: dict) -> None:
    machine = sweep["machine"]
    print(f"Executions on the {sweep['place']}: {machine['cpu']}, {machine['cores']} cores.\n")
    lines = []
    for cell in sweep["cells"]:
        repeats = done(cell)
        ranks = [rank for repeat in repeats for rank in repeat["ranks"]]
        lines.append(
            [
                cell["partition"],
                str(cell["batch_size"]),
                middle([repeat["seconds"] for repeat in repeats], "{:.1f}"),
                middle([repeat["rows"] / repeat["seconds"] for repeat in repeats]),
                middle([rank["sample_persec"] for rank in ranks]),
                middle([rank["throughput_bps"] / 1e6 for rank in ranks], "{:.1f}"),
                f"{statistics.median(repeat['billed_ms'] for repeat in repeats) / 1e3:.1f}",
                f"{statistics.median(repeat['cost_usd'] for repeat in repeats):.5f}",
                f"{max(repeat['peak_memory_mb'] for repeat in repeats):.0f}",
            ]
        )
    table(
        [
            "partition",
            "batch",
            "wall time, s",
            "galaxies/s",
            "galaxies/s a rank",
            "Mbit/s a rank",
            "billed, s",
            "cost on AWS, $",
            "MB",
        ],
        lines,
    )
    quality(sweep)


def billed_seconds() -> list[float]:
    lines = [line for line in LOG.read_text().splitlines() if "REPORT" in line]
    return [float(line.split("Billed Duration:")[1].split()[0]) / 1e3 for line in lines]


def memory_used() -> list[float]:
    lines = [line for line in LOG.read_text().splitlines() if "REPORT" in line]
    return [float(line.split("Max Memory Used:")[1].split()[0]) for line in lines]


def seconds(clock: str) -> float:
    minutes, rest = clock.split(":")
    return 60 * int(minutes) + float(rest)


def plan(cosmic: str, partition: int, memory: int, figures: list[str]) -> dict:
    command = [cosmic, "plan", "--json", "--payload", ROOT / "payloads/25MB-batch-512.json", "--size", SIZE]
    command += [
        "--partition-size",
        f"{partition}MiB",
        "--memory",
        str(memory),
        "--account-concurrency",
        "1000",
        *figures,
    ]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def beside(cosmic: str, figures: list[str]) -> None:
    print(f"{SIZE} of images on Lambda. Published: measured. Ours: by the model of `cosmic plan`, in us-east-1.\n")
    lines = []
    for partition in (25, 50, 75, 100):
        measured = [
            row
            for row in rows("execution-time.csv")
            if row["partition(MB)"] == str(partition) and row["data(GB)"] == "12.6"
        ]
        ours = [plan(cosmic, partition, memory, figures) for memory in (3008, PUBLISHED_MEMORY)]
        usd = "– (no log was published)"
        if partition == 75:
            billed = billed_seconds()
            # The first of the nine was a cold start.
            per_rank = statistics.mean(billed[1:]) * PUBLISHED_MEMORY / 1024 * GB_SECOND
            usd = f"{per_rank * float(measured[0]['num_worlds']):.2f}"
        lines.append(
            [
                f"{partition} MB",
                str(int(float(measured[0]["num_worlds"]))),
                span([seconds(row["duration"]) for row in measured]),
                usd,
                *(
                    f"{estimate['low']['wall_seconds']:.0f} to {estimate['high']['wall_seconds']:.0f}"
                    for estimate in ours
                ),
                *(
                    f"{estimate['low']['cost']['total_usd']:.2f} to {estimate['high']['cost']['total_usd']:.2f}"
                    for estimate in ours
                ),
            ]
        )
    table(
        [
            "partitions of",
            "ranks",
            "published: seconds",
            "published: $ billed",
            "ours at 3,008 MB: seconds",
            "at 10,240 MB",
            "ours at 3,008 MB: $",
            "at 10,240 MB",
        ],
        lines,
    )


def per_worker(sweep: dict) -> None:
    published = json.loads((HERE / "combined_data-25MB-1GB.json").read_text())
    ours = [
        rank
        for cell in sweep["cells"]
        if cell["batch_size"] == 512
        for repeat in done(cell)
        for rank in repeat["ranks"]
    ]
    used = memory_used()
    lines = [
        [
            "galaxies per second of inference",
            middle([rank["sample_persec"] for rank in published]),
            middle([rank["sample_persec"] for rank in ours]),
        ],
        [
            "Mbit per second of inference",
            middle([rank["throughput_bps"] / 1e6 for rank in published], "{:.1f}"),
            middle([rank["throughput_bps"] / 1e6 for rank in ours], "{:.1f}"),
        ],
        ["most memory used, MB", span(used), span([rank["total_cpu_memory (MB)"] for rank in ours])],
    ]
    machine = sweep["machine"]
    header = [
        "one worker, batches of 512",
        "published: Lambda, 10,240 MB",
        f"ours: {sweep['place']}, {machine['cores']} cores of {machine['cpu']} for two at once",
    ]
    table(header, lines)


def by_batch(sweep: dict) -> None:
    galaxies = 25 * 2**20 / 20_548
    print("CPU seconds of inference for a partition of 25 MB, by batch size.\n")
    lines = []
    for cell in sweep["cells"]:
        published = [
            float(row["total_cpu_time (seconds)"])
            for row in rows("batch-sweep.csv")
            if row["batch_size"] == str(cell["batch_size"]) and row["run"] != "mean"
        ]
        ours = [repeat["phases"]["inference"]["cpu_seconds"] / repeat["rows"] * galaxies for repeat in done(cell)]
        lines.append([str(cell["batch_size"]), middle(published, "{:.2f}"), middle(ours, "{:.2f}")])
    table(["batch", "published: Lambda", "ours: this machine"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--local", type=Path, required=True, help="sweep.json of payloads/sweep-local.json")
    parser.add_argument("--stack", type=Path, required=True, help="sweep.json of payloads/sweep.json")
    parser.add_argument("--cosmic", default=str(ROOT / "target/release/cosmic"))
    parser.add_argument(
        "--from", dest="figures", help="what `cosmic plan` takes its figures from, if not the shipped ones"
    )
    arguments = parser.parse_args()
    local, stack = (json.loads(path.read_text()) for path in (arguments.local, arguments.stack))
    local_inference(local)
    on_the_stack(stack)
    per_worker(stack)
    by_batch(local)
    beside(arguments.cosmic, ["--from", arguments.figures] if arguments.figures else [])


if __name__ == "__main__":
    main()
