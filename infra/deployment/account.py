"""One AWS account and region, or the local stack in their place, and what its refusals mean."""

import os
from urllib.parse import urlparse

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import ClientError

POLL_SECONDS = 2
LOCAL_POLL_SECONDS = 0.1


class Refused(Exception):
    """An error that the user can mend; its text says how."""


class Account:
    """The services of one account and region."""

    def __init__(self, endpoint_url: str | None, region: str | None):
        host = urlparse(endpoint_url or "").hostname or ""
        self.is_aws = endpoint_url is None or ".amazonaws.com" in host
        # boto3 does not read AWS_REGION, which the other tools put before AWS_DEFAULT_REGION.
        session = boto3.Session(region_name=region or os.environ.get("AWS_REGION"))
        self.region = session.region_name or (None if self.is_aws else "us-east-1")
        if self.region is None:
            raise Refused("no region is set: give --region, or set AWS_REGION (`aws configure` sets a default)")
        options = {
            "region_name": self.region,
            "endpoint_url": endpoint_url,
            "config": Config(retries={"mode": "standard", "max_attempts": 5}),
        }
        self.cloudformation = session.client("cloudformation", **options)
        self.functions = session.client("lambda", **options)
        self.logs = session.client("logs", **options)
        self.s3 = session.client("s3", **options)
        self.states = session.client("stepfunctions", **options)
        caller = session.client("sts", **options).get_caller_identity()
        self.id = caller["Account"]
        self.partition = caller["Arn"].split(":")[1]
        self.poll_seconds = POLL_SECONDS if self.is_aws else LOCAL_POLL_SECONDS

    def has_bucket(self, name: str, option: str) -> bool:
        """Whether a bucket of ours is there. One that is somebody else's is refused, with the option that names
        another.
        """
        try:
            self.s3.head_bucket(Bucket=name, ExpectedBucketOwner=self.id)
        except ClientError as error:
            if status(error) == 404:
                return False
            region = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", self.region)
            if region != self.region:
                raise Refused(
                    f"the bucket {name} is in {region}, and this deployment in {self.region}: "
                    f"name another with {option}, or deploy with --region {region}"
                ) from None
            if status(error) in (301, 400, 403):
                raise Refused(
                    f"the bucket {name} belongs to another account, or you lack s3:ListBucket on it "
                    f"(names of buckets are unique over all accounts): name another with {option}"
                ) from None
            raise
        return True

    def running_executions(self, stack: str) -> list[str]:
        """Names of executions of a stack's state machine that have not ended, ten at most."""
        machine = f"arn:{self.partition}:states:{self.region}:{self.id}:stateMachine:{stack}-redshift"
        try:
            page = self.states.list_executions(stateMachineArn=machine, statusFilter="RUNNING", maxResults=10)
        except ClientError as error:
            if code(error) == "StateMachineDoesNotExist":
                return []
            raise
        return [execution["name"] for execution in page["executions"]]


def status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


# --- What AWS refuses ------------------------------------------------------------------------------------------------

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_CREDENTIALS = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


def explained(error: Exception) -> str:
    """An error as a sentence that says what to do, where that is known."""
    if isinstance(error, ClientError):
        return explained_refusal(error)
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return (
            "there are no AWS credentials, or not all of them: run `aws configure`, or set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, exceptions.ProfileNotFound):
        return f"{error}: `aws configure list-profiles` lists those that there are (AWS_PROFILE names one)"
    if isinstance(
        error,
        (exceptions.SSOError, exceptions.TokenRetrievalError, exceptions.CredentialRetrievalError),
    ):
        return f"the AWS credentials could not be had: sign in again with `aws sso login`, or renew them ({error})"
    if isinstance(error, exceptions.InvalidRegionError):
        return f"{error}: regions are named as in us-east-1"
    if isinstance(error, (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)):
        return f"{error}: is the region one that there is, and does the local stack run where --endpoint-url names one?"
    return str(error)


def explained_refusal(error: ClientError) -> str:
    if code(error) in EXPIRED:
        return "the AWS credentials have expired: renew them (with SSO: `aws sso login`), then run this again"
    if code(error) in UNKNOWN_CREDENTIALS:
        return (
            f"AWS does not take these credentials ({code(error)}): check the access key, the secret key and the "
            "session token, and that the region is enabled in this account"
        )
    if code(error) == "RequestTimeTooSkewed":
        return "this machine's clock is wrong by more than AWS takes: set it, then run this again"
    if code(error) in DENIED:
        said = error.response["Error"].get("Message", error)
        return f"{said}: infra/policies/deploy.json allows what a deployment needs"
    return str(error)
