"""infra/deploy.py on the local stack: deployments that fail, are interrupted or meet another; stacks in any state; and
functions that were changed behind the stack's back.
"""

import contextlib
import io
import json
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

import deploy
from conftest import ROOT, Stack
from deployment import drift
from deployment import stack as operations
from deployment.account import Refused
from deployment.stack import make_change_set
from test_local_stack import policy, zipped

ACCOUNT = "123456789012"
DEPLOY = [sys.executable, ROOT / "infra/deploy.py"]
FAILS = "the local stack was told to fail"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A local stack; small zips in place of the packaged ones, which no test here runs."""
    root = tmp_path_factory.mktemp("checkout")
    for source in (deploy.TEMPLATE, ROOT / "statemachine/redshift.asl.json"):
        copy = root / source.relative_to(ROOT)
        copy.parent.mkdir()
        copy.write_bytes(source.read_bytes())
    packages = root / "target/packages"
    for name in ("initializer", "inference", "summarizer"):
        (packages / name).mkdir(parents=True)
        (packages / name / "bootstrap.zip").write_bytes(zipped(f"def handle(*_): return {name!r}"))
    packaged = {"architecture": "x86_64", "local_only": None, "sources_sha256": deploy.sources_sha256()}
    (packages / "package.json").write_text(json.dumps(packaged))
    with Stack("--enforce-roles") as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "TEMPLATE", root / "infra/template.yaml")
        patch.setattr(deploy, "PACKAGED", packages / "package.json")
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        yield stack


@pytest.fixture(autouse=True)
def nothing_fails_afterwards(stack):
    yield
    stack.options(fail_resources={}, retain_on_stack_failure=False, stack_seconds=0, memory_quota=10240)


@pytest.fixture(scope="module")
def cosmic(stack):
    """The stack cosmic, deployed: tests may update it, and leave it deployed."""
    deployed("cosmic")


def run(name: str, *arguments: str) -> SimpleNamespace:
    """The command's exit code, and what it says on standard output and on standard error."""
    out, said, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["deploy.py", "--stack-name", name, *arguments])
        try:
            deploy.main()
        except SystemExit as ended:
            # As Python does where nothing catches it.
            code = ended.code if isinstance(ended.code, int) else 1
            print("" if isinstance(ended.code, int) else ended.code, file=said)
    return SimpleNamespace(code=code, out=out.getvalue(), said=said.getvalue())


def deployed(name: str, *arguments: str) -> SimpleNamespace:
    done = run(name, *arguments)
    assert done.code == 0, done.said
    return done


def refused(name: str, *arguments: str) -> str:
    """What is said where the command fails."""
    done = run(name, *arguments)
    assert done.code == 1, (done.out, done.said)
    return done.said


def status(stack: Stack, name: str) -> str | None:
    try:
        return stack.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        assert "does not exist" in str(error)
        return None


def left(stack: Stack, name: str) -> set[str]:
    """All of a stack's resources that there are."""
    buckets = [bucket["Name"] for bucket in stack.client("s3").list_buckets()["Buckets"]]
    roles = [role["RoleName"] for role in stack.client("iam").list_roles(MaxItems=1000)["Roles"]]
    functions = [function["FunctionName"] for function in stack.client("lambda").list_functions()["Functions"]]
    groups = stack.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}-")["logGroups"]
    machines = [machine["name"] for machine in stack.client("stepfunctions").list_state_machines()["stateMachines"]]
    found = {one for one in (*buckets, *roles, *functions, *machines) if one.startswith(f"{name}-")}
    return found | {group["logGroupName"] for group in groups}


# --- Deployments that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retained", [False, True], ids=["bucket-deleted", "bucket-retained"])
def test_a_failed_first_deployment_leaves_nothing_in_the_way_of_the_second(stack, retained):
    name = f"first-{str(retained).lower()}"
    stack.options(fail_resources={"Summarizer": ["CREATE"]}, retain_on_stack_failure=retained)
    said = refused(name)
    assert f"Summarizer: Resource handler returned message: {FAILS}" in said, said
    assert "nothing of it is left: mend that, then run this again" in said
    [arn] = re.findall(r"describe-stack-events --stack-name (\S+) --region us-east-1", said)
    events = stack.client("cloudformation").describe_stack_events(StackName=arn)["StackEvents"]
    assert "Summarizer" in {event["LogicalResourceId"] for event in events}
    assert left(stack, name) == set() and status(stack, name) is None
    stack.options(fail_resources={})
    assert "CREATE_COMPLETE" in deployed(name).out


@pytest.mark.parametrize("retained", [False, True], ids=["bucket-deleted", "bucket-retained"])
def test_what_a_failed_deployment_could_not_delete_is_deleted_by_the_next(stack, retained):
    name = f"stuck-{str(retained).lower()}"
    fails = {"Summarizer": ["CREATE"], "InitializerLogs": ["DELETE"]}
    stack.options(fail_resources=fails, retain_on_stack_failure=retained)
    said = refused(name)
    assert f"Summarizer: Resource handler returned message: {FAILS}" in said and "its rest is in DELETE_FAILED" in said
    bucket = {f"{name}-{ACCOUNT}-us-east-1"} if retained else set()
    assert left(stack, name) == {f"/aws/lambda/{name}-initializer"} | bucket
    # As long as it cannot be deleted, that is said, with what and why.
    said = refused(name)
    assert f"InitializerLogs: Resource handler returned message: {FAILS} (DELETE)" in said and "by hand" in said
    stack.options(fail_resources={})
    assert f"deleting what is left of the stack {name}, which is in DELETE_FAILED" in deployed(name).out


def test_memory_above_the_accounts_quota_fails_at_the_function(stack):
    stack.options(memory_quota=3008)
    said = refused("small-account", "--parameter", "InferenceMemory=10240")
    assert re.search("  Inference: .*'MemorySize' .*less than or equal to 3008", said), said
    assert left(stack, "small-account") == set()


def account_that_validates(events: list | Exception) -> SimpleNamespace:
    """An account whose CloudFormation fails each change set by its validation, and tells these events of it."""
    reason = "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]"

    def paginate(**request):
        assert request == {"ChangeSetName": "arn", "Filters": {"FailedEvents": True}}
        if isinstance(events, Exception):
            raise events
        return [{"OperationEvents": events}]

    client = SimpleNamespace(
        create_change_set=lambda **_: {"Id": "arn"},
        describe_change_set=lambda **_: {"Status": "FAILED", "StatusReason": reason},
        get_paginator=lambda operation: {"describe_events": SimpleNamespace(paginate=paginate)}[operation],
        delete_change_set=lambda **_: None,
        delete_stack=lambda **_: None,
    )
    return SimpleNamespace(cloudformation=client, poll_seconds=0)


def test_a_change_set_that_validation_fails_names_the_resources_where_they_may_be_read():
    event = {
        "EventType": "VALIDATION_ERROR",
        "LogicalResourceId": "Inference",
        "ValidationStatusReason": "Resource of type 'AWS::Lambda::Function' with identifier 'x' already exists.",
    }
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeEvents")
    for events, said in (
        ([event, event], "ResourceExistenceCheck]\n  Inference: Resource of type"),
        (denied, "Check]"),
    ):
        with pytest.raises(Refused, match=re.escape(said)) as refusal:
            make_change_set(account_that_validates(events), "new", None, {"Parameters": {}}, "url", {})
        assert str(refusal.value).count("already exists") == (events is not denied)


def change_set(stack: Stack, name: str, template: dict, **fields) -> str:
    return stack.client("cloudformation").create_change_set(
        StackName=name, ChangeSetName="other", ChangeSetType="CREATE", TemplateBody=json.dumps(template), **fields
    )["Id"]


GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "of-another-stack"}}


def test_a_stack_that_rolled_back_or_never_began_is_no_hindrance(stack):
    client = stack.client("cloudformation")
    template = {"Description": "Cosmic, earlier", "Resources": {"Group": GROUP}}
    change_set(stack, "never-began", template)
    assert status(stack, "never-began") == "REVIEW_IN_PROGRESS"
    assert "nothing is under way" in refused("never-began", "--follow")
    assert "CREATE_COMPLETE" in deployed("never-began").out

    stack.options(fail_resources={"Group": ["CREATE"]})
    client.execute_change_set(ChangeSetName=change_set(stack, "rolled-back", template))
    assert status(stack, "rolled-back") == "ROLLBACK_COMPLETE"
    assert "which a deployment would delete first" in refused("rolled-back", "--dry-run")
    assert "which is in ROLLBACK_COMPLETE" in deployed("rolled-back").out


def test_a_failed_update_goes_back_and_names_the_resource(stack, cosmic):
    stack.options(fail_resources={"Summarizer": ["UPDATE"]})
    memory = ["--parameter", "SummarizerMemory=1024", "--parameter", "InferenceMemory=2048"]
    said = refused("cosmic", *memory)
    assert said.count(FAILS) == 1 and "Summarizer: " in said and "is as it was before" in said, said
    assert memory_of(stack, "cosmic-inference") == 3008

    stack.options(fail_resources={"Summarizer": ["UPDATE", "ROLLBACK"]})
    assert "UPDATE_ROLLBACK_FAILED" in refused("cosmic", *memory)
    said = refused("cosmic")
    assert f"{FAILS} (ROLLBACK)" in said and "aws cloudformation continue-update-rollback --stack-name cosmic" in said
    # The local stack does not continue a rollback: a new one, for the tests to come.
    stack.options(fail_resources={})
    deployed("cosmic", "--delete")
    deployed("cosmic", "--parameter", "CreateDataBucket=false")


def memory_of(stack: Stack, function: str) -> int:
    return stack.client("lambda").get_function_configuration(FunctionName=function)["MemorySize"]


def test_a_stack_of_somebody_else_is_left_alone(stack):
    client = stack.client("cloudformation")
    client.execute_change_set(ChangeSetName=change_set(stack, "theirs", {"Resources": {"Group": GROUP}}))
    assert status(stack, "theirs") == "CREATE_COMPLETE"
    for arguments in ([], ["--delete"], ["--follow"]):
        said = refused("theirs", *arguments)
        assert "not Cosmic's" in said and "choose another --stack-name" in said


# --- Deployments that are interrupted, or meet each other ------------------------------------------------------------


def interruptible(command: list[str], stack: Stack) -> subprocess.Popen:
    """Starts a command that Ctrl-C reaches, also where the tests run in a background in which it is ignored."""
    return subprocess.Popen(
        command,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_an_interrupted_deployment_goes_on_and_can_be_followed(stack):
    stack.options(stack_seconds=120)
    command = [*map(str, DEPLOY), "--stack-name", "slow"]
    first = interruptible(command, stack)
    while status(stack, "slow") != "CREATE_IN_PROGRESS":
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    for arguments in ([], ["--delete"]):
        said = refused("slow", *arguments)
        assert "(CREATE_IN_PROGRESS)" in said and "--stack-name slow --region us-east-1 --follow" in said, said
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130 and "Traceback" not in said
    assert "CloudFormation goes on with the stack slow" in said and "--stack-name slow" in said and "--follow" in said
    stack.options(stack_seconds=0)
    followed = deployed("slow", "--follow")
    assert "slow: CREATE_COMPLETE" in followed.out and "slow-redshift" in followed.out

    stack.options(fail_resources={"Summarizer": ["UPDATE"]})
    refused("slow", "--parameter", "SummarizerMemory=1024")
    assert f"Summarizer: Resource handler returned message: {FAILS}" in refused("slow", "--follow")


def followed(stack: Stack, name: str) -> SimpleNamespace:
    """What --follow says of an operation that goes on only when it has begun to follow."""
    wait = operations.wait

    def go_on_and_wait(*arguments) -> dict:
        stack.options(stack_seconds=0)
        return wait(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "wait", go_on_and_wait)
        return run(name, "--follow")


def test_a_creation_that_fails_is_followed_to_its_end_and_its_bucket_deleted(stack):
    stack.options(fail_resources={"Summarizer": ["CREATE"]}, retain_on_stack_failure=True, stack_seconds=120)
    command = [*map(str, DEPLOY), "--stack-name", "followed"]
    first = interruptible(command, stack)
    while status(stack, "followed") != "CREATE_IN_PROGRESS":
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    done = followed(stack, "followed")
    assert done.code == 1 and "could not be created" in done.said and "nothing of it is left" in done.said, done.said
    assert f"Summarizer: Resource handler returned message: {FAILS}" in done.said
    assert left(stack, "followed") == set()


def test_a_deletion_that_is_followed_to_its_end_is_done(stack):
    deployed("ends")
    stack.options(stack_seconds=120)
    stack.client("cloudformation").delete_stack(StackName="ends")
    assert status(stack, "ends") == "DELETE_IN_PROGRESS"
    done = followed(stack, "ends")
    assert done.code == 0 and "ends: DELETE_COMPLETE" in done.out, done.said


def test_an_execution_that_runs_is_not_deleted_from_under(stack, cosmic):
    machine = json.loads(run("cosmic", "--json").out)["outputs"]["StateMachineArn"]
    states = stack.client("stepfunctions")
    waits = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    states.update_state_machine(stateMachineArn=machine, definition=json.dumps(waits))
    execution = states.start_execution(stateMachineArn=machine, name="long", input="{}")["executionArn"]
    try:
        said = refused("cosmic", "--delete")
        assert "run (long)" in said and "cosmic run --stop NAME" in said
        assert "executions run (long)" in deployed("cosmic").said
        # A sweep's memory is not taken from under it.
        disturb(stack, MemorySize=2048)
        tag_as_swept(stack, "grid-7")
        said = refused("cosmic")
        assert "the sweep grid-7" in said and "long" in said and memory_of(stack, "cosmic-inference") == 2048
    finally:
        states.stop_execution(executionArn=execution)
    deployed("cosmic")
    assert memory_of(stack, "cosmic-inference") == 3008


def test_a_protected_stack_is_not_deleted(stack, cosmic):
    client = stack.client("cloudformation")
    client.update_termination_protection(StackName="cosmic", EnableTerminationProtection=True)
    said = refused("cosmic", "--delete")
    assert "protected" in said and "--no-enable-termination-protection --stack-name cosmic" in said
    client.update_termination_protection(StackName="cosmic", EnableTerminationProtection=False)


def test_a_deleted_stack_leaves_its_bucket_with_all_in_it(stack):
    deployed("brief")
    bucket = f"brief-{ACCOUNT}-us-east-1"
    stack.client("s3").put_object(Bucket=bucket, Key="results/run/predictions.parquet", Body=b"rows")
    gone = deployed("brief", "--delete")
    assert f"the bucket {bucket} stays" in gone.out and left(stack, "brief") == {bucket}
    assert "there is no stack brief" in refused("brief", "--delete")
    assert "add --parameter CreateDataBucket=false to use it" in refused("brief")
    deployed("brief", "--parameter", "CreateDataBucket=false")
    # What would fail in the middle of an update is refused before it begins.
    assert "is there already" in refused("brief", "--parameter", "CreateDataBucket=true")
    assert "there is no bucket nowhere" in refused("brief", "--parameter", "DataBucketName=nowhere")


def test_log_groups_in_the_way_are_deleted_only_if_nothing_was_logged(stack):
    logs, group = stack.client("logs"), "/aws/lambda/logged-inference"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    said = refused("logged")
    assert f"the log group {group} is there already" in said and "aws logs delete-log-group" in said
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    assert f"delete the log group {group}, which is empty" in deployed("logged", "--dry-run").out
    assert left(stack, "logged") == {group}
    assert f"deleted the log group {group}, which was empty" in deployed("logged").out


# --- What was changed behind the stack's back ------------------------------------------------------------------------


def disturb(stack: Stack, **configuration) -> None:
    stack.client("lambda").update_function_configuration(FunctionName="cosmic-inference", **configuration)


def tag_as_swept(stack: Stack, sweep: str) -> None:
    client = stack.client("lambda")
    arn = client.get_function_configuration(FunctionName="cosmic-inference")["FunctionArn"]
    client.tag_resource(Resource=arn, Tags={drift.SWEEP_TAG: f"{sweep} 3008"})


def test_code_and_configuration_that_were_changed_are_named_and_put_back(stack, cosmic):
    client = stack.client("lambda")
    assert "nothing to change" in deployed("cosmic").out
    before = client.get_function_configuration(FunctionName="cosmic-inference")
    other = zipped("def handle(*_): return 1")
    client.update_function_code(FunctionName="cosmic-inference", ZipFile=other, Architectures=["arm64"])
    # The console's button Throttle.
    client.put_function_concurrency(FunctionName="cosmic-inference", ReservedConcurrentExecutions=0)
    disturb(stack, MemorySize=1024, Timeout=60, Environment={"Variables": {"COSMIC_LOG": "trace"}})
    tag_as_swept(stack, "grid-7")

    dry = deployed("cosmic", "--dry-run")
    assert "nothing to change" not in dry.out and "put back cosmic-inference: Code" in dry.out
    assert memory_of(stack, "cosmic-inference") == 1024
    done = deployed("cosmic")
    for said in (
        "cosmic-inference runs other code than this stack deployed",
        "MemorySize 1024, and this stack gave it 3008 (by the sweep grid-7, which did not put it back)",
        "Timeout 60, and this stack gave it 900",
        "Environment",
        'Architectures ["arm64"], and this stack gave it ["x86_64"]',
        "ReservedConcurrentExecutions 0, and this stack gave it none",
    ):
        assert said in done.said, done.said
    assert "nothing to change" not in done.out
    after = client.get_function_configuration(FunctionName="cosmic-inference")
    for field in ("CodeSha256", "MemorySize", "Timeout", "Environment", "Role", "Architectures"):
        assert after[field] == before[field], field
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="cosmic-inference")
    assert drift.SWEEP_TAG not in client.list_tags(Resource=after["FunctionArn"])["Tags"]
    assert "nothing to change" in deployed("cosmic").out


def test_a_change_that_an_update_brings_too_is_no_drift_afterwards(stack, cosmic):
    disturb(stack, MemorySize=1024)
    report = json.loads(run("cosmic", "--json", "--parameter", "InferenceMemory=2048").out)
    assert [(found["field"], found["found"], found["deployed"]) for found in report["drift"]] == [
        ("MemorySize", 1024, 3008)
    ]
    assert memory_of(stack, "cosmic-inference") == 2048
    deployed("cosmic", "--parameter", "InferenceMemory=3008")


def test_a_reservation_that_was_taken_away_is_put_back(stack):
    client, function = stack.client("lambda"), "reserved-inference"
    deployed("reserved", "--parameter", "ReservedConcurrency=7")
    client.delete_function_concurrency(FunctionName=function)
    assert "ReservedConcurrentExecutions none, and this stack gave it 7" in deployed("reserved").said
    assert client.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"] == 7
    deployed("reserved", "--delete")


def test_a_function_that_was_deleted_is_named(stack):
    deployed("less")
    stack.client("lambda").delete_function(FunctionName="less-summarizer")
    said = refused("less")
    assert "the function less-summarizer" in said and "--delete" in said


def test_values_of_a_template_follow_parameters_and_conditions():
    template = {
        "Conditions": {
            "Traced": {"Fn::Equals": [{"Ref": "Tracing"}, "true"]},
            "Plain": {"Fn::And": [{"Fn::Not": [{"Condition": "Traced"}]}, {"Fn::Or": [{"Condition": "Traced"}]}]},
        }
    }
    value = {
        "MemorySize": {"Ref": "Memory"},
        "Mode": {"Fn::If": ["Traced", "Active", {"Ref": "AWS::NoValue"}]},
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
    }
    on = drift.Values(template, {"Tracing": "true", "Memory": "3008"}).of(value)
    assert on == {"MemorySize": "3008", "Mode": "Active", "Role": drift.UNKNOWN}
    off = drift.Values(template, {"Tracing": "false", "Memory": "3008"})
    assert off.of(value) == {"MemorySize": "3008", "Role": drift.UNKNOWN} and not off.holds({"Condition": "Plain"})


# --- The zips ---------------------------------------------------------------------------------------------------------


def test_an_artifacts_bucket_whose_making_was_interrupted_is_finished_and_another_is_taken_as_it_is(stack):
    s3, bucket = stack.client("s3"), f"cosmic-artifacts-{ACCOUNT}-us-east-1"
    deployed("zips")
    s3.delete_bucket_policy(Bucket=bucket)
    deployed("zips")
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}

    s3.create_bucket(Bucket="zips-of-ours")
    deployed("zips", "--artifacts-bucket", "zips-of-ours")
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket="zips-of-ours")
    assert s3.list_objects_v2(Bucket="zips-of-ours")["KeyCount"] == 5


def test_zips_of_other_sources_are_named_and_those_for_the_local_stack_refused_on_aws(tmp_path, monkeypatch, capsys):
    packaged = {"architecture": "arm64", "local_only": "inference needs GLIBC_2.38", "sources_sha256": "of before"}
    monkeypatch.setattr(deploy, "PACKAGED", tmp_path / "package.json")
    local = SimpleNamespace(is_aws=False)
    with pytest.raises(Refused, match=r"package\.sh"):
        deploy.check_zips(local, {}, deploy.Log(quiet=True))
    deploy.PACKAGED.write_text(json.dumps(packaged))
    parameters = {}
    deploy.check_zips(local, parameters, deploy.Log(quiet=True))
    assert parameters == {"Architecture": "arm64"}
    assert "packaged from other sources" in capsys.readouterr().err
    with pytest.raises(Refused, match="built for arm64, not for x86_64"):
        deploy.check_zips(local, {"Architecture": "x86_64"}, deploy.Log(quiet=True))
    with pytest.raises(Refused, match=r"for the local stack only: inference needs GLIBC_2\.38"):
        deploy.check_zips(SimpleNamespace(is_aws=True), {}, deploy.Log(quiet=True))


# --- Permissions boundaries ------------------------------------------------------------------------------------------


def test_a_permissions_boundary_is_on_all_roles_or_on_none(stack):
    iam = stack.client("iam")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    boundary = iam.create_policy(PolicyName="bounds", PolicyDocument=policy([allowed]))["Policy"]["Arn"]

    def boundaries() -> list[str | None]:
        roles = [role for role in iam.list_roles(MaxItems=1000)["Roles"] if role["RoleName"].startswith("bound-")]
        details = [iam.get_role(RoleName=role["RoleName"])["Role"] for role in roles]
        return [role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") for role in details]

    deployed("bound", "--parameter", f"PermissionsBoundaryArn={boundary}")
    assert boundaries() == [boundary] * 4
    # It bounds, on the local stack too: the machine may invoke nothing.
    machine = stack.client("stepfunctions").list_state_machines()["stateMachines"]
    [arn] = [found["stateMachineArn"] for found in machine if found["name"] == "bound-redshift"]
    states = stack.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=arn, name="bounded", input="{}")["executionArn"]
    while (ended := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.05)
    assert "AccessDenied" in ended["error"] and "lambda:InvokeFunction" in ended["cause"], ended

    deployed("bound", "--parameter", "PermissionsBoundaryArn=")
    assert boundaries() == [None] * 4
    assert "PermissionsBoundaryArn" in refused("bound", "--parameter", "PermissionsBoundaryArn=bounds")
