"""A run of very many ranks on the local stack, with a function in the place of inference that answers at once: what
Step Functions would have to carry, beside what it carries at most. `scripts/load_test.sh` runs it.

Initializer, state machine and summarizer are the real ones. The ranks leave nothing, and each hundredth fails, so that
the map has both kinds of result files and the summarizer names every rank as missing. What it takes to merge what
10,000 ranks leave is measured by `scripts/bench.sh --scale`.
"""

import io
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy

from conftest import Cosmic, Stack, deploy
from test_local_stack import zipped

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
HISTORY_EVENTS, STATE_BYTES = 25_000, 262_144
# Children whose histories are read, evenly over all.
CHILDREN = 20
# Retries of Step Functions wait for seconds; what is measured does not depend on it.
OPTIONS = {"retry_pace": 0.05}

# As long as a real rank's answer.
STUB = """
def handle(event, headers):
    rank = event["rank"]
    if rank % 100 == 0:
        class BadPartition(Exception): pass
        raise BadPartition("bad partition: s3://cosmic-demo/load/1.npz: " + "what is wrong with it, in words. " * 4)
    return {"rank": rank, "rows": 123456, "flagged": 12345, "bytes": 123456789, "unreadable_files": 0,
            "milliseconds": 123456, "waiting_seconds": 123.456789, "inference_seconds": 123.456789, "skipped": False}
"""


@dataclass
class Figure:
    name: str
    value: float
    unit: str = ""
    # What AWS allows; None where it says nothing.
    limit: int | None = None

    def __str__(self) -> str:
        limit = f"   limit {self.limit:,}" if self.limit else ""
        return f"{self.name:<46}{self.value:>12,.{0 if float(self.value).is_integer() else 1}f} {self.unit:<8}{limit}"


def main() -> None:
    ranks = int(sys.argv[1])
    with Stack("--options", json.dumps(OPTIONS)) as stack:
        figures = load(stack, ranks)
    print(*figures, sep="\n")
    exceeded = [figure.name for figure in figures if figure.limit and figure.value > figure.limit]
    if exceeded:
        sys.exit(f"above what Step Functions carries: {', '.join(exceeded)}")


def load(stack: Stack, ranks: int) -> list[Figure]:
    """Runs so many ranks, and gives what was measured."""
    cosmic = deploy(stack)
    cosmic.upload("load", {"1.npz": galaxies(ranks)})
    stack.client("lambda").update_function_code(
        FunctionName=cosmic.deployed["outputs"]["InferenceFunctionName"], ZipFile=zipped(STUB)
    )
    # Forgets the peak so far, which is the upload's: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html
    Path(f"/proc/{stack.process.pid}/clear_refs").write_text("5")
    before, started, cpu = memory_mb(stack, "VmRSS"), time.monotonic(), cpu_seconds(stack)
    payload = {
        "bucket": cosmic.bucket,
        "prefix": "load",
        "batch_size": 512,
        "world_size": ranks,
        "tolerated_failure_percentage": 100,
        "result_path": "results/load",
    }
    arn = cosmic.start(payload)
    ended = wait(cosmic, arn)
    wall, cpu = time.monotonic() - started, cpu_seconds(stack) - cpu
    assert ended["status"] == "SUCCEEDED", ended
    peak = memory_mb(stack, "VmHWM")

    states = stack.client("stepfunctions")
    [run] = states.list_map_runs(executionArn=arn)["mapRuns"]
    counts = states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    failed = -(-ranks // 100)
    assert (counts["succeeded"], counts["failed"]) == (ranks - failed, failed), counts
    results = json.loads(cosmic.read("results/load/Results.json"))
    reasons = [entry["reason"] for entry in results["missing"]]
    assert len(reasons) == ranks and sum("BadPartition" in reason for reason in reasons) == failed

    own = history(states, arn)
    listed = children(states, run["mapRunArn"])
    assert len(listed) == ranks
    spread = [history(states, listed[index]) for index in range(0, ranks, max(ranks // CHILDREN, 1))]
    folder = f"results/load/map/{run['mapRunArn'].rsplit(':', 1)[1]}"
    return [
        Figure("ranks", ranks),
        Figure("wall time", wall, "s"),
        Figure("events in the execution's history", len(own), limit=HISTORY_EVENTS),
        Figure("events in a rank's history, at most", max(map(len, spread)), limit=HISTORY_EVENTS),
        Figure("largest data of a state of the execution", largest(own), "bytes", STATE_BYTES),
        Figure("largest data of a state of a rank", max(map(largest, spread)), "bytes", STATE_BYTES),
        Figure("list of ranks that the map reads", size(cosmic, "results/load/tasks.json"), "bytes"),
        Figure("result file of ranks that succeeded", size(cosmic, f"{folder}/SUCCEEDED_0.json"), "bytes"),
        Figure("result file of ranks that failed", size(cosmic, f"{folder}/FAILED_0.json"), "bytes"),
        Figure("Results.json, which names each rank", size(cosmic, "results/load/Results.json"), "bytes"),
        Figure("memory of the local stack, before", before, "MB"),
        Figure("memory of the local stack, at most", peak, "MB"),
        Figure("processor time of the local stack", cpu, "s"),
    ]


def galaxies(rows: int) -> bytes:
    """A partition without galaxies worth looking at, of which every rank has a row."""
    file = io.BytesIO()
    numpy.savez(
        file,
        images=numpy.zeros((rows, 5, 32, 32), numpy.float32),
        magnitudes=numpy.zeros((rows, 5), numpy.float32),
    )
    return file.getvalue()


def wait(cosmic: Cosmic, arn: str) -> dict:
    """Waits for the end of an execution, without asking so often that it takes the stack's time."""
    states = cosmic.stack.client("stepfunctions")
    while (described := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.5)
    return described


def history(states, arn: str) -> list[dict]:
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=1000)
    return [event for page in pages for event in page["events"]]


def children(states, map_run: str) -> list[str]:
    pages = states.get_paginator("list_executions").paginate(mapRunArn=map_run, maxResults=1000)
    return [child["executionArn"] for page in pages for child in page["executions"]]


def largest(events: list[dict]) -> int:
    """The most bytes of an input, an output or parameters."""
    details = [value for event in events for value in event.values() if isinstance(value, dict)]
    texts = [detail[name] for detail in details for name in ("input", "output", "parameters") if name in detail]
    return max(len(text.encode()) for text in texts)


def size(cosmic: Cosmic, key: str) -> int:
    return cosmic.s3.head_object(Bucket=cosmic.bucket, Key=key)["ContentLength"]


def memory_mb(stack: Stack, field: str) -> int:
    """A figure of /proc's on the stack's process, which is the interpreter: functions are processes of their own."""
    status = Path(f"/proc/{stack.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) // 1024


def cpu_seconds(stack: Stack) -> float:
    fields = Path(f"/proc/{stack.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
