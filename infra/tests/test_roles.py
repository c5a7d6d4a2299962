"""Executions under the roles of infra/template.yaml, enforced: they have what they need, a permission less is named, a
run writes nowhere but into its result path, and no credentials are logged.
"""

import contextlib
import json
from pathlib import Path

import pytest

import small_sky
from conftest import Stack, without


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    options = json.dumps({"retry_pace": small_sky.RETRY_PACE})
    with Stack("--enforce-roles", "--options", options) as stack:
        yield small_sky.deployed(stack, tmp_path_factory.mktemp("small-sky"))


def objects(sky) -> dict[str, str]:
    """The ETags of all objects in the bucket, by key."""
    pages = sky.cosmic.s3.get_paginator("list_objects_v2").paginate(Bucket=sky.cosmic.bucket)
    return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}


def test_a_run_is_refused_nothing_and_writes_only_into_its_result_path(sky):
    before = objects(sky)
    assert small_sky.run(sky.cosmic, "deep/down/results", overwrite=True)["status"] == "SUCCEEDED"
    assert small_sky.run(sky.cosmic, "deep/down/results")["status"] == "SUCCEEDED"
    assert small_sky.run(sky.cosmic, "deep/down/results", batch_size=16, overwrite=True)["status"] == "SUCCEEDED"
    small_sky.check_complete(sky, "deep/down/results")
    assert sky.stack.options()["happened"] == {}, "a request was refused"
    after = objects(sky)
    assert before.items() <= after.items(), "another's objects were changed"
    assert all(key.startswith("deep/down/results/") for key in after.keys() - before.keys())


@pytest.mark.parametrize("result_path", ["../elsewhere", "results/../../elsewhere", "a//b", ".", ""])
def test_a_result_path_that_would_lead_elsewhere_is_refused(sky, result_path):
    before = objects(sky)
    ended = small_sky.run(sky.cosmic, result_path)
    assert (ended["status"], ended.get("error")) == ("FAILED", "BadPayload"), ended
    assert objects(sky) == before


@pytest.mark.parametrize(
    "role, action, error",
    [
        ("InitializerRole", "s3:ListBucket", "AccessDenied"),
        ("InitializerRole", "s3:PutObject", "AccessDenied"),
        ("InferenceRole", "s3:GetObject", "IncompleteCatalogue"),
        ("InferenceRole", "s3:PutObject", "IncompleteCatalogue"),
        ("SummarizerRole", "s3:GetObject", "AccessDenied"),
        ("SummarizerRole", "s3:PutObject", "AccessDenied"),
        ("RedshiftMachineRole", "lambda:InvokeFunction", "Lambda.AccessDeniedException"),
    ],
)
def test_a_permission_that_is_missing_is_named(sky, role, action, error):
    with without(sky.stack, role, action):
        ended = small_sky.run(sky.cosmic, f"without/{role}/{action.replace(':', '-')}")
    assert (ended["status"], ended["error"]) == ("FAILED", error), ended
    assert "AccessDenied" in ended["error"] + ended["cause"], ended["cause"]


def secrets_of_functions(stack: Stack) -> set[bytes]:
    """The secret keys and session tokens in the environments of the stack's processes."""
    found = set()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            environment = dict(
                line.split(b"=", 1) for line in (process / "environ").read_bytes().split(b"\0") if b"=" in line
            )
            ours = environment.get(b"AWS_ENDPOINT_URL") == stack.endpoint.encode()
            if ours and b"AWS_SESSION_TOKEN" in environment:
                found |= {environment[b"AWS_SECRET_ACCESS_KEY"], environment[b"AWS_SESSION_TOKEN"]}
    return found


def test_no_credentials_are_logged_however_much_is(sky):
    # The SDK is the most talkative, so it is told to tell all.
    client = sky.stack.client("lambda")
    functions = [f"cosmic-{name}" for name in ("initializer", "inference", "summarizer")]
    for name in functions:
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**variables, "COSMIC_LOG": "trace"}}
        )
    assert small_sky.run(sky.cosmic, "talkative")["status"] == "SUCCEEDED"
    secrets = secrets_of_functions(sky.stack)
    assert len(secrets) >= 6, "the secrets of three functions"
    logs = sky.stack.client("logs")
    for name in functions:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        messages = [event["message"].encode() for page in pages for event in page["events"]]
        assert messages
        leaked = [message for message in messages if any(secret in message for secret in secrets)]
        assert not leaked, f"{name}: {leaked[0][:300]}"
