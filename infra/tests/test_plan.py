"""Plans of payloads whose data are on the local stack, and runs that are refused for their price."""

import json

import pytest

PAYLOAD = "payloads/demo.json"


@pytest.fixture(scope="module")
def ran(cosmic):
    return cosmic.run(result_path="results/planned").report


def plan(cosmic, *arguments) -> dict:
    return json.loads(cosmic.stack.cosmic("plan", "--json", "--payload", PAYLOAD, *arguments).stdout)


def keys(cosmic) -> list[str]:
    pages = cosmic.s3.get_paginator("list_objects_v2").paginate(Bucket=cosmic.bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_a_plan_says_what_the_run_will_count_and_writes_nothing(cosmic, ran):
    before = keys(cosmic)
    planned = plan(cosmic, "--headers")
    assert keys(cosmic) == before
    counts = ran["results"]["counts"]
    work = planned["work"]
    assert (work["files"], work["ranks"], work["galaxies"]) == (counts["files"], counts["ranks"], counts["rows"])
    assert planned["setup"]["configuration_found"], planned["setup"]
    assert (planned["setup"]["memory_mb"], planned["setup"]["timeout_seconds"]) == (3008, 900)
    # Unlike times, these do not depend on the machine.
    cost = planned["estimate"]["cost"]
    assert cost["state_transitions"] == ran["cost"]["state_transitions"]
    assert cost["invocations"] == ran["cost"]["invocations"]
    assert cost["requests"]["reads"] == pytest.approx(ran["cost"]["requests"]["reads"], rel=0.15)
    assert cost["requests"]["writes"] == pytest.approx(ran["cost"]["requests"]["writes"], abs=5)


def test_a_run_that_would_cost_too_much_is_not_started(cosmic):
    machine = cosmic.stack.client("stepfunctions")
    arn = cosmic.deployed["outputs"]["StateMachineArn"]
    before = len(machine.list_executions(stateMachineArn=arn)["executions"])
    refused = cosmic.run("--max-cost", "0.000001", check=False)
    assert refused.code == 1
    assert "not started" in refused.said and "--max-cost is $0.000001" in refused.said
    assert len(machine.list_executions(stateMachineArn=arn)["executions"]) == before


def test_a_run_below_its_highest_price_is_started(cosmic):
    ran = cosmic.run("--max-cost", "1", result_path="results/cheap-enough")
    assert ran.report["status"] == "SUCCEEDED"


def test_an_earlier_run_gives_the_figures_of_a_plan(cosmic, ran):
    folder = f"s3://{cosmic.bucket}/results/planned"
    origin = plan(cosmic, "--from", folder)["figures"]["origin"]
    assert origin["of"] == folder and ran["execution"] in origin["command"]


def test_a_result_path_that_another_run_has_is_warned_of(cosmic, ran):
    taken = plan(cosmic, "--set", "result_path=results/planned", "--set", "batch_size=64")
    assert any("would be refused" in warning and "`batch_size`" in warning for warning in taken["warnings"])
    begun = plan(cosmic, "--set", "result_path=results/planned")
    assert any(ran["execution"] in warning and "not be computed again" in warning for warning in begun["warnings"])
