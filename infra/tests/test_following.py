"""Executions that are followed, attached to, stopped and resumed; their log lines, and the true count of their
invocations.
"""

import io
import json
import math
import shlex
import signal
import subprocess
import time
import uuid
from types import SimpleNamespace

import pandas
import pytest

import small_sky
from conftest import ROOT, Stack
from demo_sky import COSMIC

RANKS = len(small_sky.PARTITIONS)
# Initialize, AnythingToRun, Ranks, Summarize, Accepted, Done, and the end.
OWN_TRANSITIONS = 7


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    options = {"retry_pace": small_sky.RETRY_PACE, "log_calls": 5, "log_delay_seconds": 1.0}
    with Stack("--enforce-roles", "--options", json.dumps(options)) as stack:
        sky = small_sky.deployed(stack, tmp_path_factory.mktemp("small-sky"))
        sky.states = stack.client("stepfunctions")
        yield sky


@pytest.fixture(autouse=True)
def undisturbed_afterwards(sky):
    yield
    sky.stack.options(faults={}, throttle=False, concurrency=2)


def named(sky, result_path: str, **fields) -> SimpleNamespace:
    """Starts an execution under a name of its own."""
    name = f"{result_path.replace(' ', '-')}-{uuid.uuid4().hex[:6]}"
    payload = {**small_sky.PAYLOAD, "result_path": result_path, **fields}
    machine = sky.cosmic.deployed["outputs"]["StateMachineArn"]
    started = sky.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(payload))
    return SimpleNamespace(name=name, arn=started["executionArn"])


def slow(sky) -> None:
    """Makes most requests of the functions to S3 take longer."""
    sky.stack.options(faults={"delay": 0.9}, delay_seconds=0.4, seed=1)


def status(sky, execution: SimpleNamespace) -> str:
    return sky.states.describe_execution(executionArn=execution.arn)["status"]


def finished_ranks(sky, execution: SimpleNamespace) -> int:
    runs = sky.states.list_map_runs(executionArn=execution.arn)["mapRuns"]
    return sum(sky.states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]["succeeded"] for run in runs)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.05)


def catalogue(sky, folder: str) -> pandas.DataFrame:
    return pandas.read_parquet(io.BytesIO(sky.cosmic.read(f"{folder}/predictions.parquet")))


def test_an_execution_is_followed_by_name_from_anywhere_and_shown_again_after_its_end(sky, tmp_path):
    slow(sky)
    execution = named(sky, "attached")
    following = sky.stack.cosmic("run", "--json", "--attach", execution.name, "--out", tmp_path / "out")
    report = json.loads(following.stdout)
    assert (report["status"], report["results"]["complete"]) == ("SUCCEEDED", True)
    assert json.loads((tmp_path / "out/Results.json").read_text())["sha256"] == report["results"]["sha256"]
    invocations = RANKS + 2
    assert report["cost_of"] == {
        "invocations": invocations,
        "expected_invocations": invocations,
        "throttled_attempts": 0,
        "ranks": {"started": RANKS, "read": RANKS},
        "so_far": False,
    }
    assert report["cost"]["state_transitions"] == OWN_TRANSITIONS + 2 * RANKS
    described = sky.states.describe_execution(executionArn=execution.arn)
    logs = json.loads(sky.stack.cosmic("logs", "--json", "--execution", execution.arn).stdout)
    for invocation in logs["invocations"]:
        assert invocation["requests"]["reads"] > 0 and invocation["requests"]["writes"] > 0, invocation
        began, ended = (described[date].timestamp() for date in ("startDate", "stopDate"))
        assert began <= invocation["started_at"] <= ended
    again = json.loads(sky.stack.cosmic("run", "--json", "--attach", execution.arn).stdout)
    assert {**again, "paths": []} == {**report, "paths": []}


def test_what_is_attached_to_ends_as_it_would_have_when_it_was_started(sky):
    failed = named(sky, "failed", prefix="nothing/here")
    done = sky.stack.cosmic("run", "--attach", failed.name, check=False)
    assert done.returncode == 1 and f"execution {failed.name} ended as FAILED: EmptyPrefix" in done.stderr, done.stderr

    broken = named(sky, "no-payload", batchsize=3)
    done = sky.stack.cosmic("run", "--attach", broken.name, check=False)
    assert done.returncode == 1 and "ended as FAILED: BadPayload" in done.stderr, done.stderr

    prefix = sky.cosmic.upload("half", {"1.pt": b"no galaxies", "2.pt": sky.cosmic.read(f"{small_sky.PREFIX}/4.pt")})
    incomplete = named(sky, "incomplete", prefix=prefix)
    done = sky.stack.cosmic("run", "--json", "--attach", incomplete.name, check=False)
    assert (done.returncode, json.loads(done.stdout)["error"]) == (3, "IncompleteCatalogue"), done.stderr


def test_an_execution_that_runs_out_of_time_says_so(sky):
    [machine] = sky.states.list_state_machines()["stateMachines"]
    role = sky.states.describe_state_machine(stateMachineArn=machine["stateMachineArn"])["roleArn"]
    definition = {
        "StartAt": "Wait",
        "TimeoutSeconds": 1,
        "States": {"Wait": {"Type": "Wait", "Seconds": 3, "End": True}},
    }
    made = sky.states.create_state_machine(name="waiting", definition=json.dumps(definition), roleArn=role)
    try:
        payload = json.dumps(small_sky.PAYLOAD)
        sky.states.start_execution(stateMachineArn=made["stateMachineArn"], name="late", input=payload)
        done = sky.stack.cosmic("run", "--attach", "late", "--state-machine", "waiting", check=False)
        assert done.returncode == 1 and "execution late ended as TIMED_OUT" in done.stderr, done.stderr
    finally:
        sky.states.delete_state_machine(stateMachineArn=made["stateMachineArn"])
    # Step Functions forgets the executions of a machine that was deleted.
    arn = made["stateMachineArn"].replace(":stateMachine:", ":execution:") + ":late"
    gone = sky.stack.cosmic("run", "--attach", arn, check=False)
    assert gone.returncode == 1 and 'there is no state machine "waiting"' in gone.stderr, gone.stderr


def test_executions_that_are_not_there_are_answered_with_what_is(sky):
    execution = named(sky, "here")
    sky.cosmic.wait(execution.arn)
    misspelt = execution.name[:-1] + "_"
    for command in (["run", "--attach"], ["run", "--stop"], ["logs", "--execution"]):
        done = sky.stack.cosmic(*command, misspelt, check=False)
        assert done.returncode == 1 and f"did you mean {execution.name} (SUCCEEDED)?" in done.stderr, done.stderr
    for here, there, said in [
        ("us-east-1", "eu-west-1", 'in eu-west-1, where there is no state machine "cosmic-redshift"'),
        ("123456789012", "210987654321", "of account 210987654321, and your credentials are of 123456789012"),
        ("cosmic-redshift", "cosmic-blueshift", "there are cosmic-redshift"),
        (":execution:", ":stateMachine:", "the ARN of a state machine"),
    ]:
        arn = execution.arn.replace(here, there)
        done = sky.stack.cosmic("run", "--attach", arn, check=False)
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_a_stopped_execution_keeps_its_finished_ranks_and_the_command_it_names_computes_the_rest(sky):
    slow(sky)
    execution = named(sky, "stopped half way", max_concurrency=1, overwrite=True)
    wait_for(lambda: finished_ranks(sky, execution) >= 2)
    stopped = json.loads(sky.stack.cosmic("run", "--json", "--stop", execution.name).stdout)
    sky.stack.options(faults={})
    assert (stopped["status"], stopped["stopped"]) == ("ABORTED", True)
    ranks = stopped["ranks"]
    assert 2 <= ranks["done"] < RANKS and ranks["running"] == 0 and ranks["aborted"] <= 1
    assert stopped["kept"] == f"s3://{sky.cosmic.bucket}/stopped half way/"

    attached = sky.stack.cosmic("run", "--attach", execution.arn, check=False)
    assert attached.returncode == 1 and "ended as ABORTED: Stopped" in attached.stderr
    assert (
        f"{ranks['done']} of the {RANKS} ranks that it had to compute" in attached.stderr
        and stopped["resume"] in attached.stderr
    )
    again = sky.stack.cosmic("run", "--stop", execution.arn)
    assert "had ended before, as ABORTED" in again.stdout and stopped["resume"] in again.stdout

    program, *arguments = shlex.split(stopped["resume"])
    assert program == "cosmic"
    resumed = json.loads(sky.stack.cosmic(*arguments, "--json").stdout)
    assert resumed["results"]["complete"]
    kept = sum(list(small_sky.PARTITIONS.values())[: ranks["done"]])
    assert resumed["results"]["throughput"]["resumed_rows"] >= kept
    assert resumed["cost_of"]["ranks"]["started"] <= RANKS - ranks["done"]
    small_sky.check_complete(sky, "stopped half way")


@pytest.mark.parametrize("sent, said", [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_command_that_is_interrupted_leaves_the_execution_and_names_the_ways_on(sky, tmp_path, sent, said):
    slow(sky)
    payload = tmp_path / "signalled.json"
    payload.write_text(json.dumps({**small_sky.PAYLOAD, "result_path": f"signal-{said}"}))
    command = [COSMIC, "run", "--payload", payload]
    with subprocess.Popen(command, cwd=ROOT, env=sky.stack.environment, stderr=subprocess.PIPE, text=True) as process:
        arn = process.stderr.readline().split()[1]
        time.sleep(0.5)
        process.send_signal(sent)
        rest = process.stderr.read()
        assert process.wait(10) == 1
    assert f"error: {said}: the execution goes on" in rest
    assert f"`cosmic run --attach {arn}`" in rest and f"`cosmic run --stop {arn}`" in rest, rest
    assert status(sky, SimpleNamespace(arn=arn)) == "RUNNING"
    assert json.loads(sky.stack.cosmic("run", "--stop", arn, "--json").stdout)["status"] == "ABORTED"


def test_log_lines_are_followed_to_the_last_of_them(sky):
    slow(sky)
    execution = named(sky, "followed")
    lines = sky.stack.cosmic("logs", "--json", "--execution", execution.name, "--follow").stdout.splitlines()
    assert status(sky, execution) == "SUCCEEDED"
    lines = [json.loads(line) for line in lines]
    keys = {"time", "function", "rank", "level", "message", "fields", "request_id"}
    assert all(line.keys() == keys for line in lines)
    assert {line["function"] for line in lines} == {"cosmic-initializer", "cosmic-inference", "cosmic-summarizer"}
    reports = [line for line in lines if line["message"].startswith("REPORT")]
    assert sorted(line["rank"] for line in reports if line["rank"] is not None) == list(range(RANKS))
    assert len(reports) == len({line["request_id"] for line in lines}) == RANKS + 2

    # What is printed afterwards is the same, and in the order of its times.
    def later(*arguments) -> list[dict]:
        done = sky.stack.cosmic("logs", "--json", "--execution", execution.arn, *arguments)
        return [json.loads(line) for line in done.stdout.splitlines()]

    whole = later("--lines")
    assert sorted(map(json.dumps, whole)) == sorted(map(json.dumps, lines))
    assert [line["time"] for line in whole] == sorted(line["time"] for line in lines)
    assert later("--rank", "1", "--rank", "4") == [line for line in whole if line["rank"] in (1, 4)]
    assert later("--grep", "report requestid") == [line for line in whole if line["message"].startswith("REPORT")]
    assert later("--level", "error") == []
    text = sky.stack.cosmic("logs", "--execution", execution.arn, "--rank", "2").stdout.splitlines()
    assert len(text) == len([line for line in whole if line["rank"] == 2])
    assert all(" cosmic-inference rank 2 INFO " in line for line in text)


def test_warnings_and_errors_are_found_by_their_level(sky):
    prefix = sky.cosmic.upload("torn", {"1.pt": b"no galaxies"})
    execution = named(sky, "torn-results", prefix=prefix)
    done = sky.stack.cosmic("logs", "--json", "--execution", execution.name, "--follow", "--level", "warn")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and {line["level"] for line in lines} <= {"WARN", "ERROR"}
    assert any("BadPartition" in json.dumps(line) for line in lines)


def test_throttled_attempts_are_in_the_cost(sky):
    sky.stack.options(throttle=True, concurrency=2)
    execution = named(sky, "throttled", world_size=12, max_concurrency=12)
    report = json.loads(sky.stack.cosmic("run", "--json", "--attach", execution.name).stdout)
    throttled = sky.stack.options()["happened"]["TooManyRequestsException"]
    assert throttled > 0 and report["cost_of"]["throttled_attempts"] == throttled
    assert report["cost_of"]["invocations"] == report["cost_of"]["expected_invocations"] == 12 + 2
    assert report["cost"]["state_transitions"] == OWN_TRANSITIONS + 2 * 12 + throttled
    assert math.isclose(report["cost"]["step_functions_usd"], 25e-6 * report["cost"]["state_transitions"])


def test_of_more_ranks_than_are_looked_at_the_transitions_are_estimated(sky):
    execution = named(sky, "many", world_size=small_sky.GALAXIES)
    sky.cosmic.wait(execution.arn)
    found = json.loads(sky.stack.cosmic("logs", "--json", "--execution", execution.name).stdout)
    assert found["cost_of"]["ranks"] == {"started": small_sky.GALAXIES, "read": 200}
    assert found["cost_of"]["invocations"] == found["cost_of"]["expected_invocations"] == small_sky.GALAXIES + 2
    assert found["cost"]["state_transitions"] == OWN_TRANSITIONS + 2 * small_sky.GALAXIES
    text = sky.stack.cosmic("logs", "--execution", execution.name).stdout
    assert f"estimated by 200 of {small_sky.GALAXIES} ranks" in text


def test_a_cost_that_lacks_invocations_says_how_many(sky):
    execution = named(sky, "lines-lost")
    sky.cosmic.wait(execution.arn)
    found = json.loads(sky.stack.cosmic("logs", "--json", "--execution", execution.name).stdout)
    assert found["cost_of"]["invocations"] == found["cost_of"]["expected_invocations"] == RANKS + 2
    logs = sky.stack.client("logs")
    group = "/aws/lambda/cosmic-summarizer"
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        logs.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])
    done = sky.stack.cosmic("logs", "--execution", execution.name, check=False)
    assert done.returncode == 3
    assert f"{RANKS + 1} of {RANKS + 2} invocations" in done.stdout, done.stdout
    less = json.loads(sky.stack.cosmic("run", "--json", "--attach", execution.name).stdout)
    assert (less["cost_of"]["invocations"], less["cost_of"]["expected_invocations"]) == (RANKS + 1, RANKS + 2)
    assert less["cost"]["lambda_duration_usd"] < found["cost"]["lambda_duration_usd"]


def test_of_an_execution_that_runs_the_cost_is_told_so_far_and_at_once(sky):
    slow(sky)
    execution = named(sky, "so-far", max_concurrency=1)
    wait_for(lambda: finished_ranks(sky, execution) >= 1)
    started = time.monotonic()
    done = sky.stack.cosmic("logs", "--json", "--execution", execution.name, check=False)
    assert time.monotonic() - started < 10
    found = json.loads(done.stdout)
    assert status(sky, execution) == "RUNNING"
    assert (done.returncode, found["status"], found["cost_of"]["so_far"]) == (3, "RUNNING", True)
    assert found["cost_of"]["expected_invocations"] >= 2
    text = sky.stack.cosmic("logs", "--execution", execution.name, check=False).stdout
    assert "cost in us-east-1 so far" in text and "the execution still runs" in text
    lines = sky.stack.cosmic("logs", "--lines", "--execution", execution.name)
    assert "the execution still runs" in lines.stderr
    sky.stack.cosmic("run", "--stop", execution.name)


def test_a_child_of_a_map_run_is_an_execution_with_a_history(sky):
    execution = named(sky, "children")
    sky.cosmic.wait(execution.arn)
    [run] = sky.states.list_map_runs(executionArn=execution.arn)["mapRuns"]
    first = sky.states.list_executions(mapRunArn=run["mapRunArn"], maxResults=RANKS - 1)
    rest = sky.states.list_executions(mapRunArn=run["mapRunArn"], nextToken=first["nextToken"])
    children = first["executions"] + rest["executions"]
    assert len({child["name"] for child in children}) == RANKS and "nextToken" not in rest
    for child in children:
        described = sky.states.describe_execution(executionArn=child["executionArn"])
        assert described["status"] == child["status"] == "SUCCEEDED" and described["stopDate"] >= child["startDate"]
        assert "rank" in json.loads(described["input"]) and "rank" in json.loads(described["output"])
        events = sky.states.get_execution_history(executionArn=child["executionArn"])["events"]
        kinds = [event["type"] for event in events]
        assert kinds[0] == "ExecutionStarted" and kinds[-1] == "ExecutionSucceeded"
        assert kinds.count("TaskStateEntered") == kinds.count("TaskScheduled") == 1
        reverse = sky.states.get_execution_history(executionArn=child["executionArn"], reverseOrder=True, maxResults=1)
        assert reverse["events"] == events[-1:] and reverse["nextToken"]
