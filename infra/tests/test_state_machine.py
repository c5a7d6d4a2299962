"""statemachine/redshift.asl.json: of every error that an execution can meet, whether it is tried again, and why."""

import json
import re

import pytest
from botocore.loaders import Loader
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType

from conftest import ROOT

DEFINITION = ROOT / "statemachine/redshift.asl.json"

# What the Rust runtime calls a panic that the functions do not catch themselves: the type of what was caught, as
# `lambda_runtime::layers::panic` names it. crates/lambda/tests/panics.rs asks the compiler for the same name.
PANIC = "&alloc::boxed::Box<dyn core::any::Any + core::marker::Send>"

# Errors of Step Functions' call of Lambda. Its documentation names the first four beside TooManyRequestsException:
# https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
# The others are Invoke's: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors
CALLS = {
    "Lambda.ServiceException": "retry: Lambda has an internal error",
    "Lambda.AWSLambdaException": "retry: Lambda has an internal error",
    "Lambda.SdkClientException": "retry: the connection to Lambda failed",
    "Lambda.ClientExecutionTimeoutException": "retry: Lambda did not answer",
    "Lambda.TooManyRequestsException": "retry: the account's concurrency is taken",
    "Lambda.ResourceConflictException": "retry: the function is pending, as after its deployment",
    "Lambda.ResourceNotReadyException": "retry: an idle function gets its network back",
    "Lambda.CodeArtifactUserPendingException": "retry: Lambda still prepares the new code",
    "Lambda.EC2ThrottledException": "retry: in a VPC, EC2 throttled Lambda",
    "Lambda.EC2UnexpectedException": "retry: in a VPC, EC2 failed",
    "Lambda.ENINotReadyException": "retry: in a VPC, the network interface is not ready yet",
    "Lambda.ENILimitReachedException": "retry: in a VPC, interfaces that others have are given back",
    "Lambda.SubnetIPAddressLimitReachedException": "retry: in a VPC, addresses that others have are given back",
    "Lambda.RequestTooLargeException": "fail: the same event would be too large again",
    "Lambda.RequestEntityTooLargeException": "fail: what clients report of it",
    "Lambda.SerializedRequestEntityTooLargeException": "fail: the same event would be too large again",
    "Lambda.InvalidRequestContentException": "fail: the same event would be refused again",
    "Lambda.InvalidParameterValueException": "fail: the same request would be refused again",
    "Lambda.UnsupportedMediaTypeException": "fail: the same request would be refused again",
    "Lambda.ModeNotSupportedException": "fail: the same request would be refused again",
    "Lambda.ResourceNotFoundException": "fail: the function was deleted",
    "Lambda.NoPublishedVersionException": "fail: the function lacks what is asked for",
    "Lambda.InvalidRuntimeException": "fail: the function must be deployed anew",
    "Lambda.RuntimeAliasDeletedException": "fail: the function must be deployed anew",
    "Lambda.RuntimeVersionDeletedException": "fail: the function must be deployed anew",
    "Lambda.InvalidZipFileException": "fail: the function must be deployed anew",
    "Lambda.CodeArtifactUserFailedException": "fail: the function must be deployed anew",
    "Lambda.CodeArtifactUserDeletedException": "fail: the function must be deployed anew",
    "Lambda.ServiceQuotaExceededException": "fail: a quota must be raised",
    "Lambda.RecursiveInvocationException": "fail: Lambda takes it for an endless loop, and would again",
    "Lambda.KMSAccessDeniedException": "fail: the key's policy must be mended",
    "Lambda.KMSDisabledException": "fail: the key must be enabled",
    "Lambda.KMSInvalidStateException": "fail: the key must be mended",
    "Lambda.KMSNotFoundException": "fail: the key was deleted",
    "Lambda.EC2AccessDeniedException": "fail: in a VPC, the role must be mended",
    "Lambda.InvalidSecurityGroupIDException": "fail: in a VPC, the configuration must be mended",
    "Lambda.InvalidSubnetIDException": "fail: in a VPC, the configuration must be mended",
    "Lambda.EFSIOException": "no such file system",
    "Lambda.EFSMountConnectivityException": "no such file system",
    "Lambda.EFSMountFailureException": "no such file system",
    "Lambda.EFSMountTimeoutException": "no such file system",
    "Lambda.S3FilesMountConnectivityException": "no such file system",
    "Lambda.S3FilesMountFailureException": "no such file system",
    "Lambda.S3FilesMountTimeoutException": "no such file system",
    "Lambda.SnapStartException": "no snapshots",
    "Lambda.SnapStartNotReadyException": "no snapshots",
    "Lambda.SnapStartRegenerationFailureException": "no snapshots",
    "Lambda.SnapStartTimeoutException": "no snapshots",
    "Lambda.DurableExecutionAlreadyStartedException": "no durable functions",
}

# What Lambda reports of a function that ran and gave no answer. Without a type of error, Step Functions calls it
# Lambda.Unknown. The names are those of the emulator that AWS publishes, which says Sandbox.Timeout in one file and
# Sandbox.Timedout in another:
# https://github.com/aws/aws-lambda-runtime-interface-emulator/blob/develop/internal/lambda/fatalerror/fatalerror.go
DEATHS = {
    "Lambda.Unknown": "retry: it died, ran out of memory or of time",
    "Function.Unknown": "retry: it died",
    "Runtime.ExitError": "retry: its process ended",
    "Runtime.OutOfMemory": "retry: its process was killed; what else ran on the machine may have been the cause",
    "Runtime.Unknown": "retry: it died",
    "Runtime.TruncatedResponse": "retry: its answer broke off",
    "Sandbox.Failure": "retry: the machine failed",
    "Sandbox.Timedout": "retry: it hung; what knows that its time will not do says DeadlineExceeded",
    "Sandbox.Timeout": "retry: as Sandbox.Timedout",
    PANIC: "retry: it panicked",
    "Function.ResponseSizeTooLarge": "fail: the same answer would be too large again",
    "Runtime.InvalidEntrypoint": "fail: the zip is for another processor, or has no bootstrap",
    "Runtime.InvalidWorkingDir": "fail: the function must be deployed anew",
    "Runtime.InvalidTaskConfig": "fail: the function must be deployed anew",
    "Runtime.InvalidResponseModeHeader": "fail: the runtime has a fault",
}

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
STATES = {
    "States.Timeout": "retry: Lambda did not say that its own time limit, which is shorter, had passed",
    "States.ItemReaderFailed": "retry the map: the list of ranks could not be read",
    "States.ResultWriterFailed": "fail: the summarizer reads the ranks' files, and each rank would start once more",
    "States.ExceedToleratedFailureThreshold": "fail: it cannot be, because the map tolerates every failure",
    "States.DataLimitExceeded": "fail: the same data would be too large again",
    "States.Permissions": "fail: the machine's role must be mended",
    "States.Runtime": "fail: the definition has a fault",
    "States.NoChoiceMatched": "fail: it cannot be, because each choice has a default",
    "States.ParameterPathFailure": "fail: the definition has a fault",
    "States.ResultPathMatchFailure": "fail: the definition has a fault",
    "States.IntrinsicFailure": "fail: the definition has a fault",
    "States.QueryEvaluationError": "fail: the definition has a fault",
    "States.ALL": "fail: it would try errors of the input again",
    "States.TaskFailed": "fail: it would try errors of the input again",
    "States.HeartbeatTimeout": "no heartbeats",
    "States.BranchFailed": "no parallel state",
}
AWS = {**CALLS, **DEATHS, **STATES}


@pytest.fixture(scope="module")
def machine() -> dict:
    return json.loads(DEFINITION.read_text())


def states(machine: dict) -> dict[str, dict]:
    """All states by name, those of the map's children too."""
    found = dict(machine["States"])
    for state in machine["States"].values():
        found |= state.get("ItemProcessor", {}).get("States", {})
    return found


def own_errors() -> tuple[set[str], set[str]]:
    """The functions' own permanent and transient errors, from the code that names them."""
    source = (ROOT / "crates/pipeline/src/error.rs").read_text()
    lists = [re.search(rf"const {name}:[^=]*= \[(.*?)\];", source, re.DOTALL) for name in ("PERMANENT", "TRANSIENT")]
    permanent, transient = (set(re.findall(r'"(\w+)"', found.group(1))) for found in lists)
    assert permanent and transient
    return permanent, transient


def named(verdict: str) -> set[str]:
    return {name for name, why in AWS.items() if why.startswith(f"{verdict}: ")}


def test_the_table_has_every_error_that_lambda_and_step_functions_name():
    invoke = Loader().load_service_model("lambda", "service-2")["operations"]["Invoke"]
    documented = {f"Lambda.{error['shape']}" for error in invoke["errors"]}
    # The three that only Step Functions itself can meet.
    documented |= {
        f"Lambda.{name}" for name in ("AWSLambdaException", "SdkClientException", "ClientExecutionTimeoutException")
    }
    # RequestTooLargeException as it comes in fact.
    documented.add("Lambda.RequestEntityTooLargeException")
    assert CALLS.keys() == documented
    assert STATES.keys() == {name.to_name() for name in StatesErrorNameType}


def test_what_can_pass_is_tried_again_with_backoff_and_jitter_and_nothing_else(machine):
    permanent, transient = own_errors()
    tasks = {name: state for name, state in states(machine).items() if state["Type"] == "Task"}
    assert tasks.keys() == {"Initialize", "Infer", "Summarize"}
    for name, task in tasks.items():
        listed = [error for retry in task["Retry"] for error in retry["ErrorEquals"]]
        assert len(listed) == len(set(listed)), f"{name}: only the first retrier of an error counts"
        assert set(listed) == named("retry") | transient and not permanent & set(listed), name
        for retry in task["Retry"]:
            assert retry["BackoffRate"] > 1 and retry["JitterStrategy"] == "FULL", name
            assert retry["MaxDelaySeconds"] > retry["IntervalSeconds"], name
        assert task["TimeoutSeconds"] > 900, (
            "above the functions' own, or a retry meets the first attempt still running"
        )


def test_a_map_is_started_again_only_where_its_list_could_not_be_read(machine):
    [retry] = machine["States"]["Ranks"]["Retry"]
    assert set(retry["ErrorEquals"]) == named("retry the map")
    # Whatever else stops it, the summarizer says what there is.
    [caught] = machine["States"]["Ranks"]["Catch"]
    assert caught["ErrorEquals"] == ["States.ALL"] and caught["Next"] == "Summarize"
