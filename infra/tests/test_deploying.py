"""infra/deploy.py on the local stack: deployments that fail, are interrupted or meet another; stacks in any state;
names that something would not take; and functions that were changed behind the stack's back.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

import deploy
from conftest import ROOT, Stack
from deployment import account as accounts
from deployment import artifacts, drift, names
from deployment.account import Refused
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
    (packages / "package.json").write_text('{"architecture": "x86_64", "local_only": null}')
    with Stack("--enforce-roles") as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "TEMPLATE", root / "infra/template.yaml")
        patch.setattr(deploy, "PACKAGED", packages / "package.json")
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        yield stack


@pytest.fixture(autouse=True)
def nothing_fails_afterwards(stack):
    yield
    stack.options(fail_resources={}, retain_on_stack_failure=False, stack_seconds=0)


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
    assert left(stack, name) == set() and status(stack, name) is None
    stack.options(fail_resources={})
    assert "CREATE_COMPLETE" in deployed(name).out


def test_what_a_failed_deployment_could_not_delete_is_deleted_by_the_next(stack):
    stack.options(fail_resources={"Summarizer": ["CREATE"], "InitializerLogs": ["DELETE"]})
    said = refused("stuck")
    assert f"Summarizer: Resource handler returned message: {FAILS}" in said and "its rest is in DELETE_FAILED" in said
    assert left(stack, "stuck") == {"/aws/lambda/stuck-initializer"}
    # As long as it cannot be deleted, that is said, with what and why.
    said = refused("stuck")
    assert f"InitializerLogs: Resource handler returned message: {FAILS} (DELETE)" in said and "by hand" in said
    stack.options(fail_resources={})
    assert "deleting what is left of the stack stuck, which is in DELETE_FAILED" in deployed("stuck").out


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


def test_an_interrupted_deployment_goes_on_and_can_be_followed(stack):
    stack.options(stack_seconds=3)
    command = [*map(str, DEPLOY), "--stack-name", "slow"]
    first = subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    while status(stack, "slow") != "CREATE_IN_PROGRESS":
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    for arguments in ([], ["--delete"]):
        said = refused("slow", *arguments)
        assert "(CREATE_IN_PROGRESS)" in said and "--stack-name slow --region us-east-1 --follow" in said, said
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=20)
    assert first.returncode == 130 and "Traceback" not in said
    assert "CloudFormation goes on with the stack slow" in said and "--stack-name slow" in said and "--follow" in said
    followed = deployed("slow", "--follow")
    assert "slow: CREATE_COMPLETE" in followed.out and "slow-redshift" in followed.out

    stack.options(fail_resources={"Summarizer": ["UPDATE"]}, stack_seconds=0)
    refused("slow", "--parameter", "SummarizerMemory=1024")
    assert f"Summarizer: Resource handler returned message: {FAILS}" in refused("slow", "--follow")


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
    client.update_function_code(FunctionName="cosmic-inference", ZipFile=zipped("def handle(*_): return 1"))
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
    ):
        assert said in done.said, done.said
    assert "nothing to change" not in done.out
    after = client.get_function_configuration(FunctionName="cosmic-inference")
    for field in ("CodeSha256", "MemorySize", "Timeout", "Environment", "Role"):
        assert after[field] == before[field], field
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


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, parameters, said",
    [
        (
            "my stack",
            [],
            "letters, digits and hyphens, at most 128, of which the first is a letter: write --stack-name",
        ),
        ("my stack", [], "write --stack-name my-stack"),
        ("1st", [], "write --stack-name st"),
        ("under_score", [], "write --stack-name under-score"),
        ("", [], "write --stack-name cosmic"),
        ("a" * 129, [], "at most 128"),
        ("a" * 60, [], "Lambda takes 64: write a --stack-name of at most 52 characters"),
        ("Cosmic", [], "S3 takes no upper-case letters: write --stack-name cosmic"),
        ("a" * 45, [], "S3 takes 3 to 63 characters, and these are 68: write --stack-name"),
        ("xn--sky", [], "S3 keeps names that begin with xn--"),
        ("cosmic", ["DataBucketName=Sky_Data"], "DataBucketName=Sky_Data cannot be a bucket"),
        ("cosmic", ["DataBucketName=10.0.0.1"], "S3 takes no IP address"),
        ("cosmic", ["SourceBucketName=a..b"], "single dots"),
        ("cosmic", ["DataBucketName=sky--x-s3"], "end in"),
        ("cosmic", ["Unknown=1"], "no parameter Unknown (known: "),
        ("cosmic", ["InferenceMemory"], "wants KEY=VALUE"),
    ],
)
def test_a_name_that_something_would_not_take_is_refused_with_what_to_write(name, parameters, said):
    with pytest.raises(Refused) as refused:
        names.check_stack_name(name)
        deploy.checked_parameters(artifacts.load_template(deploy.TEMPLATE), parameters)
        names.data_bucket_of(name, ACCOUNT, "us-east-1")
    assert said in str(refused.value)


def test_a_bad_stack_name_is_refused_before_aws_is_asked():
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
    done = subprocess.run([*DEPLOY, "--stack-name", "no good"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "a stack cannot be called 'no good'" in done.stderr


def test_a_suggested_name_is_one_that_everything_takes():
    for bad in ("my stack", "1st", "", "A" * 200, "xn--x", "---", "Ä", "a_b--c"):
        name = names.suggestion(bad)
        names.check_stack_name(name)
        assert names.data_bucket_of(name[:30], ACCOUNT, "ap-southeast-2")


def test_the_longest_stack_name_fits_all_names_that_the_template_makes():
    limits = {
        "AWS::CloudWatch::Alarm": ("AlarmName", 255),
        "AWS::Events::Rule": ("Name", 64),
        "AWS::Logs::LogGroup": ("LogGroupName", 512),
        "AWS::Logs::QueryDefinition": ("Name", 255),
        "AWS::SNS::Topic": ("TopicName", 256),
        "AWS::Serverless::Function": ("FunctionName", 64),
        "AWS::Serverless::StateMachine": ("Name", 80),
    }
    longest = "a" * (names.FUNCTION_LIMIT - len(names.LONGEST_SUFFIX))
    for resource in artifacts.load_template(deploy.TEMPLATE)["Resources"].values():
        if resource["Type"] in limits:
            field, limit = limits[resource["Type"]]
            name = resource["Properties"][field]["Fn::Sub"].replace("${AWS::StackName}", longest)
            assert name.count(longest) == 1 and len(name) <= limit, name


# --- Accounts --------------------------------------------------------------------------------------------------------


def error(code: str, message: str = "no", status: int = 403, **headers) -> ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "Any")


@pytest.mark.parametrize(
    "failure, said",
    [
        (botocore.exceptions.NoCredentialsError(), "run `aws configure`"),
        (botocore.exceptions.PartialCredentialsError(provider="env", cred_var="secret"), "AWS_SECRET_ACCESS_KEY"),
        (botocore.exceptions.ProfileNotFound(profile="mine"), "aws configure list-profiles"),
        (botocore.exceptions.SSOTokenLoadError(error_msg="none"), "aws sso login"),
        (botocore.exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="none"), "aws sso login"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "does the local stack run"),
        (error("ExpiredToken"), "have expired: renew them"),
        (error("ExpiredTokenException"), "have expired: renew them"),
        (error("InvalidClientTokenId"), "AWS does not take these credentials (InvalidClientTokenId)"),
        (error("SignatureDoesNotMatch"), "check the access key"),
        (error("RequestTimeTooSkewed"), "clock"),
        (error("AccessDenied", "User x is not authorized to perform: iam:PassRole"), "infra/policies/deploy.json"),
        (OSError("disk full"), "disk full"),
    ],
)
def test_what_aws_refuses_is_a_sentence_that_says_what_to_do(failure, said):
    assert said in accounts.explained(failure)


def test_missing_credentials_and_regions_are_sentences(tmp_path):
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "https://sts.eu-west-1.amazonaws.com",
    }

    def said(**more: str) -> str:
        done = subprocess.run(DEPLOY, env=environment | more, capture_output=True, text=True)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        return done.stderr

    assert "no region is set: give --region, or set AWS_REGION" in said()
    for region in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        assert "there are no AWS credentials" in said(**{region: "eu-west-1"})
    assert "list-profiles" in said(AWS_PROFILE="mine", AWS_REGION="eu-west-1")


def test_a_bucket_that_cannot_be_ours_is_refused_with_the_reason():
    account = accounts.Account.__new__(accounts.Account)
    account.region, account.id = "us-east-1", ACCOUNT
    for failure, said in {
        error("403"): "belongs to another account, or you lack s3:ListBucket",
        error(
            "400", status=400, **{"x-amz-bucket-region": "eu-west-1"}
        ): "is in eu-west-1, and this deployment in us-east-1",
        error("301", status=301, **{"x-amz-bucket-region": "eu-west-1"}): "deploy with --region eu-west-1",
    }.items():

        def head_bucket(failure=failure, **_):
            raise failure

        account.s3 = SimpleNamespace(head_bucket=head_bucket)
        with pytest.raises(Refused, match=said) as refused:
            account.has_bucket("sky", "--parameter DataBucketName=NAME")
        assert "--parameter DataBucketName=NAME" in str(refused.value)
    account.s3 = SimpleNamespace(head_bucket=lambda **_: {})
    assert account.has_bucket("sky", "")


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_arns_are_of_the_accounts_partition(partition):
    asked = []
    account = accounts.Account.__new__(accounts.Account)
    account.region, account.id, account.partition = "cn-north-1", ACCOUNT, partition
    account.states = SimpleNamespace(list_executions=lambda **request: asked.append(request) or {"executions": []})
    assert account.running_executions("cosmic") == []
    assert asked[0]["stateMachineArn"].startswith(f"arn:{partition}:states:cn-north-1:")
    assert artifacts.tls_only(partition, "zips")["Statement"][0]["Resource"][0] == f"arn:{partition}:s3:::zips"


def test_the_template_names_no_partition():
    assert "arn:aws:" not in json.dumps(artifacts.load_template(deploy.TEMPLATE)["Resources"])


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


# --- The zips --------------------------------------------------------------------------------------------------------


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
