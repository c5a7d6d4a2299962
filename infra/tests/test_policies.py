"""infra/policies: an IAM user with one of them can do what it is for, under enforcement, and nothing else."""

import json
import re
import subprocess
import sys

import boto3
import pytest
from botocore.exceptions import ClientError

import monitoring
import policies
import resource_permissions
import small_sky
import stacks
from conftest import ROOT, Cosmic, Stack
from deployment import artifacts
from test_local_stack import policy

POLICIES = ROOT / "infra/policies"
ACCOUNT, REGION, BUCKET = "123456789012", "us-east-1", "cosmic-demo"
VALUES = {"PARTITION": "aws", "ACCOUNT": ACCOUNT, "REGION": REGION, "STACK": "cosmic", "BUCKET": BUCKET}
DEPLOY = [sys.executable, ROOT / "infra/deploy.py", "--json", "--parameter", f"DataBucketName={BUCKET}"]


def filled(name: str) -> dict:
    """A policy with its placeholders filled, as infra/README.md says."""
    text = (POLICIES / f"{name}.json").read_text()
    for placeholder, value in VALUES.items():
        text = text.replace(placeholder, value)
    return json.loads(text)


class User:
    """An IAM user with an access key, who uses the stack as others do."""

    def __init__(self, stack: Stack, name: str, document: dict):
        self.endpoint, self.iam, self.name = stack.endpoint, stack.client("iam"), name
        self.iam.create_user(UserName=name)
        self.allow(document)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        self.environment = stack.environment | {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def allow(self, document: dict) -> None:
        self.iam.put_user_policy(UserName=self.name, PolicyName="all", PolicyDocument=json.dumps(document))

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def run(self, *command) -> subprocess.CompletedProcess:
        return subprocess.run(list(map(str, command)), cwd=ROOT, env=self.environment, capture_output=True, text=True)

    def cosmic(self, *arguments) -> subprocess.CompletedProcess:
        return self.run(small_sky.COSMIC, *arguments)


def succeeds(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without(document: dict, action: str) -> dict:
    """A policy that lacks an action."""
    less = json.loads(json.dumps(document))
    for statement in less["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        statement["Action"] = [other for other in actions if other != action] or ["none:Nothing"]
    assert less != document, f"the policy does not have {action}"
    return less


def denials(stack: Stack) -> dict[str, int]:
    """How often each action was refused so far."""
    return {what: count for what, count in stack.options()["happened"].items() if what.startswith("AccessDenied")}


@pytest.fixture(scope="module")
def stack():
    options = json.dumps({"retry_pace": small_sky.RETRY_PACE})
    with Stack("--enforce-roles", "--options", options) as stack:
        yield stack


@pytest.fixture(scope="module")
def deployer(stack):
    return User(stack, "deployer", filled("deploy"))


# --- deploy.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action, resource",
    [
        ("iam:PassRole", "Inference"),
        ("iam:PutRolePolicy", "Role"),
        ("lambda:CreateFunction", "Inference"),
        ("s3:PutBucketPolicy", "DataBucketPolicy"),
        ("states:TagResource", "RedshiftMachine"),
    ],
)
def test_a_deployer_who_lacks_a_permission_is_told_which_and_leaves_nothing(stack, deployer, action, resource):
    if action == "s3:PutBucketPolicy":
        # The bucket of the zips has to be there for it.
        stack.run(*DEPLOY, "--dry-run")
    deployer.allow(without(filled("deploy"), action))
    done = deployer.run(*DEPLOY)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert re.search(rf"  \w*{resource}: User: \S+user/deployer is not authorized to perform: {action}", done.stderr)
    assert "nothing of it is left" in done.stderr
    assert not [one for one in stack.client("s3").list_buckets()["Buckets"] if one["Name"] == BUCKET]


def test_an_upload_that_s3_refuses_is_explained(stack, deployer):
    stack.run(*DEPLOY, "--dry-run")
    bucket = f"cosmic-artifacts-{ACCOUNT}-{REGION}"
    for found in stack.client("s3").list_objects_v2(Bucket=bucket)["Contents"]:
        stack.client("s3").delete_object(Bucket=bucket, Key=found["Key"])
    deployer.allow(without(filled("deploy"), "s3:PutObject"))
    done = deployer.run(*DEPLOY)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "failed to deploy: " in done.stderr and "infra/policies/deploy.json allows" in done.stderr, done.stderr


def test_a_deployer_deploys_updates_mends_and_deletes(stack, deployer):
    deployer.allow(filled("deploy"))
    before = denials(stack)
    succeeds(deployer.run(*DEPLOY))
    succeeds(deployer.run(*DEPLOY, "--dry-run", "--parameter", "InferenceMemory=2048"))
    succeeds(deployer.run(*DEPLOY, "--parameter", "InferenceMemory=2048", "--parameter", "LogRetentionDays=7"))
    functions = stack.client("lambda")
    functions.update_function_configuration(FunctionName="cosmic-inference", MemorySize=1024)
    functions.put_function_concurrency(FunctionName="cosmic-inference", ReservedConcurrentExecutions=0)
    assert json.loads(succeeds(deployer.run(*DEPLOY)))["drift"]
    all_else = [
        "SourceBucketName=others",
        "LogFilter=debug",
        "ReservedConcurrency=5",
        "Dashboard=on",
        "Alarms=on",
        "NotificationEmail=name@example.org",
        "Tracing=on",
    ]
    succeeds(deployer.run(*DEPLOY, *(part for each in all_else for part in ("--parameter", each))))
    assert json.loads(succeeds(deployer.run(*DEPLOY)))["drift"] == []
    succeeds(deployer.run(*DEPLOY, "--delete"))
    assert denials(stack) == before, "a permission is missing"
    assert (
        "not authorized to perform: cloudformation:DescribeStacks" in deployer.run(*DEPLOY, "--stack-name", "b").stderr
    )


def test_a_deployer_can_be_held_to_a_permissions_boundary(stack, deployer):
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    bounds = stack.client("iam").create_policy(PolicyName="bounds", PolicyDocument=policy([everything]))
    boundary = bounds["Policy"]["Arn"]
    held = filled("deploy")
    for statement in held["Statement"]:
        if statement["Sid"] == "Roles":
            statement["Condition"] = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
            statement["Action"] = [one for one in statement["Action"] if one in NEEDS_BOUNDARY]
            others = [one for one in filled_actions("Roles") if one not in NEEDS_BOUNDARY]
    held["Statement"].append({"Effect": "Allow", "Action": others, "Resource": f"arn:aws:iam::{ACCOUNT}:role/cosmic-*"})
    deployer.allow(held)
    said = deployer.run(*DEPLOY, "--parameter", "CreateDataBucket=false").stderr
    assert "not authorized to perform: iam:CreateRole" in said, said
    arguments = ["--parameter", f"PermissionsBoundaryArn={boundary}"]
    succeeds(deployer.run(*DEPLOY, "--parameter", "CreateDataBucket=false", *arguments))
    deployer.allow(filled("deploy"))
    succeeds(deployer.run(*DEPLOY, "--delete"))


# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
NEEDS_BOUNDARY = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")


def filled_actions(sid: str) -> list[str]:
    [statement] = [statement for statement in filled("deploy")["Statement"] if statement["Sid"] == sid]
    return statement["Action"]


# --- run.json and logs.json ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cosmic(stack, tmp_path_factory):
    """Cosmic deployed by somebody who may, with galaxies."""
    for bucket in [one["Name"] for one in stack.client("s3").list_buckets()["Buckets"]]:
        if bucket == BUCKET:
            stack.client("s3").delete_bucket_policy(Bucket=bucket)
            stack.client("s3").delete_bucket(Bucket=bucket)
    deployed = json.loads(succeeds(stack.run(*DEPLOY)))
    cosmic = Cosmic(stack, DEPLOY, deployed)
    small_sky.upload(cosmic, tmp_path_factory.mktemp("sky"))
    return cosmic


@pytest.fixture(scope="module")
def runner(cosmic, stack):
    return User(stack, "runner", filled("run"))


@pytest.fixture(scope="module")
def finished(cosmic, runner, tmp_path_factory) -> str:
    """The name of an execution that the runner started and saw the end of."""
    out = tmp_path_factory.mktemp("out") / "small"
    payload = {**small_sky.PAYLOAD, "result_path": "results/small"}
    file = out.with_suffix(".json")
    file.write_text(json.dumps(payload))
    done = runner.cosmic("run", "--json", "--payload", file, "--out", out, "--max-cost", "1")
    return json.loads(succeeds(done))["execution"].rpartition(":")[2]


def test_a_runner_plans_splits_runs_stops_and_reports(cosmic, stack, runner, finished, tmp_path):
    before = denials(stack)
    galaxies = tmp_path / "galaxies.pt"
    succeeds(runner.cosmic("simulate", "--count", "24", "--seed", "5", "--out", galaxies))
    succeeds(runner.cosmic("split", galaxies, "--partition-size", "164kB", "--out", f"s3://{BUCKET}/mine"))
    file = tmp_path / "payload.json"
    file.write_text(json.dumps({**small_sky.PAYLOAD, "prefix": "mine"}))
    succeeds(runner.cosmic("plan", "--json", "--payload", file))
    succeeds(runner.cosmic("run", "--json", "--attach", finished))
    succeeds(runner.cosmic("logs", "--json", "--execution", finished))
    succeeds(runner.cosmic("report", f"s3://{BUCKET}/results/small", "--out", tmp_path / "report.html"))
    arn = cosmic.start({**small_sky.PAYLOAD, "result_path": "results/stopped"})
    assert runner.cosmic("run", "--json", "--stop", arn).returncode in (0, 3)
    cosmic.wait(arn)
    assert denials(stack) == before, "a permission is missing"


def test_a_runner_sweeps_and_limits_a_map_and_sees_the_stacks_outputs(cosmic, stack, runner, finished, tmp_path):
    before = denials(stack)
    grid = {"partition_sizes": ["164kB"], "batch_sizes": [8], "memory_sizes": [1536], "repeats": 1}
    file = tmp_path / "sweep.json"
    data = {"simulate": {"count": 8, "seed": 5}}
    fields = {
        "name": "small",
        "place": "executions",
        "data": data,
        "bucket": BUCKET,
        "prefix": "sweeps",
        "grids": [grid],
    }
    file.write_text(json.dumps(fields))
    succeeds(runner.cosmic("sweep", file, "--out", tmp_path / "out", "--json"))
    execution = cosmic.deployed["outputs"]["StateMachineArn"].replace(":stateMachine:", ":execution:") + f":{finished}"
    states = runner.client("stepfunctions")
    [map_run] = states.list_map_runs(executionArn=execution)["mapRuns"]
    states.update_map_run(mapRunArn=map_run["mapRunArn"], maxConcurrency=8)
    assert runner.client("cloudformation").describe_stacks(StackName="cosmic")["Stacks"][0]["Outputs"]
    assert denials(stack) == before, "a permission is missing"


def test_a_runner_changes_no_deployment(cosmic, runner):
    done = runner.run(*DEPLOY)
    assert done.returncode == 1 and "not authorized to perform: cloudformation:GetTemplate" in done.stderr, done.stderr
    for request in (
        lambda: runner.client("lambda").update_function_code(FunctionName="cosmic-inference", ZipFile=b"x"),
        lambda: runner.client("lambda").update_function_configuration(FunctionName="cosmic-summarizer", Timeout=3),
        lambda: runner.client("lambda").invoke(FunctionName="cosmic-inference"),
        lambda: runner.client("logs").delete_log_group(logGroupName="/aws/lambda/cosmic-inference"),
        lambda: runner.client("s3").delete_object(Bucket=BUCKET, Key="results/small/Results.json"),
        lambda: runner.client("s3").list_objects_v2(Bucket=f"cosmic-artifacts-{ACCOUNT}-{REGION}"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            request()


def test_a_reader_of_logs_reads_and_does_no_more(cosmic, stack, finished, tmp_path):
    reader = User(stack, "reader", filled("logs"))
    succeeds(reader.cosmic("logs", "--json", "--execution", finished))
    succeeds(reader.cosmic("report", f"s3://{BUCKET}/results/small", "--out", tmp_path / "report.html"))
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(small_sky.PAYLOAD))
    done = reader.cosmic("run", "--payload", file)
    assert done.returncode == 1 and "not authorized to perform: states:StartExecution" in done.stderr, done.stderr
    machine = cosmic.deployed["outputs"]["StateMachineArn"]
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{finished}"
    for request in (
        lambda: reader.client("stepfunctions").stop_execution(executionArn=execution),
        lambda: reader.client("s3").put_object(Bucket=BUCKET, Key="results/small/Results.json", Body=b"{}"),
        lambda: reader.client("s3").delete_object(Bucket=BUCKET, Key="results/small/Results.json"),
        lambda: reader.client("lambda").get_function_configuration(FunctionName="cosmic-inference"),
        lambda: reader.client("logs").filter_log_events(logGroupName="/aws/lambda/another-function"),
        lambda: reader.client("logs").delete_log_group(logGroupName="/aws/lambda/cosmic-inference"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            request()


# --- The files -------------------------------------------------------------------------------------------------------

# Actions for which IAM knows no resource, by the Service Authorization Reference:
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
WITHOUT_RESOURCE = {
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:ListMetrics",
    "lambda:GetAccountSettings",
    "logs:DescribeQueryDefinitions",
    "logs:GetQueryResults",
    "logs:StopQuery",
    "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes",
    "sns:Unsubscribe",
    "states:ListStateMachines",
}
# These have one, which is no name of ours: an account's queries have no ARNs, and alarms are listed together.
NOT_BY_NAME = {
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetDashboard",
    "logs:DeleteQueryDefinition",
    "logs:DescribeLogGroups",
    "logs:PutQueryDefinition",
}


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_policy_names_its_actions_and_what_they_are_for(path):
    assert len(json.dumps(filled(path.stem), separators=(",", ":"))) <= 6144, "the limit of a managed policy"
    for statement in json.loads(path.read_text())["Statement"]:
        actions, resources = policies.listed(statement["Action"]), policies.listed(statement["Resource"])
        assert not [action for action in actions if "*" in action] and statement["Sid"]
        assert actions == list(dict.fromkeys(actions))
        if not set(actions) <= WITHOUT_RESOURCE | NOT_BY_NAME:
            for resource in resources:
                assert re.search("STACK|BUCKET|cosmic-artifacts-ACCOUNT-REGION|aws:transform", resource), resource
                assert resource.startswith("arn:PARTITION:")


def test_a_role_is_passed_to_the_two_services_only():
    [statement] = [one for one in filled("deploy")["Statement"] if "iam:PassRole" in one["Action"]]
    role = f"arn:aws:iam::{ACCOUNT}:role/cosmic-InferenceRole-1"
    for service, expected in {"lambda": "Allow", "states": "Allow", "ec2": None}.items():
        context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        assert policies.decision([{"Statement": statement}], "iam:PassRole", role, context) == expected


def test_deploying_is_known_to_need_what_each_resource_of_the_template_needs():
    template = artifacts.load_template(ROOT / "infra/template.yaml")
    for resource in template["Resources"].values():
        for field in ("CodeUri", "DefinitionUri"):
            if field in resource["Properties"]:
                resource["Properties"][field] = {"Bucket": "zips", "Key": "zip"}
    assert monitoring, "it brings the types of resources that moto does not know"
    types = {resource["Type"] for resource in stacks.expand(template)["Resources"].values()}
    assert types <= resource_permissions.HANDLERS.keys()
    allowed = [action for statement in filled("deploy")["Statement"] for action in policies.listed(statement["Action"])]
    for kind in types:
        service, _, operations = resource_permissions.HANDLERS[kind]
        needed = {f"{service}:{action}" for actions in operations.values() for action in actions}
        assert needed <= set(allowed), (kind, needed - set(allowed))


def test_the_readmes_command_fills_all_placeholders_of_all_policies():
    readme = (ROOT / "infra/README.md").read_text()
    script = re.search(r"sed '(.+?)'", readme)[1]
    names = re.search(r"for name in (.+); do\n    sed", readme)[1].split()
    assert {path.stem for path in POLICIES.glob("*.json")} == set(names)
    for name in names:
        done = subprocess.run(["sed", script, POLICIES / f"{name}.json"], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) and not re.search("|".join(VALUES), done.stdout), done.stdout
        assert f"[policies/{name}.json](policies/{name}.json)" in readme
