"""Deploys Cosmic: `scripts/deploy.sh`, after scripts/package.sh. On AWS, or on the local stack with --endpoint-url.

Uploads what changed (the zips' keys are hashes of their contents), and makes or updates the stack by a change set.
The service expands the SAM template, as the local stack does, so that no SAM command line is needed here. Whatever goes
wrong ends it with a sentence and exit code 1.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "infra/template.yaml"
PACKAGED = ROOT / "target/lambda/package.json"

# The properties of SAM resources that name a local file, with the names CloudFormation takes its place in S3 by.
LOCAL_FILES = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
TAGS = [{"Key": "project", "Value": "cosmic"}]
POLL_SECONDS = 2
LOCAL_POLL_SECONDS = 0.1


class Refused(Exception):
    """An error that the user can mend; its text says how."""


def main() -> None:
    arguments = parse_arguments()
    log = Log(quiet=arguments.json)
    try:
        account = Account(arguments.endpoint_url, arguments.region)
        if arguments.delete:
            report = delete(account, arguments.stack_name, log)
        else:
            parameters = dict(map(parse_parameter, arguments.parameter))
            report = deploy(account, arguments.stack_name, parameters, arguments.dry_run, log)
    except (Refused, ClientError, BotoCoreError, OSError) as error:
        sys.exit(f"failed to {'delete' if arguments.delete else 'deploy'}: {error}")
    if arguments.json:
        print(json.dumps(report))
    else:
        width = max(map(len, report["outputs"]), default=0)
        for name, value in report["outputs"].items():
            print(f"{name:{width}}  {value}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/deploy.sh", description="deploy Cosmic to AWS or to the local stack")
    parser.add_argument("--stack-name", default="cosmic", help="also the first part of all names (default: cosmic)")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of infra/template.yaml; may be repeated; what is not given keeps its value, or its default",
    )
    parser.add_argument("--region", help="default: the AWS environment's, else us-east-1")
    parser.add_argument(
        "--endpoint-url",
        default=os.environ.get("AWS_ENDPOINT_URL"),
        metavar="URL",
        help="of the local stack (default: AWS_ENDPOINT_URL)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show what would change; uploads the zips, for the service to look at them",
    )
    parser.add_argument("--delete", action="store_true", help="delete the stack; its bucket stays, with all results")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, and nothing else")
    return parser.parse_args()


def parse_parameter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Refused(f"--parameter wants KEY=VALUE, found {text!r}")
    return key, value


class Log:
    """Prints progress, unless the output is for a program (--json)."""

    def __init__(self, quiet: bool):
        self.quiet = quiet

    def __call__(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)


class Account:
    """The services of one account and region."""

    def __init__(self, endpoint_url: str | None, region: str | None):
        session = boto3.Session(region_name=region)
        self.region = session.region_name or "us-east-1"
        options = {
            "region_name": self.region,
            "endpoint_url": endpoint_url,
            "config": Config(retries={"mode": "standard", "max_attempts": 5}),
        }
        self.cloudformation = session.client("cloudformation", **options)
        self.s3 = session.client("s3", **options)
        caller = session.client("sts", **options).get_caller_identity()
        self.id = caller["Account"]
        self.partition = caller["Arn"].split(":")[1]
        self.is_aws = ".amazonaws.com" in (urlparse(self.s3.meta.endpoint_url).hostname or "")
        self.poll_seconds = POLL_SECONDS if self.is_aws else LOCAL_POLL_SECONDS

    def has_bucket(self, name: str) -> bool:
        """Whether a bucket of ours is there; one of somebody else's is refused."""
        try:
            self.s3.head_bucket(Bucket=name, ExpectedBucketOwner=self.id)
        except ClientError as error:
            if status(error) == 404:
                return False
            if status(error) in (301, 400, 403):
                raise Refused(f"the bucket {name} belongs to another account or region") from None
            raise
        return True


def status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


# --- Packaging -------------------------------------------------------------------------------------------------------


class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref x` becomes {"Ref": "x"}, as JSON templates have it."""


def construct_short_form(loader: TemplateLoader, tag: str, node: yaml.Node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


TemplateLoader.add_multi_constructor("!", construct_short_form)


def load_template(path: Path) -> dict:
    with path.open(encoding="utf-8") as text:
        return yaml.load(text, TemplateLoader)


def upload(account: Account, stack: str, template: dict, log: Log) -> None:
    """Puts the template's local files into the artifacts bucket, and their places into the template."""
    bucket = f"cosmic-artifacts-{account.id}-{account.region}"
    ensure_artifacts_bucket(account, bucket, log)
    for name, resource in template["Resources"].items():
        field = LOCAL_FILES.get(resource["Type"])
        if field is None:
            continue
        path = (TEMPLATE.parent / resource["Properties"][field]).resolve()
        if not path.is_file():
            raise Refused(f"there is no {path}, for {name}: run ./scripts/package.sh first")
        key = f"{stack}/{name.lower()}-{sha256(path)[:16]}{path.suffix}"
        if not has_object(account, bucket, key):
            log(f"uploading {path.relative_to(ROOT)} ({path.stat().st_size / 1e6:.1f} MB)")
            account.s3.upload_file(str(path), bucket, key, ExtraArgs={"ExpectedBucketOwner": account.id})
        resource["Properties"][field] = {"Bucket": bucket, "Key": key}


def upload_template(account: Account, stack: str, template: dict) -> str:
    """Puts the template beside the zips, and gives its address. A request itself has room for 51,200 bytes of template
    only, and an object in S3 for a million:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    """
    bucket, body = f"cosmic-artifacts-{account.id}-{account.region}", json.dumps(template).encode()
    key = f"{stack}/template-{hashlib.sha256(body).hexdigest()[:16]}.json"
    account.s3.put_object(Bucket=bucket, Key=key, Body=body, ExpectedBucketOwner=account.id)
    return f"{account.s3.meta.endpoint_url}/{bucket}/{key}"


def ensure_artifacts_bucket(account: Account, bucket: str, log: Log) -> None:
    if not account.has_bucket(bucket):
        make_artifacts_bucket(account, bucket, log)
    # Earlier versions made the bucket without a policy.
    try:
        account.s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner=account.id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        account.s3.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps(tls_only(account.partition, bucket)), ExpectedBucketOwner=account.id
        )


def tls_only(partition: str, bucket: str) -> dict:
    """A policy that refuses everyone who does not use TLS."""
    arn = f"arn:{partition}:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def make_artifacts_bucket(account: Account, bucket: str, log: Log) -> None:
    log(f"making the bucket {bucket}, for the zips")
    # S3 takes the name of every region but us-east-1, which it takes where none is given.
    place = (
        {} if account.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": account.region}}
    )
    account.s3.create_bucket(Bucket=bucket, **place)
    account.s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )


def has_object(account: Account, bucket: str, key: str) -> bool:
    try:
        account.s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account.id)
    except ClientError as error:
        if status(error) == 404:
            return False
        raise
    return True


def sha256(path: Path) -> str:
    hash_ = hashlib.sha256()
    with path.open("rb") as contents:
        while piece := contents.read(1 << 20):
            hash_.update(piece)
    return hash_.hexdigest()


# --- The stack -------------------------------------------------------------------------------------------------------


def deploy(account: Account, name: str, parameters: dict[str, str], dry_run: bool, log: Log) -> dict:
    template = load_template(TEMPLATE)
    unknown = parameters.keys() - template["Parameters"].keys()
    if unknown:
        raise Refused(
            f"the template has no parameter {', '.join(sorted(unknown))} (known: {', '.join(template['Parameters'])})"
        )
    take_architecture_of_zips(parameters)
    refuse_local_zips_on_aws(account)
    stack = describe(account, name)
    check_bucket(account, name, stack, parameters)
    upload(account, name, template, log)

    template_url = upload_template(account, name, template)
    change_set = make_change_set(account, name, stack, template, template_url, parameters)
    changes = [] if change_set is None else changes_of(account, change_set)
    for change in changes:
        log(f"{change['action'].lower()} {change['resource']} ({change['type']})")
    if dry_run:
        discard(account, name, stack, change_set)
        log("nothing to change" if not changes else "a dry run: nothing was changed")
        return {"stack": name, "changes": changes, "outputs": {}}
    if change_set is None:
        log("nothing to change")
    else:
        since = latest_event(account, name)
        account.cloudformation.execute_change_set(ChangeSetName=change_set)
        wait(account, name, {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, since, log)
    stack = describe(account, name)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return {"stack": name, "changes": changes, "outputs": outputs}


def take_architecture_of_zips(parameters: dict[str, str]) -> None:
    if not PACKAGED.is_file():
        raise Refused(f"there is no {PACKAGED}: run ./scripts/package.sh first")
    architecture = json.loads(PACKAGED.read_text())["architecture"]
    if parameters.setdefault("Architecture", architecture) != architecture:
        raise Refused(
            f"the zips are built for {architecture}, not for {parameters['Architecture']}: "
            "run ./scripts/package.sh again, with --arm64 or without"
        )


def refuse_local_zips_on_aws(account: Account) -> None:
    if account.is_aws:
        reason = json.loads(PACKAGED.read_text())["local_only"]
        if reason:
            raise Refused(f"these zips are for the local stack only: {reason}: see infra/README.md")


def describe(account: Account, name: str) -> dict | None:
    """The stack, if it is there; one that only waits for its first change set is not."""
    try:
        stack = account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    if stack["StackStatus"] in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
        raise Refused(
            f"the stack {name} is in {stack['StackStatus']}, the rest of an attempt that failed: "
            "delete it with --delete, then deploy again"
        )
    return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack


def check_bucket(account: Account, name: str, stack: dict | None, parameters: dict[str, str]) -> None:
    """Gives the bucket a name of this account, and refuses what would make a new stack fail later on."""
    if stack is not None:
        return
    bucket = parameters.setdefault("DataBucketName", f"{name}-{account.id}-{account.region}")
    creates = parameters.get("CreateDataBucket", "true") == "true"
    there = account.has_bucket(bucket)
    if there and creates:
        raise Refused(
            f"the bucket {bucket} is there already (deleting a stack leaves its bucket): "
            "add --parameter CreateDataBucket=false to use it"
        )
    if not there and not creates:
        raise Refused(f"there is no bucket {bucket}: leave out CreateDataBucket=false, or name another DataBucketName")


def make_change_set(
    account: Account, name: str, stack: dict | None, template: dict, template_url: str, parameters: dict
) -> str | None:
    """The change set's ARN; None where it would change nothing."""
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    kept = {parameter["ParameterKey"] for parameter in (stack or {}).get("Parameters", [])}
    given += [
        {"ParameterKey": key, "UsePreviousValue": True}
        for key in template["Parameters"]
        if key in kept and key not in parameters
    ]
    made = account.cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"deploy-{time.time_ns()}",
        ChangeSetType="UPDATE" if stack else "CREATE",
        TemplateURL=template_url,
        Parameters=given,
        Capabilities=CAPABILITIES,
        Tags=TAGS,
    )
    while True:
        described = account.cloudformation.describe_change_set(ChangeSetName=made["Id"])
        if described["Status"] == "CREATE_COMPLETE":
            return made["Id"]
        if described["Status"] == "FAILED":
            reason = described.get("StatusReason", "")
            discard(account, name, stack, made["Id"])
            # CloudFormation reports it in no other way than by this text.
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return None
            raise Refused(f"CloudFormation does not take the template: {reason}")
        time.sleep(account.poll_seconds)


def changes_of(account: Account, change_set: str) -> list[dict]:
    pages = account.cloudformation.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
    return [
        {"action": change["Action"], "resource": change["LogicalResourceId"], "type": change["ResourceType"]}
        for change in changes
    ]


def discard(account: Account, name: str, stack: dict | None, change_set: str | None) -> None:
    """Deletes a change set, and the empty stack that it made."""
    if change_set is not None:
        account.cloudformation.delete_change_set(ChangeSetName=change_set)
        if stack is None:
            account.cloudformation.delete_stack(StackName=name)


def events(account: Account, name: str):
    """The stack's events, the newest first."""
    for page in account.cloudformation.get_paginator("describe_stack_events").paginate(StackName=name):
        yield from page["StackEvents"]


def latest_event(account: Account, name: str) -> str | None:
    return next((event["EventId"] for event in events(account, name)), None)


def wait(account: Account, name: str, wanted: set[str], since: str | None, log: Log) -> None:
    """Waits until the stack is in a wanted state; raises Refused, with the resources' reasons, if that fails."""
    stack_id = name
    while True:
        stack = account.cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        # A deleted stack can only be asked for by its id.
        stack_id = stack["StackId"]
        state = stack["StackStatus"]
        if not state.endswith("_IN_PROGRESS"):
            break
        time.sleep(account.poll_seconds)
    if state in wanted:
        log(f"{name}: {state}")
        return
    failures = []
    for event in events(account, stack_id):
        if event["EventId"] == since:
            break
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
            failures.append(f"  {event['LogicalResourceId']}: {event['ResourceStatusReason']}")
    # The first failure is the cause; those that follow are mostly cancellations.
    said = "\n".join(reversed(failures)) or f"  {stack.get('StackStatusReason', 'no reason given')}"
    raise Refused(f"the stack {name} ended in {state}:\n{said}")


def delete(account: Account, name: str, log: Log) -> dict:
    try:
        stack = account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise Refused(f"there is no stack {name} in {account.region}") from None
    buckets = [
        parameter["ParameterValue"]
        for parameter in stack.get("Parameters", [])
        if parameter["ParameterKey"] == "DataBucketName"
    ]
    since = latest_event(account, stack["StackId"])
    account.cloudformation.delete_stack(StackName=stack["StackId"])
    wait(account, stack["StackId"], {"DELETE_COMPLETE"}, since, log)
    for bucket in buckets:
        log(f"the bucket {bucket} stays, with all data and results")
    log(f"the bucket cosmic-artifacts-{account.id}-{account.region} stays, with the zips")
    return {"stack": name, "changes": [], "outputs": {}}


if __name__ == "__main__":
    main()
