"""`cosmic sweep` with executions: a cell that fails, the memory put back, and sweeps that are interrupted."""

import csv
import json
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import small_sky
from conftest import ROOT, Stack, deploy
from demo_sky import COSMIC

# 24 galaxies in three files of eight, on the packaged model.
SWEEP = {
    "name": "small",
    "place": "executions",
    "data": {"simulate": {"count": 24, "seed": 5}},
    "bucket": "cosmic-demo",
    "prefix": "sweeps",
    "grids": [{"partition_sizes": ["164kB"], "batch_sizes": [4, 8], "repeats": 2}],
}
# More than many new accounts let a function have.
QUOTA_MB = 3008
TOO_MUCH = {"partition_sizes": ["164kB"], "batch_sizes": [8], "memory_sizes": [4096], "repeats": 1}
LARGER = {"partition_sizes": ["164kB"], "batch_sizes": [8], "memory_sizes": [1536], "repeats": 1}


@pytest.fixture(scope="module")
def cosmic():
    options = json.dumps({"retry_pace": small_sky.RETRY_PACE, "memory_quota": QUOTA_MB})
    with Stack("--enforce-roles", "--limit-memory", "--options", options) as stack:
        yield deploy(stack)


class Sweep(SimpleNamespace):
    """A sweep file and the folder of its results."""

    def __init__(self, cosmic, folder: Path, **fields):
        super().__init__(cosmic=cosmic, file=folder / "sweep.json", out=folder / "out")
        self.write(**fields)

    def write(self, **fields) -> None:
        self.file.write_text(json.dumps(SWEEP | fields))

    def run(self, *arguments, check: bool = True) -> SimpleNamespace:
        command = ["sweep", self.file, "--out", self.out, "--json", *arguments]
        done = self.cosmic.stack.cosmic(*command, check=check)
        report = json.loads(done.stdout) if done.stdout.strip() else None
        return SimpleNamespace(code=done.returncode, report=report, said=done.stderr)

    def start(self) -> subprocess.Popen:
        command = [COSMIC, "sweep", self.file, "--out", self.out]
        return subprocess.Popen(list(map(str, command)), cwd=ROOT, env=self.cosmic.stack.environment)

    def record(self) -> dict:
        path = self.out / "sweep.json"
        return json.loads(path.read_text()) if path.exists() else {"cells": []}

    def repeats(self) -> list[tuple[int, int, str]]:
        return [
            (cell["batch_size"], cell["memory_mb"], repeat["repeat"], repeat["status"])
            for cell in self.record()["cells"]
            for repeat in cell["repeats"]
        ]

    def rows(self) -> list[dict]:
        with (self.out / "sweep.csv").open() as file:
            return list(csv.DictReader(file))


@pytest.fixture
def sweep(cosmic, tmp_path):
    before = memory(cosmic)
    yield Sweep(cosmic, tmp_path)
    assert memory(cosmic) == before, "the function's memory was not put back"


def memory(cosmic) -> int:
    functions = cosmic.stack.client("lambda")
    name = cosmic.deployed["outputs"]["InferenceFunctionName"]
    return functions.get_function_configuration(FunctionName=name)["MemorySize"]


def executions(cosmic) -> dict[str, str]:
    """The status of each execution of the sweep, by its name."""
    machine = cosmic.deployed["outputs"]["StateMachineArn"]
    found = cosmic.stack.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    return {execution["name"]: execution["status"] for execution in found}


def wait_for(condition, what: str):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"{what} did not come")


def test_a_cell_that_fails_leaves_its_reason_and_the_others_are_measured(cosmic, sweep):
    sweep.write(grids=[*SWEEP["grids"], TOO_MUCH, LARGER])
    ended = sweep.run(check=False)
    assert ended.code == 3, ended.said
    done = [(4, None, 1), (4, None, 2), (8, None, 1), (8, None, 2), (8, 1536, 1)]
    assert [repeat[:3] for repeat in sweep.repeats() if repeat[3] == "done"] == done

    record = sweep.record()
    failing = next(cell for cell in record["cells"] if cell["memory_mb"] == 4096)["repeats"]
    assert f"less than or equal to {QUOTA_MB}" in failing[0]["reason"], failing
    assert (record["place"], record["region"], record["asked"]["name"]) == ("local stack", "us-east-1", "small")
    assert "memory_to_restore" not in record and "running" not in record and record["ended_at"] > record["started_at"]
    assert record["model_sha256"] and record["machine"]["cores"] >= 1
    # The same galaxies at each batch size and memory.
    assert ended.report["redshifts_agree"] is True
    larger = next(cell for cell in record["cells"] if cell["memory_mb"] == 1536)["repeats"][0]
    assert {rank["memory_mb"] for rank in larger["ranks"]} == {1536} and larger["rows"] == 24
    for runs in record["cells"]:
        for repeat in runs["repeats"]:
            if repeat["status"] == "done":
                found = {"invocations": 5, "expected_invocations": 5, "at_least": False}
                assert repeat["cost_of"] == found and repeat["cost_usd"] > 0 and repeat["billed_ms"] > 0
                assert 0 < repeat["map_seconds"] <= repeat["seconds"]
                assert repeat["phases"]["inference"]["cpu_seconds"] > 0

    rows = sweep.rows()
    assert len(rows) == 6 and {row["status"] for row in rows} >= {"done"}
    assert {row["galaxies"] for row in rows if row["status"] == "done"} == {"24"}
    for name in ["time", "throughput", "memory", "cost", "phases"]:
        assert (sweep.out / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    tree = sweep.out / "published/result-partition-164kB/total/Batches/8/2/combined_data.json"
    assert [rank["batch_size"] for rank in json.loads(tree.read_text())] == [8, 8, 8]


def test_a_sweep_that_grows_runs_what_is_new_and_another_sweep_is_refused(cosmic, sweep):
    sweep.run()
    first = sweep.record()
    marker = cosmic.s3.list_objects_v2(Bucket=cosmic.bucket, Prefix="sweeps/partitions/")["Contents"]
    sweep.write(grids=[{"partition_sizes": ["164kB"], "batch_sizes": [4, 8, 16], "repeats": 2}])
    grown = sweep.run()
    assert len(grown.said.splitlines()) == 2, grown.said
    assert [cell["repeats"] for cell in sweep.record()["cells"][:2]] == [cell["repeats"] for cell in first["cells"]]
    again = cosmic.s3.list_objects_v2(Bucket=cosmic.bucket, Prefix="sweeps/partitions/")["Contents"]
    assert [(entry["Key"], entry["LastModified"]) for entry in again] == [
        (entry["Key"], entry["LastModified"]) for entry in marker
    ], "the partitions were made twice"

    for change, said in [
        ({"data": {"simulate": {"count": 32, "seed": 5}}}, "`data`"),
        ({"max_concurrency": 1}, "`max_concurrency`"),
        ({"grids": [{"partition_sizes": ["164kB"], "batch_sizes": [4], "repeats": 2}]}, "batch 8"),
        ({"grids": [{"partition_sizes": ["164kB"], "batch_sizes": [4, 8, 16], "repeats": 1}]}, "repeats"),
    ]:
        sweep.write(**change)
        refused = sweep.run(check=False)
        assert refused.code == 1 and said in refused.said, refused.said


def test_two_sweeps_do_not_change_the_memory_of_one_function(cosmic, sweep, tmp_path):
    sweep.write(grids=[LARGER | {"repeats": 3}])
    process = sweep.start()
    wait_for(lambda: sweep.record().get("running"), "a run")
    (tmp_path / "second").mkdir()
    second = Sweep(cosmic, tmp_path / "second", name="second", grids=[TOO_MUCH]).run(check=False)
    assert second.code == 1 and "is being changed by another sweep" in second.said and "small-" in second.said
    assert process.wait(120) == 0
    functions = cosmic.stack.client("lambda")
    function = functions.get_function(FunctionName=cosmic.deployed["outputs"]["InferenceFunctionName"])
    assert not any("cosmic:" in tag for tag in function.get("Tags", {})), function


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_stops_its_execution_and_goes_on_where_it_was(cosmic, sweep, how):
    sweep.write(grids=[LARGER | {"repeats": 3}])
    process = sweep.start()
    wait_for(lambda: len(sweep.repeats()) == 1 and sweep.record().get("running"), "the second run")
    running = sweep.record()["running"].rsplit(":", 1)[-1]
    process.send_signal(how)
    assert process.wait(60) == 1
    assert executions(cosmic)[running] == "ABORTED" and memory(cosmic) != 1536
    before = sweep.record()["cells"][0]["repeats"]
    sweep.run()
    repeats = sweep.record()["cells"][0]["repeats"]
    assert [repeat["repeat"] for repeat in repeats] == [1, 2, 3] and repeats[: len(before)] == before


def test_what_a_killed_sweep_has_left_is_put_back_by_the_next_one(cosmic, sweep):
    deployed = memory(cosmic)
    sweep.write(grids=[LARGER | {"repeats": 2}])
    process = sweep.start()
    running = wait_for(lambda: sweep.record().get("running"), "a run").rsplit(":", 1)[-1]
    process.kill()
    process.wait(60)
    assert memory(cosmic) == 1536
    restored = sweep.run("--restore")
    assert any(f"{deployed} MB again" in said for said in restored.report), restored.report
    assert memory(cosmic) == deployed and executions(cosmic)[running] in ("ABORTED", "SUCCEEDED")
    assert sweep.run("--restore").report == []

    process = sweep.start()
    wait_for(lambda: sweep.record().get("running"), "a run")
    process.kill()
    process.wait(60)
    ended = sweep.run()
    assert f"{deployed} MB again" in ended.said and ended.report["done"] == 2
