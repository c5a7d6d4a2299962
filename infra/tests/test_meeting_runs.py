"""Executions that meet under one result path, on the local stack: the worst of what
crates/pipeline/tests/interleavings.rs tries by the thousand.
"""

import json
import time

import pytest

import small_sky
from conftest import Stack


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    with Stack("--enforce-roles", "--options", f'{{"retry_pace": {small_sky.RETRY_PACE}}}') as stack:
        yield small_sky.deployed(stack, tmp_path_factory.mktemp("small-sky"))


def inputs_of_functions(sky, arn: str, folder: str) -> dict[str, list[dict]]:
    """What an execution has given to the functions, by their names."""
    found: dict[str, list[dict]] = {}
    states = sky.stack.client("stepfunctions")
    for event in states.get_execution_history(executionArn=arn, maxResults=1000)["events"]:
        if scheduled := event.get("taskScheduledEventDetails"):
            parameters = json.loads(scheduled["parameters"])
            name = parameters["FunctionName"].rsplit("-", 1)[1]
            found.setdefault(name, []).append(parameters["Payload"])
    [ranks] = (key for key in snapshot(sky, folder) if key.endswith("/SUCCEEDED_0.json"))
    found["inference"] = [json.loads(child["Input"]) for child in json.loads(sky.cosmic.read(ranks))]
    return found


def invoke(sky, function: str, event: dict) -> dict:
    answer = sky.stack.client("lambda").invoke(FunctionName=f"cosmic-{function}", Payload=json.dumps(event))
    return json.loads(answer["Payload"].read())


def snapshot(sky, folder: str) -> dict[str, str]:
    listed = sky.cosmic.s3.list_objects_v2(Bucket=sky.cosmic.bucket, Prefix=f"{folder}/")["Contents"]
    return {entry["Key"]: entry["ETag"] for entry in listed}


def test_functions_of_an_overwritten_run_that_live_on_change_nothing(sky):
    old = sky.cosmic.start({**small_sky.PAYLOAD, "result_path": "met"})
    assert sky.cosmic.wait(old)["status"] == "SUCCEEDED"
    events = inputs_of_functions(sky, old, "met")
    assert small_sky.run(sky.cosmic, "met", batch_size=64, overwrite=True)["status"] == "SUCCEEDED"
    before = snapshot(sky, "met")

    [initialize], [summarize] = events["initializer"], events["summarizer"]
    assert len(events["inference"]) == len(small_sky.PARTITIONS)
    assert invoke(sky, "summarizer", summarize)["errorType"] == "PlanMismatch"
    assert invoke(sky, "inference", events["inference"][0])["errorType"] == "PlanMismatch"
    for overwrite in (False, True):
        late = {**initialize, "payload": {**initialize["payload"], "overwrite": overwrite}}
        assert invoke(sky, "initializer", late)["errorType"] == "ExecutionEnded"

    assert snapshot(sky, "met") == before
    small_sky.check_complete(sky, "met")


def test_nobody_gets_the_path_of_an_execution_that_runs_and_it_can_be_followed(sky):
    sky.stack.options(faults={"delay": 0.9}, seed=1)
    first = sky.cosmic.start({**small_sky.PAYLOAD, "result_path": "busy"})
    while "Contents" not in sky.cosmic.s3.list_objects_v2(Bucket=sky.cosmic.bucket, Prefix="busy/plan.json"):
        time.sleep(0.05)
    for fields in ({}, {"overwrite": True}, {"batch_size": 64, "overwrite": True}):
        refused = small_sky.run(sky.cosmic, "busy", **fields)
        assert (refused["status"], refused["error"]) == ("FAILED", "ResultPathBusy")
        assert first in refused["cause"] and "cosmic run --attach" in refused["cause"]
    sky.stack.options(faults={})
    attached = sky.stack.cosmic("run", "--json", "--attach", first)
    report = json.loads(attached.stdout)
    assert (report["status"], report["results"]["complete"]) == ("SUCCEEDED", True)
    small_sky.check_complete(sky, "busy")


def test_results_that_another_run_replaces_are_not_taken_for_ones_own(sky, tmp_path):
    first = sky.cosmic.start({**small_sky.PAYLOAD, "result_path": "replaced"})
    assert sky.cosmic.wait(first)["status"] == "SUCCEEDED"
    assert small_sky.run(sky.cosmic, "replaced", batch_size=64, overwrite=True)["status"] == "SUCCEEDED"
    out = tmp_path / "out"
    late = sky.stack.cosmic("run", "--attach", first, "--out", out, check=False)
    assert late.returncode == 1 and "replaced" in late.stderr, late.stderr
    assert list(out.iterdir()) == []

    # A file that is not the one that Results.json speaks of is no result.
    key = "replaced/combined_data.json"
    whole = sky.cosmic.read(key)
    sky.cosmic.s3.put_object(Bucket=sky.cosmic.bucket, Key=key, Body=whole + b" ")
    again = sky.cosmic.start({**small_sky.PAYLOAD, "result_path": "replaced", "batch_size": 64})
    assert sky.cosmic.wait(again)["status"] == "SUCCEEDED"
    sky.cosmic.s3.put_object(Bucket=sky.cosmic.bucket, Key=key, Body=whole + b" ")
    broken = sky.stack.cosmic("run", "--attach", again, "--out", out, check=False)
    assert broken.returncode == 1 and "SHA-256" in broken.stderr, broken.stderr
    assert list(out.iterdir()) == []
