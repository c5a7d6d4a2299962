"""Executions on a stack that misbehaves: each kind of fault before S3, throttling, functions killed for their memory.
Whatever happens, the catalogue is complete and that of an undisturbed run bit for bit, or the result names what is
missing.
"""

import time

import pytest

import small_sky
from conftest import Stack
from options import FAULTS

# Each kind strikes so many of the functions' requests. A request without an answer costs seconds, answers that carry a
# body are about half of all, and conditional writes are few.
SHARES = {"hang": 0.05, "409": 0.5, "cut": 0.2, "short": 0.2, "flip": 0.08}
SHARE = 0.12


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    with Stack("--enforce-roles", "--options", f'{{"retry_pace": {small_sky.RETRY_PACE}}}') as stack:
        yield small_sky.deployed(stack, tmp_path_factory.mktemp("small-sky"))


@pytest.fixture(autouse=True)
def undisturbed_afterwards(sky):
    yield
    sky.stack.options(faults={}, kill=0.0, throttle=False, concurrency=2, limit_memory=False)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_storage_costs_no_galaxy_and_changes_no_number(sky, kind):
    sky.stack.options(faults={kind: SHARES.get(kind, SHARE)}, hang_seconds=100, seed=3)
    started = time.monotonic()
    ended = small_sky.run(sky.cosmic, f"fault-{kind}")
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert time.monotonic() - started < 90, "a request without an answer must not cost a function's whole time"
    assert sky.stack.options()["happened"].get(kind, 0) > 0, "nothing was put to the test"
    small_sky.check_complete(sky, f"fault-{kind}")


def test_functions_that_are_killed_are_tried_again(sky):
    sky.stack.options(kill=0.3, kill_seconds=0.3, seed=3)
    assert small_sky.run(sky.cosmic, "killed")["status"] == "SUCCEEDED"
    assert sky.stack.options()["happened"]["kill"] > 0
    small_sky.check_complete(sky, "killed")


def test_ranks_that_are_throttled_wait_and_none_fails(sky):
    sky.stack.options(throttle=True, concurrency=2)
    assert small_sky.run(sky.cosmic, "throttled", world_size=12, max_concurrency=12)["status"] == "SUCCEEDED"
    assert sky.stack.options()["happened"]["TooManyRequestsException"] > 0
    small_sky.check_complete(sky, "throttled")


def test_a_function_above_its_memory_is_named_and_more_memory_mends_the_run(sky):
    # Less than the 128 MB that Lambda has at least, which would be enough.
    client = sky.stack.client("lambda", parameter_validation=False)
    sky.stack.options(limit_memory=True)
    memory = client.get_function_configuration(FunctionName="cosmic-inference")["MemorySize"]
    client.update_function_configuration(FunctionName="cosmic-inference", MemorySize=64)
    try:
        ended = small_sky.run(sky.cosmic, "memory")
    finally:
        client.update_function_configuration(FunctionName="cosmic-inference", MemorySize=memory)
    assert (ended["status"], ended["error"]) == ("FAILED", "IncompleteCatalogue")
    found = small_sky.results(sky.cosmic, "memory")
    assert not found["complete"]
    assert sorted(file.rsplit("/", 1)[1] for entry in found["missing"] for file in entry["files"]) == sorted(
        small_sky.PARTITIONS
    )
    assert all("Runtime.OutOfMemory" in entry["reason"] for entry in found["missing"])
    assert sky.stack.options()["happened"]["Runtime.OutOfMemory"] >= len(small_sky.PARTITIONS)

    assert small_sky.run(sky.cosmic, "memory")["status"] == "SUCCEEDED"
    small_sky.check_complete(sky, "memory")
