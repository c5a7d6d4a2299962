"""What infra/deploy.py says where AWS refuses its credentials, its region or a bucket, and which partition it names."""

import json
import os
import subprocess
from types import SimpleNamespace

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError

import deploy
from deployment import account as accounts
from deployment import artifacts
from deployment.account import Refused
from test_deploying import ACCOUNT, DEPLOY


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
