"""How many ranks run at once, on a stack that turns away what is above its quota as Lambda does: by the payload, the
stack's parameter, what is reserved, or what the account has left.
"""

import json

import pytest
from botocore.exceptions import ClientError

import small_sky
from conftest import Stack, deploy, without

# What many new accounts have.
QUOTA = 10


@pytest.fixture(scope="module")
def cosmic(tmp_path_factory):
    options = json.dumps({"retry_pace": small_sky.RETRY_PACE})
    arguments = ("--throttle", "--concurrency", str(QUOTA), "--enforce-roles", "--options", options)
    with Stack(*arguments) as stack:
        cosmic = deploy(stack)
        small_sky.upload(cosmic, tmp_path_factory.mktemp("small-sky"))
        yield cosmic


def turned_away(cosmic) -> int:
    return cosmic.stack.options()["happened"].get("TooManyRequestsException", 0)


def run(cosmic, result_path: str, **fields) -> dict:
    """Runs the payload, which must succeed with all galaxies, and gives how many ranks its plan lets run at once."""
    cosmic.stack.options(seed=1)
    ended = small_sky.run(cosmic, result_path, **fields)
    assert ended["status"] == "SUCCEEDED", ended
    found = small_sky.results(cosmic, result_path)
    assert found["complete"] and found["missing"] == [] and found["counts"]["predicted"] == small_sky.GALAXIES, found
    at_once = json.loads(cosmic.read(f"{result_path}/plan.json"))["at_once"]
    [map_run] = cosmic.stack.client("stepfunctions").list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
    described = cosmic.stack.client("stepfunctions").describe_map_run(mapRunArn=map_run["mapRunArn"])
    assert described["maxConcurrency"] == at_once["max_concurrency"]
    assert described["itemCounts"]["failed"] == 0
    return at_once


def planned(cosmic, tmp_path, **fields) -> dict:
    """What `cosmic plan` says of the same."""
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps({**small_sky.PAYLOAD, **fields}))
    return json.loads(cosmic.stack.cosmic("plan", "--json", "--payload", payload).stdout)["setup"]["at_once"]


def test_two_hundred_ranks_at_a_quota_of_ten(cosmic, tmp_path):
    at_once = run(cosmic, "ranks-200", world_size=200)
    assert small_sky.results(cosmic, "ranks-200")["counts"]["ranks"] == 200
    assert turned_away(cosmic) < 20
    assert at_once["max_concurrency"] == QUOTA - 1 and f"{QUOTA} functions unreserved" in at_once["reason"]
    assert planned(cosmic, tmp_path, world_size=200) == at_once


def test_a_payload_that_asks_for_more_has_it_and_is_warned(cosmic, tmp_path):
    at_once = run(cosmic, "asked", world_size=30, max_concurrency=50)
    assert turned_away(cosmic) > 0
    assert at_once["max_concurrency"] == 50 and "only 10 functions run at once" in at_once["warning"]
    assert planned(cosmic, tmp_path, world_size=30, max_concurrency=50) == at_once


def test_a_quota_that_the_role_may_not_ask_for_is_left_to_lambda_with_a_warning(cosmic):
    with without(cosmic.stack, "InitializerRole", "lambda:GetAccountSettings"):
        at_once = run(cosmic, "unknown")
    assert at_once["max_concurrency"] == 0
    assert "GetAccountSettings" in at_once["warning"] and "MaxConcurrency" in at_once["warning"], at_once


def test_nothing_can_be_reserved_below_a_hundred(cosmic):
    with pytest.raises(ClientError, match=r"below its minimum value of \[100\]"):
        cosmic.stack.client("lambda").put_function_concurrency(
            FunctionName="cosmic-inference", ReservedConcurrentExecutions=5
        )


def test_the_stack_says_how_many_and_what_is_reserved(cosmic, tmp_path):
    cosmic.stack.options(concurrency=110)
    deploy(cosmic.stack, ReservedConcurrency="4")
    at_once = run(cosmic, "reserved", world_size=20)
    assert at_once == {"max_concurrency": 4, "reason": "4 functions are reserved for inference"}
    assert turned_away(cosmic) < 4
    settings = cosmic.stack.client("lambda").get_account_settings()["AccountLimit"]
    assert (settings["ConcurrentExecutions"], settings["UnreservedConcurrentExecutions"]) == (110, 106)
    assert planned(cosmic, tmp_path) == at_once

    # What is reserved is also the most that runs, though the account has room for others.
    run(cosmic, "above-reserved", world_size=20, max_concurrency=20)
    assert turned_away(cosmic) > 0

    deploy(cosmic.stack, ReservedConcurrency="0", MaxConcurrency="3")
    at_once = run(cosmic, "parameter")
    assert at_once == {"max_concurrency": 3, "reason": "the stack's parameter MaxConcurrency"}
    assert planned(cosmic, tmp_path) == at_once
