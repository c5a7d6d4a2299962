"""The local stack does what AWS does, where Cosmic depends on it. Its functions here are small Python programs behind
the same Runtime API.
"""

import io
import json
import subprocess
import sys
import threading
import time
import urllib.error
import uuid
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from conftest import Stack
from environments import Environment
from options import Options

# The loop of a custom runtime; `handle(event, headers)` comes before it.
RUNTIME = """#!{python}
import json, os, sys, time, urllib.request
def call(path, body=None):
    address = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/" + path
    return urllib.request.urlopen(urllib.request.Request(address, body))
{code}
while True:
    with call("invocation/next") as answer:
        event, headers = json.load(answer), dict(answer.headers)
    identifier = headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        result = handle(event, headers)
    except Exception as error:
        call("invocation/" + identifier + "/error",
             json.dumps({{"errorType": type(error).__name__, "errorMessage": str(error)}}).encode())
    else:
        call("invocation/" + identifier + "/response", json.dumps(result).encode())
"""

HANDLER = """
print("initializing", flush=True)
def handle(event, headers):
    print("event", json.dumps(event), flush=True)
    time.sleep(event.get("sleep", 0))
    if "exit" in event: os._exit(event["exit"])
    if "fail" in event: raise ValueError(event["fail"])
    if "use" in event: return len(bytes(event["use"] << 20).replace(b"\\0", b"1"))
    if "megabytes" in event: return "x" * (event["megabytes"] << 20)
    left = int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time()
    return {"pid": os.getpid(), "left": left, "memory": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
            "greeting": os.environ.get("GREETING"), "data": open("data.txt").read()}
"""


class Function:
    """A deployed function."""

    def __init__(self, stack: Stack, code: str | bytes = HANDLER, timeout: int = 20, **configuration):
        self.client, self.logs = stack.client("lambda"), stack.client("logs")
        self.name = f"function-{uuid.uuid4().hex[:8]}"
        role = make_role(stack, self.name, "lambda")
        self.arn = self.client.create_function(
            FunctionName=self.name,
            Role=role,
            Runtime="provided.al2023",
            Handler="bootstrap",
            MemorySize=512,
            Timeout=timeout,
            Code={"ZipFile": zipped(code)},
            **configuration,
        )["FunctionArn"]

    def invoke(self, **event) -> tuple[str | None, object]:
        answer = self.client.invoke(FunctionName=self.name, Payload=json.dumps(event))
        return answer.get("FunctionError"), json.load(answer["Payload"])

    def log_lines(self) -> list[str]:
        events = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}")["events"]
        return [event["message"] for event in events]

    def report(self) -> dict[str, str]:
        """The fields of the last REPORT line."""
        line = [line for line in self.log_lines() if line.startswith("REPORT")][-1]
        return dict(field.split(": ", 1) for field in line.strip().split("\t"))


def zipped(code: str | bytes) -> bytes:
    """A zip whose bootstrap runs code in Python, or is the given bytes."""
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, code if isinstance(code, bytes) else RUNTIME.format(python=sys.executable, code=code))
        archive.writestr("data.txt", "from the zip")
    return contents.getvalue()


@pytest.fixture(scope="module")
def function(stack):
    return Function(stack, Environment={"Variables": {"GREETING": "hello"}})


def policy(statements: list[dict]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def make_role(stack: Stack, name: str, service: str, **allowed) -> str:
    """A role of a service, with what is allowed as lists of resources by action; gives its ARN."""
    trust = [{"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    iam = stack.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    if allowed:
        statements = [
            {"Effect": "Allow", "Action": action.replace("_", ":"), "Resource": resources}
            for action, resources in allowed.items()
        ]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(statements))
    return arn


def milliseconds(report: dict[str, str], field: str) -> float:
    return float(report[field].removesuffix(" ms"))


def test_a_function_is_a_process_that_stays_warm(function):
    failed, first = function.invoke(name="cold")
    cold = function.report()
    assert failed is None
    assert (first["greeting"], first["memory"], first["data"]) == ("hello", "512", "from the zip")
    assert 19 < first["left"] <= 20
    assert milliseconds(cold, "Init Duration") > 0
    billed = milliseconds(cold, "Duration") + milliseconds(cold, "Init Duration")
    assert billed <= milliseconds(cold, "Billed Duration") < billed + 1.01
    assert cold["Memory Size"] == "512 MB" and 5 < int(cold["Max Memory Used"].removesuffix(" MB")) < 200

    _, second = function.invoke(name="warm")
    warm = function.report()
    assert second["pid"] == first["pid"]
    assert "Init Duration" not in warm
    lines = function.log_lines()
    assert lines.count("initializing") == 1 and 'event {"name": "warm"}' in lines


def test_the_first_invocation_is_cold_also_where_the_process_was_ready_before_it(tmp_path):
    logged = []
    logs = SimpleNamespace(
        ensure_log_group=lambda group: None,
        create_log_stream=lambda group, stream: None,
        put_log_events=lambda group, stream, events: logged.extend(event["message"] for event in events),
    )
    function = SimpleNamespace(
        function_name="ready",
        function_arn="arn:aws:lambda:us-east-1:123456789012:function:ready",
        version="$LATEST",
        region="us-east-1",
        memory_size=512,
        timeout=20,
        handler="bootstrap",
        architectures=["x86_64"],
        environment_vars={},
        code_bytes=zipped(HANDLER),
        logs_group_name="/aws/lambda/ready",
        logs_backend=logs,
    )
    environment = Environment(function, tmp_path, {}, Options())
    try:
        assert environment.initialized.wait(10)
        for _ in range(2):
            assert not environment.invoke(b"{}").failed
    finally:
        environment.close()
    assert ["Init Duration" in line for line in logged if line.startswith("REPORT")] == [True, False]


def test_what_a_handler_reports_reaches_the_caller_and_the_process_lives(function):
    assert function.invoke(fail="no such galaxy") == (
        "Unhandled",
        {"errorType": "ValueError", "errorMessage": "no such galaxy"},
    )
    assert function.invoke()[0] is None


def test_a_process_that_dies_is_an_error_and_the_next_event_gets_a_new_one(function):
    failed, error = function.invoke(exit=3)
    assert failed and error["errorType"] == "Runtime.ExitError" and "exit status 3" in error["errorMessage"]
    assert function.report()["Status"] == "error"
    assert function.invoke()[0] is None
    assert "Init Duration" in function.report()


def test_a_function_that_takes_too_long_is_killed(stack):
    function = Function(stack, timeout=1)
    _, before = function.invoke()
    failed, error = function.invoke(sleep=30)
    assert failed and error["errorType"] == "Sandbox.Timedout" and "after 1.00 seconds" in error["errorMessage"]
    assert function.report()["Status"] == "timeout"
    assert not Path(f"/proc/{before['pid']}").exists()


def test_a_function_above_its_memory_is_killed(stack):
    function = Function(stack)
    assert function.invoke(use=100)[0] is None
    failed, error = function.invoke(use=600)
    assert failed and error["errorType"] == "Runtime.OutOfMemory"
    assert function.report()["Error Type"] == "Runtime.OutOfMemory"
    assert int(function.report()["Max Memory Used"].removesuffix(" MB")) > 512
    assert function.invoke()[0] is None


def test_a_role_that_lambda_cannot_assume_runs_no_function(stack):
    function = Function(stack)
    iam = stack.client("iam")
    for condition in ({"aws:SourceAccount": "210987654321"}, {"aws:SourceArn": "unknown here"}):
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": condition},
        }
        iam.update_assume_role_policy(RoleName=function.name, PolicyDocument=policy([trust]))
        with pytest.raises(ClientError, match="AccessDenied"):
            function.invoke()


def test_functions_above_the_limit_are_refused_where_the_stack_throttles():
    with Stack("--concurrency", "1", "--throttle") as stack:
        function = Function(stack)
        running = threading.Thread(target=function.invoke, kwargs={"sleep": 1})
        running.start()
        time.sleep(0.5)
        with pytest.raises(ClientError, match="TooManyRequestsException") as refused:
            function.invoke()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        running.join()
        assert function.invoke()[0] is None


def test_options_that_do_not_exist_are_refused(stack):
    for wrong in ({"fault": {}}, {"faults": {"flood": 0.1}}, {"faults": {"500": 0.6, "cut": 0.6}}, {"kill": 2}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            stack.options(**wrong)


def test_answers_above_six_megabytes_are_refused(function):
    assert len(function.invoke(megabytes=5)[1]) == 5 << 20
    failed, error = function.invoke(megabytes=7)
    assert failed and error["errorType"] == "Function.ResponseSizeTooLarge"


def test_events_above_six_megabytes_are_refused(function):
    with pytest.raises(ClientError, match="RequestEntityTooLargeException"):
        function.invoke(padding="x" * (6 << 20))
    assert function.invoke(padding="x" * (5 << 20))[0] is None


def test_an_initialization_that_fails_says_why(stack):
    reported = Function(
        stack,
        code='call("init/error", json.dumps({"errorType": "BadEngine", "errorMessage": "none"}).encode()); sys.exit(1)',
    )
    failed, error = reported.invoke()
    assert failed and error["errorType"] == "BadEngine"
    silent = Function(stack, code="sys.exit(9)")
    failed, error = silent.invoke()
    assert failed and error["errorType"] == "Runtime.ExitError" and "exit status 9" in error["errorMessage"]


def test_a_bootstrap_for_another_processor_than_the_functions_says_so(stack):
    # An ELF header of a PDP-11.
    failed, error = Function(stack, code=b"\x7fELF" + bytes(14) + b"\x41\0").invoke()
    assert failed and error["errorType"] == "Runtime.InvalidEntrypoint" and "exec format error" in error["errorMessage"]


def test_new_code_replaces_warm_processes(stack):
    function = Function(stack)
    _, before = function.invoke()
    function.client.update_function_code(FunctionName=function.name, ZipFile=zipped('def handle(*_): return "new"'))
    assert function.invoke() == (None, "new")
    assert not Path(f"/proc/{before['pid']}").exists()


def test_no_more_functions_run_at_once_than_there_is_room_for():
    with Stack("--concurrency", "2") as stack:
        function = Function(stack)
        threads = [threading.Thread(target=function.invoke, kwargs={"sleep": 0.5}) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = function.log_lines()
        assert lines.count("initializing") == 2


def run_map(stack, function: Function, items: list[dict], **fields) -> tuple[dict, str]:
    """Executes a Distributed Map over items in S3; gives the ended execution and the prefix of its result files."""
    s3, states = stack.client("s3"), stack.client("stepfunctions")
    name = f"map-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="items.json", Body=json.dumps(items))
    definition = {
        "StartAt": "Map",
        "States": {
            "Map": {
                "Type": "Map",
                "End": True,
                "MaxConcurrency": 3,
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "JSON"},
                    "Parameters": {"Bucket.$": "$.bucket", "Key": "items.json"},
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "One",
                    "States": {
                        "One": {
                            "Type": "Task",
                            "End": True,
                            "Resource": "arn:aws:states:::lambda:invoke",
                            "OutputPath": "$.Payload",
                            "Parameters": {"FunctionName": function.arn, "Payload.$": "$"},
                        }
                    },
                },
                "ResultWriter": {
                    "Resource": "arn:aws:states:::s3:putObject",
                    "Parameters": {"Bucket.$": "$.bucket", "Prefix": "out"},
                },
                **fields,
            }
        },
    }
    objects = [f"arn:aws:s3:::{name}/*"]
    role = make_role(
        stack, name, "states", lambda_InvokeFunction=[function.arn], s3_GetObject=objects, s3_PutObject=objects
    )
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine, name="run", input=json.dumps({"bucket": name}))[
        "executionArn"
    ]
    while (ended := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    return ended, name


ITEMS = [{"fail": "bad"} if index in (3, 7) else {"index": index} for index in range(20)]


def test_a_map_run_writes_its_results_and_counts_its_children(stack, function):
    ended, bucket = run_map(stack, function, ITEMS, ToleratedFailurePercentage=10.0)
    assert ended["status"] == "SUCCEEDED", ended
    s3, states = stack.client("s3"), stack.client("stepfunctions")
    details = json.loads(ended["output"])["ResultWriterDetails"]
    manifest = json.load(s3.get_object(Bucket=bucket, Key=details["Key"])["Body"])
    [failed], [succeeded] = manifest["ResultFiles"]["FAILED"], manifest["ResultFiles"]["SUCCEEDED"]
    failed = json.load(s3.get_object(Bucket=bucket, Key=failed["Key"])["Body"])
    assert [json.loads(child["Input"]) for child in failed] == [{"fail": "bad"}] * 2
    assert all(child["Error"] == "ValueError" and "bad" in child["Cause"] for child in failed)
    succeeded = json.load(s3.get_object(Bucket=bucket, Key=succeeded["Key"])["Body"])
    assert len(succeeded) == 18 and all(json.loads(child["Output"])["greeting"] == "hello" for child in succeeded)

    [run] = states.list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
    counts = states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    assert (counts["total"], counts["succeeded"], counts["failed"]) == (20, 18, 2)
    assert counts["running"] == counts["pending"] == 0


def test_more_failures_than_tolerated_fail_the_execution(stack, function):
    for tolerance in ({}, {"ToleratedFailurePercentage": 9.0}, {"ToleratedFailureCount": 1}):
        ended, _ = run_map(stack, function, ITEMS, **tolerance)
        assert (ended["status"], ended["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold"), tolerance
    assert run_map(stack, function, ITEMS, ToleratedFailureCount=2)[0]["status"] == "SUCCEEDED"


def test_a_map_whose_list_cannot_be_read_is_tried_again_by_that_name(stack, function):
    retry = [{"ErrorEquals": ["States.ItemReaderFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    for reader in ({"Bucket.$": "$.bucket", "Key": "missing.json"}, {"Bucket": "missing-bucket", "Key": "items.json"}):
        ended, _ = run_map(
            stack,
            function,
            [],
            Retry=retry,
            ItemReader={
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSON"},
                "Parameters": reader,
            },
        )
        assert (ended["status"], ended["error"]) == ("FAILED", "States.ItemReaderFailed")
        runs = stack.client("stepfunctions").list_map_runs(executionArn=ended["executionArn"])["mapRuns"]
        assert len(runs) == 2


def test_what_is_too_large_ends_an_execution_and_nothing_catches_it(stack, function):
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
    states = stack.client("stepfunctions")
    role = make_role(stack, f"large-{uuid.uuid4().hex[:8]}", "states", lambda_InvokeFunction=[function.arn])
    tasks = {
        "gives": {"Payload": {"megabytes": 1}},
        "is-given": {"Payload": {"twice.$": "States.Array($.text, $.text)"}},
    }
    for name, parameters in tasks.items():
        task = {
            "Type": "Task",
            "End": True,
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": function.arn, **parameters},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        }
        definition = {"StartAt": "Task", "States": {"Task": task, "Caught": {"Type": "Succeed"}}}
        machine = states.create_state_machine(name=f"{name}-too-much", definition=json.dumps(definition), roleArn=role)[
            "stateMachineArn"
        ]
        arn = states.start_execution(stateMachineArn=machine, input=json.dumps({"text": "x" * 200_000}))["executionArn"]
        while (ended := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.05)
        assert (ended["status"], ended.get("error")) == ("FAILED", "States.DataLimitExceeded"), name


def test_executions_have_names_and_inputs_as_on_aws(stack):
    """https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html"""
    states = stack.client("stepfunctions")
    role = make_role(stack, f"named-{uuid.uuid4().hex[:8]}", "states")
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 2, "End": True}}}
    machine = states.create_state_machine(name="named", definition=json.dumps(definition), roleArn=role)
    machine = machine["stateMachineArn"]
    for refused in ("a b", "a/b", "a:b", "a?", "x" * 81):
        with pytest.raises(ClientError, match=r"InvalidName|ValidationException"):
            states.start_execution(stateMachineArn=machine, name=refused)
    with pytest.raises(ClientError, match="ValidationException"):
        states.start_execution(stateMachineArn=machine, input=json.dumps({"text": "x" * (256 << 10)}))
    unnamed = [states.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(2)]
    assert len(set(unnamed)) == 2
    # The same request again gives the same execution, another input none.
    first = states.start_execution(stateMachineArn=machine, name="once", input="{}")["executionArn"]
    assert states.start_execution(stateMachineArn=machine, name="once", input="{}")["executionArn"] == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="once", input='{"other": 1}')


def test_a_thousand_items_need_no_deeper_stack(stack):
    quick = Function(stack, code="def handle(event, headers): return event")
    ended, _ = run_map(stack, quick, [{"index": index} for index in range(1100)])
    assert ended["status"] == "SUCCEEDED"


def test_objects_that_changed_are_not_read_and_those_that_exist_not_created(stack):
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="conditions")
    etag = s3.put_object(Bucket="conditions", Key="a", Body=b"0123456789")["ETag"]
    assert s3.get_object(Bucket="conditions", Key="a", Range="bytes=2-4", IfMatch=etag)["Body"].read() == b"234"
    s3.put_object(Bucket="conditions", Key="a", Body=b"changed")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.get_object(Bucket="conditions", Key="a", Range="bytes=2-4", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="conditions", Key="a", Body=b"", IfNoneMatch="*")


def test_stacks_with_unknown_resources_are_refused(stack):
    template = {"Resources": {"Queue": {"Type": "AWS::Nothing::Here"}}}
    with pytest.raises(ClientError, match="AWS::Nothing::Here"):
        stack.client("cloudformation").create_stack(StackName="unknown", TemplateBody=json.dumps(template))


def test_a_taken_port_is_said_in_a_sentence(stack):
    port = stack.endpoint.rsplit(":", 1)[1]
    second = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "local/stack.py", "--port", port], capture_output=True, text=True
    )
    assert second.returncode == 1 and f"port {port} is taken" in second.stderr and "Traceback" not in second.stderr


def test_nothing_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Stack() as stack:
        pid = Function(stack).invoke()[1]["pid"]
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir()) and not Path(f"/proc/{pid}").exists()
