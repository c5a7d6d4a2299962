"""A local stack for all tests, and Cosmic deployed to it as a user deploys it."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest

from demo_sky import COSMIC

# The tests must not reach the user's AWS account.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "payloads/demo/model.safetensors"


class Stack:
    """A running local stack."""

    def __init__(self, *arguments: str):
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "infra/local/stack.py", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self.process.stdout.readline()
        assert ready.startswith("ready http://127.0.0.1:"), ready
        self.endpoint = ready.split()[1]
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PATH": os.environ["PATH"],
        }

    def client(self, service: str, **config):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=boto3.session.Config(retries={"total_max_attempts": 1}, read_timeout=300, **config),
        )

    def run(self, *command, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(list(map(str, command)), cwd=ROOT, env=self.environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def options(self, **changes) -> dict:
        """Changes the stack's options, and gives all of them with the counts of what happened since the last change."""
        request = urllib.request.Request(
            f"{self.endpoint}/local-stack/options",
            data=json.dumps(changes).encode() if changes else None,
            method="PUT" if changes else "GET",
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def cosmic(self, *arguments, check: bool = True) -> subprocess.CompletedProcess:
        return self.run(COSMIC, *arguments, check=check)

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0


@contextlib.contextmanager
def without(stack: Stack, role: str, action: str):
    """A role of the template without one of its actions, in whichever of its policies they are."""
    iam = stack.client("iam")
    [name] = [found["RoleName"] for found in iam.list_roles()["Roles"] if role in found["RoleName"]]
    policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
    whole = {policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in policies}
    removed = 0
    try:
        for policy, document in whole.items():
            less = json.loads(json.dumps(document))
            for statement in less["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                removed += action in actions
                statement["Action"] = [other for other in actions if other != action] or ["none:Nothing"]
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(less))
        assert removed, f"{role} does not have {action}"
        yield
    finally:
        for policy, document in whole.items():
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))


@pytest.fixture(scope="session")
def stack():
    with Stack("--enforce-roles", "--limit-memory") as stack:
        yield stack


@pytest.fixture(scope="session")
def demo_sky(tmp_path_factory) -> Path:
    """The demo's partitions."""
    assert COSMIC.is_file(), "run scripts/test.sh, which builds first"
    folder = tmp_path_factory.mktemp("demo-sky")
    subprocess.run([sys.executable, ROOT / "scripts/lib/demo_sky.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def cosmic(stack, demo_sky):
    """Cosmic deployed, with its demo's galaxies and model uploaded."""
    cosmic = deploy(stack)
    upload = [sys.executable, ROOT / "scripts/lib/upload.py"]
    stack.run(*upload, demo_sky, "s3://cosmic-demo/demo/partitions")
    stack.run(*upload, MODEL.parent, "s3://cosmic-demo/demo")
    return cosmic


def deploy(stack: Stack, **parameters: str) -> "Cosmic":
    assert (ROOT / "target/packages/package.json").is_file(), "run scripts/test.sh, which packages first"
    command = [sys.executable, ROOT / "infra/deploy.py", "--json"]
    parameters = {"DataBucketName": "cosmic-demo", **parameters}
    set_ = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    deployed = json.loads(stack.run(*command, *set_).stdout)
    return Cosmic(stack, command, deployed)


class Cosmic(SimpleNamespace):
    """The deployed stack, with the commands and requests that a user sends to it."""

    def __init__(self, stack: Stack, deploy: list, deployed: dict):
        super().__init__(stack=stack, s3=stack.client("s3"), deploy=deploy, deployed=deployed, bucket="cosmic-demo")

    def run(self, *arguments, payload="payloads/demo.json", check=True, **fields) -> SimpleNamespace:
        """`cosmic run` with fields set over a payload."""
        set_ = [part for key, value in fields.items() for part in ("--set", f"{key}={value}")]
        done = self.stack.cosmic("run", "--json", "--payload", payload, *set_, *arguments, check=check)
        report = json.loads(done.stdout) if done.stdout.strip() else None
        return SimpleNamespace(code=done.returncode, report=report, said=done.stderr)

    def execute(self, payload: dict) -> dict:
        """Runs the state machine with any input, and waits for its end."""
        return self.wait(self.start(payload))

    def start(self, payload: dict) -> str:
        """Starts the state machine with any input, as the console would, and gives the execution's ARN."""
        return self.stack.client("stepfunctions").start_execution(
            stateMachineArn=self.deployed["outputs"]["StateMachineArn"],
            name=f"test-{uuid.uuid4()}",
            input=json.dumps(payload),
        )["executionArn"]

    def wait(self, arn: str) -> dict:
        states = self.stack.client("stepfunctions")
        while (described := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.1)
        return described

    def upload(self, prefix: str, files: dict[str, bytes]) -> str:
        for name, contents in files.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"{prefix}/{name}", Body=contents)
        return prefix

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
