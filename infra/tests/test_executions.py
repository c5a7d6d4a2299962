"""The main job, end to end: a payload starts an execution, a catalogue comes out. Real zips, real processes, S3 and
Step Functions over HTTP.
"""

import io
import json
import math

import pandas
import pytest

import torch_files
from conftest import MODEL, ROOT
from demo_sky import PARTITIONS as DEMO_ROWS

DEMO_GALAXIES = sum(DEMO_ROWS.values())
# The bit of the one flag of a galaxy that has a redshift; lower ones say why there is none.
OUTSIDE_CALIBRATION = 8
PUBLISHED_KEYS = {
    "total_cpu_time (seconds)",
    "total_cpu_memory (MB)",
    "execution_time (seconds/batch)",
    "num_batches",
    "batch_size",
    "device",
    "throughput_bps",
    "sample_persec",
    "result_path",
    "data_path",
}


def catalogue(cosmic, result_path: str) -> pandas.DataFrame:
    return pandas.read_parquet(io.BytesIO(cosmic.read(f"{result_path}/predictions.parquet")))


def rows(catalogue: pandas.DataFrame) -> list[tuple[str, int]]:
    return list(zip(catalogue["source_file"].str.rsplit("/", n=1).str[-1], catalogue["row_index"], strict=True))


@pytest.fixture(scope="module")
def demo(cosmic, tmp_path_factory):
    """The demo's run, with its results downloaded."""
    folder = tmp_path_factory.mktemp("demo")
    run = cosmic.run("--out", folder)
    run.path = f"results/{run.report['execution']}"
    run.folder = folder
    return run


def test_the_demo_gives_a_redshift_for_each_galaxy(cosmic, demo):
    assert (demo.code, demo.report["status"]) == (0, "SUCCEEDED")
    results = demo.report["results"]
    assert results["R2"] > 0.97
    assert results["complete"] and results["missing"] == []
    found = catalogue(cosmic, demo.path)
    outside = int((found["flags"] == OUTSIDE_CALIBRATION).sum())
    assert results["counts"] == {
        "files": 6,
        "ranks": 6,
        "rows": DEMO_GALAXIES,
        "predicted": DEMO_GALAXIES,
        "flagged": 0,
        "flags": {"bad_image": 0, "bad_magnitude": 0, "bad_prediction": 0, "outside_calibration": outside},
        "compared": DEMO_GALAXIES,
        "implausible_redshifts": 0,
    }
    assert results["made_by"]["model"] == "demo/model.safetensors"

    assert rows(found) == [(name, row) for name, count in DEMO_ROWS.items() for row in range(count)]
    assert found["z_phot"].between(-0.1, 1).all() and outside < 0.01 * DEMO_GALAXIES
    quantiles = found[["z_phot_q02", "z_phot_q16", "z_phot_q50", "z_phot_q84", "z_phot_q98"]]
    assert (quantiles.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    coverage = found["z_spec"].between(found["z_phot_q16"], found["z_phot_q84"]).mean()
    # Four standard deviations of as many galaxies.
    assert math.isclose(coverage, results["intervals"]["coverage_68"]) and abs(coverage - 0.6827) < 0.036
    assert results["made_by"]["calibration"]["galaxies"] == 100_000
    truth = found["z_spec"]
    r2 = 1 - ((found["z_phot"] - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert math.isclose(results["R2"], r2, rel_tol=1e-5)

    assert (demo.folder / "predictions.parquet").read_bytes() == cosmic.read(f"{demo.path}/predictions.parquet")
    assert json.loads((demo.folder / "Results.json").read_text()) == results
    assert (demo.folder / "inference.png").read_bytes().startswith(b"\x89PNG")
    combined = json.loads(cosmic.read(f"{demo.path}/combined_data.json"))
    assert len(combined) == 6 and all(entry.keys() >= PUBLISHED_KEYS for entry in combined)
    assert [entry["rank"] for entry in combined] == list(range(6))


def test_a_run_leaves_a_page_and_cosmic_report_adds_what_logs_and_data_know(cosmic, demo, tmp_path):
    r2 = f'value="{demo.report["results"]["R2"]!r}"'
    left = (demo.folder / "report.html").read_text()
    assert left.startswith("<!DOCTYPE html>") and r2 in left and "Cost on AWS" not in left

    page = tmp_path / "page.html"
    printed = cosmic.stack.cosmic("report", "--json", f"s3://{cosmic.bucket}/{demo.path}", "--out", page).stdout
    made = json.loads(printed)
    assert math.isclose(made["figures"]["cost"]["total_usd"], demo.report["cost"]["total_usd"])
    text = page.read_text()
    assert r2 in text and "Cost on AWS" in text and "cold start" in text
    assert text.count("in five bands and in colour") == 12
    assert made["bytes"] == page.stat().st_size < 3_000_000


def test_the_state_machine_took_its_straight_path(cosmic, demo):
    pages = (
        cosmic.stack.client("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=demo.report["execution_arn"])
    )
    events = [event for page in pages for event in page["events"]]
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    assert entered == ["Initialize", "AnythingToRun", "Ranks", "Summarize", "Accepted", "Done"]
    assert not [event["type"] for event in events if event["type"].endswith("Failed")]

    listed = cosmic.s3.list_objects_v2(Bucket=cosmic.bucket, Prefix=f"{demo.path}/map/")["Contents"]
    keys = {entry["Key"].rsplit("/", 1)[1]: entry["Key"] for entry in listed}
    assert keys.keys() == {"manifest.json", "SUCCEEDED_0.json"}
    children = json.loads(cosmic.read(keys["SUCCEEDED_0.json"]))
    assert [json.loads(child["Input"])["rank"] for child in children] == list(range(6))


def test_logs_join_ranks_with_their_invocations_and_the_cost_adds_up(cosmic, demo):
    logs = json.loads(cosmic.stack.cosmic("logs", "--json", "--execution", demo.report["execution_arn"]).stdout)
    functions = [invocation["function"] for invocation in logs["invocations"]]
    assert functions.count("cosmic-initializer") == functions.count("cosmic-summarizer") == 1
    ranks = [invocation for invocation in logs["invocations"] if invocation["function"] == "cosmic-inference"]
    assert sorted(invocation["rank"] for invocation in ranks) == list(range(6))
    cold = sum(invocation["init_ms"] is not None for invocation in ranks)
    assert 1 <= cold <= 4, "max_concurrency is 4: the later ranks find a warm function"
    assert all(0 < invocation["used_mb"] < 300 for invocation in ranks)
    for invocation in logs["invocations"]:
        assert invocation["billed_ms"] >= invocation["duration_ms"] + (invocation["init_ms"] or 0)

    prices = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
    duration = sum(
        i["billed_ms"] / 1000 * i["memory_mb"] / 1024 * prices[i["architecture"]] for i in logs["invocations"]
    )
    # Initialize, AnythingToRun, Ranks, Summarize, Accepted, Done and the end; each child's one state and end.
    transitions = 7 + 2 * 6
    reads, writes = (sum(i["requests"][kind] for i in logs["invocations"]) for kind in ("reads", "writes"))
    assert reads > 8 and writes >= 8
    expected = duration + 8 * 0.20e-6 + transitions * 25e-6 + reads * 0.4e-6 + writes * 5e-6
    assert logs["cost"] == demo.report["cost"]
    assert math.isclose(logs["cost"]["total_usd"], expected, rel_tol=1e-9)


# What a rank says, each with its time.
STAGES = {
    "plan read: these files are this rank's, or parts of them",
    "engine ready",
    "predicted",
    "rows and record written",
    "rank finished",
}


def test_function_logs_tell_each_stage_with_rank_rows_bytes_and_time(cosmic, demo):
    logs = cosmic.stack.client("logs")
    lines = [
        event["message"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/cosmic-inference")
        for event in page["events"]
    ]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [event for event in events if event.get("span", {}).get("execution") == demo.report["execution"]]
    by_rank = {rank: [event for event in mine if event["span"]["rank"] == rank] for rank in range(6)}
    for rank, count in enumerate(DEMO_ROWS.values()):
        said = {event["message"]: event for event in by_rank[rank]}
        untimed = {message for message, event in said.items() if "milliseconds" not in event}
        assert said.keys() >= STAGES and untimed == {"rank metrics", "requests to S3"}, said.keys()
        totals, requests = said["rank finished"], said["requests to S3"]
        assert totals["rows"] == count and totals["bytes"] > 20_000 * count and totals["milliseconds"] > 0, totals
        assert requests["reads"] > 0 and requests["writes"] > 0


def test_any_world_size_and_this_machine_alone_give_the_same_catalogue(cosmic, demo, tmp_path):
    reference = catalogue(cosmic, demo.path)
    assert reference["object_id"].is_unique and reference["ra"].between(180, 190).all()
    shared = cosmic.run(world_size=8, batch_size=32, result_path="shared")
    assert shared.report["results"]["counts"]["ranks"] == 8
    intervals, alone = (dict(run.report["results"]["intervals"]) for run in (shared, demo))
    assert math.isclose(intervals.pop("crps"), alone.pop("crps")) and intervals == alone
    found = catalogue(cosmic, "shared")
    assert rows(found) == rows(reference)
    # Identifiers, positions, quantiles and flags too.
    without_keys = reference.drop(columns="source_file")
    assert found.drop(columns="source_file").equals(without_keys)

    cosmic.stack.cosmic("infer", "--data", f"s3://{cosmic.bucket}/demo/partitions", "--model", MODEL, "--out", tmp_path)
    local = pandas.read_parquet(tmp_path / "predictions.parquet")
    assert rows(local) == rows(reference)
    assert local.drop(columns="source_file").equals(without_keys)

    in_int8 = cosmic.run(precision="int8", file_limit=2, world_size=3, result_path="int8").report["results"]
    assert (in_int8["made_by"]["precision"], in_int8["payload"]["precision"]) == ("int8", "int8")
    data = f"s3://{cosmic.bucket}/demo/partitions"
    options = ("--precision", "int8", "--file-limit", 2, "--out", tmp_path)
    cosmic.stack.cosmic("infer", "--data", data, "--model", MODEL, *options)
    local = pandas.read_parquet(tmp_path / "predictions.parquet").drop(columns="source_file")
    assert local.equals(catalogue(cosmic, "int8").drop(columns="source_file"))
    moved = (local["z_phot"] - without_keys["z_phot"][: len(local)]).abs() / (1 + local["z_phot"])
    assert moved.max() < 1e-3


def test_a_world_size_above_the_number_of_rows_is_a_rank_per_row(cosmic, demo_sky):
    prefix = cosmic.upload("one", {"3.pt": (demo_sky / "3.pt").read_bytes()})
    run = cosmic.run(prefix=prefix, world_size=5)
    counts = run.report["results"]["counts"]
    assert counts["flags"].pop("outside_calibration") in (0, 1)
    assert run.code == 0 and counts == {
        "files": 1,
        "ranks": 1,
        "rows": 1,
        "predicted": 1,
        "flagged": 0,
        "flags": {"bad_image": 0, "bad_magnitude": 0, "bad_prediction": 0},
        "compared": 1,
        "implausible_redshifts": 0,
    }


def test_bad_files_are_named_and_cost_no_other_galaxy_its_redshift(cosmic, demo_sky):
    good = (demo_sky / "10.pt").read_bytes()
    prefix = cosmic.upload(
        "bad",
        {
            "1-good.pt": good,
            "2-page.pt": b"<html>403 Forbidden</html>" * 100,
            "3-truncated.pt": good[: len(good) // 2],
            "4-narrow.pt": torch_files.with_narrow_images(good),
            "5-integer.pt": torch_files.with_integer_images(good),
            "6-nan.pt": torch_files.with_nan_pixel(good, row=7),
            "7-empty.pt": b"",
        },
    )
    run = cosmic.run(prefix=prefix, result_path="bad-results", check=False)
    assert (run.code, run.report["status"], run.report["error"]) == (3, "FAILED", "IncompleteCatalogue")
    missing = {entry["files"][0].rsplit("/", 1)[1]: entry["reason"] for entry in run.report["results"]["missing"]}
    assert missing.keys() == {"2-page.pt", "3-truncated.pt", "4-narrow.pt", "5-integer.pt", "7-empty.pt"}
    for name, reason in missing.items():
        assert reason.startswith("BadPartition") and f"s3://{cosmic.bucket}/bad/{name}" in reason, reason
    assert "5" in run.report["cause"] and "2-page.pt" in run.report["cause"]

    found = catalogue(cosmic, "bad-results")
    assert rows(found) == [(name, row) for name in ("1-good.pt", "6-nan.pt") for row in range(25)]
    whole, nan = found[:25].reset_index(drop=True), found[25:].reset_index(drop=True)
    assert list(nan.index[nan["flags"] % OUTSIDE_CALIBRATION != 0]) == [7] and nan["z_phot"].isna()[7]
    others = [row for row in range(25) if row != 7]
    assert (whole["z_phot"][others] == nan["z_phot"][others]).all()

    tolerant = cosmic.run(prefix=prefix, result_path="bad-tolerated", tolerated_failure_percentage=80, check=False)
    assert (tolerant.code, tolerant.report["status"]) == (3, "SUCCEEDED")
    assert not tolerant.report["results"]["complete"]


def test_a_run_is_resumed_by_the_same_payload_and_its_folder_is_safe_from_another(cosmic):
    first = cosmic.run(result_path="mine")
    left = {task["rank"]: task["object"] for task in json.loads(cosmic.read("mine/tasks.json"))}
    for rank in (2, 4):
        cosmic.s3.delete_object(Bucket=cosmic.bucket, Key=f"mine/ranks/{left[rank]}.parquet")
    again = cosmic.run(result_path="mine")
    assert again.report["results"]["complete"]
    assert (
        again.report["results"]["throughput"]["resumed_rows"] == DEMO_GALAXIES - DEMO_ROWS["3.pt"] - DEMO_ROWS["5.pt"]
    )
    assert catalogue(cosmic, "mine").shape[0] == DEMO_GALAXIES

    other = cosmic.run(result_path="mine", batch_size=64, check=False)
    assert other.code == 1 and "ResultPathTaken" in other.said and "overwrite" in other.said
    assert cosmic.run(result_path="mine", batch_size=64, overwrite="true").report["results"]["complete"]
    assert first.report["results"]["R2"] == again.report["results"]["R2"]


def test_the_published_payload_runs_as_it_is(cosmic):
    payload = {
        "bucket": "cosmic-demo",
        "file_limit": "2",
        "batch_size": 512,
        "object_type": "folder",
        "S3_object_name": "Anomaly Detection",
        "script": "/tmp/Anomaly Detection/Inference/inference.py",
        "result_path": "result-partition-100MB/1GB/1",
        "data_bucket": "cosmic-demo",
        "data_prefix": "demo/partitions",
    }
    ended = cosmic.execute(payload)
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"])["rows"] == DEMO_ROWS["1.pt"] + DEMO_ROWS["2.pt"]
    results = json.loads(cosmic.read("result-partition-100MB/1GB/1/Results.json"))
    assert results["made_by"]["model"] == "model.safetensors", "the packaged one"


@pytest.mark.parametrize(
    "change, error, named",
    [
        ({"prefix": "nothing/here"}, "EmptyPrefix", ["s3://cosmic-demo/nothing/here/"]),
        # A role that may do nothing with a bucket is not told that there is none.
        ({"data_bucket": "cosmic-nowhere"}, "AccessDenied", ["cosmic-nowhere"]),
        ({"model": "demo/absent.pt"}, "NotFound", ["s3://cosmic-demo/demo/absent.pt"]),
        ({"model": "demo/partitions/1.pt"}, "BadModel", ["s3://cosmic-demo/demo/partitions/1.pt"]),
        ({"batch_size": "many"}, "BadPayload", ["batch_size", "many"]),
        ({"batchsize": 5}, "BadPayload", ["batchsize", "batch_size"]),
        ({"engine": "abacus"}, "BadEngine", ["abacus", "native"]),
    ],
)
def test_bad_input_ends_the_execution_with_a_name_and_the_key(cosmic, change, error, named):
    payload = json.loads((ROOT / "payloads/demo.json").read_text()) | change
    ended = cosmic.execute(payload)
    assert ended["status"] == "FAILED"
    said = f"{ended['error']} {ended['cause']}"
    assert error in said and all(name in said for name in named), said


def test_partitions_behind_the_first_thousand_objects_are_found(cosmic, demo_sky):
    cosmic.upload("crowded", {f"{index:04}.txt": b"" for index in range(1100)})
    cosmic.upload("crowded", {"last.pt": (demo_sky / "3.pt").read_bytes()})
    assert cosmic.run(prefix="crowded").report["results"]["counts"]["rows"] == 1


def test_split_partitions_are_the_same_galaxies(cosmic, demo):
    whole = f"s3://{cosmic.bucket}/demo/partitions/2.pt"
    cosmic.stack.cosmic("split", whole, "--partition-size", "5MB", "--out", f"s3://{cosmic.bucket}/cut")
    run = cosmic.run(prefix="cut", result_path="cut-results")
    assert run.report["results"]["counts"]["files"] == 4
    reference = catalogue(cosmic, demo.path)
    reference = reference[reference["source_file"].str.endswith("/2.pt")].reset_index(drop=True)
    found = catalogue(cosmic, "cut-results")
    assert list(found["z_spec"]) == list(reference["z_spec"])
    assert found["z_phot"].equals(reference["z_phot"]) and found["object_id"].equals(reference["object_id"])


def test_a_deployment_without_changes_changes_nothing(cosmic):
    again = json.loads(cosmic.stack.run(*cosmic.deploy).stdout)
    assert again == {**cosmic.deployed, "changes": []}
