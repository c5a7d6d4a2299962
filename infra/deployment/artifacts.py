"""The template as CloudFormation gets it, and the bucket of what it names: zips and the state machine's definition. A
key holds the hash of its file's contents, so that only what changed is uploaded, and what a stack runs can be told from
it.
"""

import hashlib
import json
from pathlib import Path

import yaml
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from deployment.account import Account, Refused, code, status

# The properties of SAM resources that name a local file, with the names CloudFormation takes its place in S3 by.
LOCAL_FILES = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}
# How much of a hash, in hexadecimal, is in a key.
HASH_DIGITS = 16


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


def artifacts_bucket_of(account: Account) -> str:
    return f"cosmic-artifacts-{account.id}-{account.region}"


def upload(account: Account, stack: str, template: dict, folder: Path, bucket: str, log) -> None:
    """Puts the template's local files, which are named from `folder`, into the bucket, and their places into the
    template.
    """
    ensure_artifacts_bucket(account, bucket, log)
    for name, resource in template["Resources"].items():
        field = LOCAL_FILES.get(resource["Type"])
        # A function that is a container image has no file.
        if field not in resource["Properties"]:
            continue
        path = (folder / resource["Properties"][field]).resolve()
        if not path.is_file():
            raise Refused(f"there is no {path}, for {name}: run ./scripts/package.sh first")
        key = f"{stack}/{name.lower()}-{sha256(path)[:HASH_DIGITS]}{path.suffix}"
        if not has_object(account, bucket, key):
            log(f"uploading {path} ({path.stat().st_size / 1e6:.1f} MB)")
            upload_file(account, path, bucket, key)
        resource["Properties"][field] = {"Bucket": bucket, "Key": key}


def upload_file(account: Account, path: Path, bucket: str, key: str) -> None:
    try:
        account.s3.upload_file(str(path), bucket, key, ExtraArgs={"ExpectedBucketOwner": account.id})
    except S3UploadFailedError as error:
        # boto3 puts an error of its own in the place of S3's, which says more.
        if isinstance(error.__context__, ClientError):
            raise error.__context__ from None
        raise Refused(str(error)) from None


def upload_template(account: Account, stack: str, template: dict, bucket: str) -> str:
    """Puts the template beside the zips, and gives its address. A request itself has room for 51,200 bytes of template
    only, and an object in S3 for a million:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    """
    body = json.dumps(template).encode()
    key = f"{stack}/template-{hashlib.sha256(body).hexdigest()[:HASH_DIGITS]}.json"
    account.s3.put_object(Bucket=bucket, Key=key, Body=body, ExpectedBucketOwner=account.id)
    return f"{account.s3.meta.endpoint_url}/{bucket}/{key}"


def ensure_artifacts_bucket(account: Account, bucket: str, log) -> None:
    """Makes the bucket where it is not there, and configures it where that was not finished."""
    if not account.has_bucket(bucket, "--artifacts-bucket"):
        log(f"making the bucket {bucket}, for the zips")
        # S3 takes the name of every region but us-east-1, which it takes where none is given.
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": account.region}}
        account.s3.create_bucket(Bucket=bucket, **({} if account.region == "us-east-1" else elsewhere))
    elif bucket != artifacts_bucket_of(account) or has_policy(account, bucket):
        return
    owned = {"Bucket": bucket, "ExpectedBucketOwner": account.id}
    account.s3.put_public_access_block(
        **owned,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    # Uploads that were interrupted are charged for until they are given up.
    abandoned = {
        "ID": "abandoned-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    account.s3.put_bucket_lifecycle_configuration(**owned, LifecycleConfiguration={"Rules": [abandoned]})
    # The policy comes last: where it is, the rest is.
    account.s3.put_bucket_policy(**owned, Policy=json.dumps(tls_only(account.partition, bucket)))


def has_policy(account: Account, bucket: str) -> bool:
    try:
        account.s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner=account.id)
    except ClientError as error:
        if code(error) == "NoSuchBucketPolicy":
            return False
        raise
    return True


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
