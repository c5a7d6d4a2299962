"""What policies allow, enforced: with `Options.enforce_roles`, functions and state machines have the temporary
credentials of their roles, and a request that the role's policies do not allow is refused as AWS refuses it. So is a
request with the access key of an IAM user, by the user's policies. moto can enforce IAM itself, but knows neither the
resources of most requests nor the conditions of policies. Credentials that are no role's and no IAM user's may do
everything.
"""

import contextvars
import json
import re
import threading
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import boto3
from botocore.config import Config
from moto.iam.models import iam_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval import (
    resource_eval_s3 as item_reader,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval import (
    resource_eval_s3 as result_writer,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.sts.models import sts_backends

from options import Options
from policies import decision, listed
from request_body import body_of
from service_actions import cloudformation_needs, lambda_needs, logs_needs, states_needs

# The local stack's HTTP stands for the TLS that AWS's own addresses have.
SECURE = {"aws:SecureTransport": "true"}
# Keys of KMS are used by S3 on behalf of whoever reads or writes there.
# https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
BY_S3 = {**SECURE, "kms:ViaService": "s3.us-east-1.amazonaws.com"}


def bucket_policies(account: str, resource: str) -> list[dict]:
    """The statements of a bucket's policy that are for everyone; others are not needed here and not known."""
    bucket = s3_backends[account]["aws"].buckets.get(resource.split(":::", 1)[1].split("/", 1)[0])
    if bucket is None or not bucket.policy:
        return []
    policy = json.loads(bucket.policy)
    statements = [
        statement for statement in listed(policy["Statement"]) if statement["Principal"] in ("*", {"AWS": "*"})
    ]
    return [{**policy, "Statement": statements}]


# --- Sessions --------------------------------------------------------------------------------------------------------


class Principal:
    """Whoever makes requests: `account` is where, and `arn` what refusals call it."""

    account: str
    arn: str

    def policies(self) -> list[dict]:
        """The policies as they are now."""
        raise NotImplementedError

    def boundary(self) -> dict | None:
        """The policy that allows nothing, but without which nothing is allowed, if there is one."""
        raise NotImplementedError

    def allows(self, action: str, resource: str, context: dict[str, str] | None = None) -> bool:
        context = {**(BY_S3 if action.startswith("kms:") else SECURE), **(context or {})}
        boundary = self.boundary()
        for policies in [self.policies(), *([[boundary]] if boundary else [])]:
            if decision(policies, action, resource, context) != "Allow":
                return False
        if resource.startswith("arn:aws:s3:::"):
            return decision(bucket_policies(self.account, resource), action, resource, context) != "Deny"
        return True

    def documents(self, inline: list, attached, boundary_arn: str | None) -> tuple[list[dict], dict | None]:
        """Policies as objects."""
        documents = [*inline, *(default_version(policy) for policy in attached)]
        managed = iam_backends[self.account]["aws"].managed_policies
        boundary = default_version(managed[boundary_arn]) if boundary_arn else None
        return [json.loads(document) for document in documents], boundary and json.loads(boundary)


def default_version(policy) -> str:
    """The document of a managed policy."""
    return next(version.document for version in policy.versions if version.is_default)


@dataclass(frozen=True)
class Session(Principal):
    """The temporary credentials of a role."""

    role: str
    name: str
    access_key_id: str
    secret_access_key: str
    token: str

    @property
    def account(self) -> str:
        return self.role.split(":")[4]

    @property
    def arn(self) -> str:
        return f"{self.role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{self.name}"

    def all(self) -> tuple[list[dict], dict | None]:
        backend = iam_backends[self.account]["aws"]
        role = backend.get_role(self.role.rsplit("/", 1)[1])
        return self.documents(
            list(role.policies.values()), role.managed_policies.values(), role.permissions_boundary_arn
        )

    def policies(self) -> list[dict]:
        return self.all()[0]

    def boundary(self) -> dict | None:
        return self.all()[1]


@dataclass(frozen=True)
class User(Principal):
    """The access key of an IAM user."""

    account: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.name}"

    def all(self) -> tuple[list[dict], dict | None]:
        user = iam_backends[self.account]["aws"].get_user(self.name)
        boundary = getattr(user, "permissions_boundary_arn", None)
        return self.documents(list(user.policies.values()), user.managed_policies.values(), boundary)

    def policies(self) -> list[dict]:
        return self.all()[0]

    def boundary(self) -> dict | None:
        return self.all()[1]


def user_of(access_key_id: str) -> User | None:
    """The IAM user whom an access key belongs to."""
    for account, backends in iam_backends.items():
        key = backends["aws"].access_keys.get(access_key_id)
        if key is not None:
            return User(account, key.user_name)
    return None


# Who made the request that is being answered, where what is allowed is looked at.
CALLER: contextvars.ContextVar[Principal | None] = contextvars.ContextVar("CALLER", default=None)


class Refused(Exception):
    """A role that a service may not assume."""


def check_trust(role_arn: str, service: str) -> None:
    """Raises Refused unless the role's trust policy lets the service assume it on behalf of the role's own account."""
    account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[1]
    role = iam_backends[account]["aws"].roles
    trust = next((json.loads(r.assume_role_policy_document) for r in role.values() if r.name == name), {})
    statements = [
        statement
        for statement in listed(trust.get("Statement", []))
        if service in listed(statement.get("Principal", {}).get("Service", []))
    ]
    context = {**SECURE, "aws:SourceAccount": account}
    if decision([{"Statement": statements}], "sts:AssumeRole", None, context) != "Allow":
        raise Refused(f"{role_arn} cannot be assumed by {service}")


class Permissions:
    """Hands out sessions, and stands before the services as a WSGI application."""

    def __init__(self, application, options: Options):
        self.application = application
        self.options = options
        self.lock = threading.Lock()
        self.sessions: dict[str, Session] = {}
        self.clients: dict[tuple, object] = {}

    def assume(self, role_arn: str, service: str, name: str) -> Session:
        check_trust(role_arn, service)
        made = sts_backends[role_arn.split(":")[4]]["aws"].assume_role("us-east-1", name, role_arn, "", 3600, "")
        session = Session(role_arn, name, made.access_key_id, made.secret_access_key, made.session_token)
        with self.lock:
            self.sessions[session.access_key_id] = session
        return session

    def __call__(self, environ: dict, start_response):
        found = re.search(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
        principal = self.sessions.get(found[1]) if found else None
        if principal is None and found and self.options.enforce_roles:
            principal = user_of(found[1])
        if principal is None:
            return self.application(environ, start_response)
        service = found[2]
        if environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != getattr(principal, "token", None):
            message = "The provided token is malformed or otherwise invalid."
            return refusal(environ, start_response, service, "InvalidToken", message)
        refused = [need for need in needs(principal, service, environ) if not principal.allows(*need)]
        if not refused:
            caller = CALLER.set(principal)
            try:
                return self.application(environ, start_response)
            finally:
                CALLER.reset(caller)
        self.options.count(f"AccessDenied {refused[0][0]}")
        if (refused[0][0], environ["REQUEST_METHOD"]) == ("s3:DeleteObject", "POST"):
            return refused_deletions(start_response, [resource.split("/", 1)[1] for _, resource in refused])
        action, resource = refused[0]
        message = (
            f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} "
            f"because no identity-based policy allows the {action} action"
        )
        return refusal(environ, start_response, service, "AccessDenied", message)

    def client_for(self, region: str, service: str, state_credentials=None):
        """The interpreter's client of a service, with the credentials of the state machine's role."""
        role = state_credentials.role_arn if state_credentials and self.options.enforce_roles else None
        with self.lock:
            client = self.clients.get((service, region, role))
        if client is None:
            session = self.assume(role, "states.amazonaws.com", uuid.uuid4().hex) if role else None
            client = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint,
                aws_access_key_id=session.access_key_id if session else "ak",
                aws_secret_access_key=session.secret_access_key if session else "sk",
                aws_session_token=session.token if session else None,
                config=Config(
                    parameter_validation=False,
                    retries={"total_max_attempts": 1},
                    connect_timeout=60,
                    read_timeout=960,
                    max_pool_connections=128,
                    s3={"addressing_style": "path"},
                ),
            )
            with self.lock:
                self.clients[service, region, role] = client
        return client

    def install(self, endpoint: str) -> None:
        """Puts this module's parts into moto."""
        self.endpoint = endpoint
        for module in (lambda_eval_utils, item_reader, result_writer):
            module.boto_client_for = self.client_for
        FakeBucket.get_permission = bucket_permission


def bucket_permission(bucket: FakeBucket, action: str, resource: str):
    """What a bucket's policy says of an action, for everyone: moto does not know its conditions."""
    from moto.iam.access_control import PermissionResult

    found = decision(bucket_policies(bucket.account_id, resource), action, resource, SECURE)
    return {"Allow": PermissionResult.PERMITTED, "Deny": PermissionResult.DENIED, None: PermissionResult.NEUTRAL}[found]


# --- Requests --------------------------------------------------------------------------------------------------------


# The actions on a bucket by the part of it that a request names.
BUCKET_ACTIONS = {
    ("GET", "location"): "GetBucketLocation",
    ("GET", "policy"): "GetBucketPolicy",
    ("PUT", "policy"): "PutBucketPolicy",
    ("GET", "tagging"): "GetBucketTagging",
    ("GET", "versions"): "ListBucketVersions",
    ("PUT", "lifecycle"): "PutLifecycleConfiguration",
    ("PUT", "publicAccessBlock"): "PutBucketPublicAccessBlock",
    ("PUT", None): "CreateBucket",
    ("DELETE", None): "DeleteBucket",
    ("GET", None): "ListBucket",
    ("HEAD", None): "ListBucket",
}
# The other subresources that S3 has of a bucket.
SUBRESOURCES = {"acl", "uploads", "versioning"} | {part for _, part in BUCKET_ACTIONS if part}


def needs(principal: Principal, service: str, environ: dict) -> list[tuple[str, str]]:
    """The actions and resources that a request needs. What is not known here needs what nobody has."""
    account, region = principal.account, environ.get("HTTP_AUTHORIZATION", "///").split("/")[2]
    if service == "s3":
        return s3_needs(principal, environ)
    if service == "sts":
        # Anyone may ask who he is.
        return []
    found = []
    if service == "states":
        found = states_needs(environ, body_of(environ))
    elif service == "lambda":
        found = lambda_needs(account, region, environ)
    elif service == "logs":
        found = logs_needs(account, region, environ, body_of(environ))
    elif service == "cloudformation":
        found = cloudformation_needs(account, region, body_of(environ))
    return found or [(f"{service}:{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", "*")]


def s3_needs(session: Principal, environ: dict) -> list[tuple[str, str]]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""
    method = environ["REQUEST_METHOD"]
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    # WSGI has the path without its escapes, and its bytes as Latin-1.
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    bucket, key = bucket.encode("latin-1").decode(), key.encode("latin-1").decode()
    bucket_arn = f"arn:aws:s3:::{bucket}"
    conditional = "HTTP_IF_MATCH" in environ
    if not key:
        if method == "POST" and "delete" in query:
            text = ElementTree.fromstring(body_of(environ))
            keys = [node.text for node in text.iter() if node.tag.rsplit("}", 1)[-1] == "Key"]
            return [("s3:DeleteObject", f"{bucket_arn}/{key}") for key in keys]
        part = next(iter(query.keys() & SUBRESOURCES), None)
        return [(f"s3:{BUCKET_ACTIONS.get((method, part), f'{method} {part}')}", bucket_arn)]
    arn = f"{bucket_arn}/{key}"
    if "uploadId" in query and method in ("GET", "DELETE"):
        return [("s3:ListMultipartUploadParts" if method == "GET" else "s3:AbortMultipartUpload", arn)]
    if query.keys() & {"acl", "tagging"}:
        return [(f"s3:{method} of tags or of permissions", arn)]
    there = s3_backends[session.account]["aws"].buckets.get(bucket)
    if method in ("GET", "HEAD"):
        version = query.get("versionId", [None])[0]
        # Without s3:ListBucket, S3 does not tell that an object does not exist.
        absent = there is not None and key not in there.keys and version is None
        read = "s3:GetObject" if version is None else "s3:GetObjectVersion"
        return [(read, arn)] + [("s3:ListBucket", bucket_arn)] * absent + key_needs(method, there, key, query)
    if method in ("PUT", "POST"):
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        wanted = [("s3:PutObject", arn)] + [("s3:GetObject", arn)] * conditional + key_needs(method, there, key, query)
        if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
            wanted.append(("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}"))
        return wanted
    if method == "DELETE":
        return [("s3:DeleteObject", arn)] + [("s3:GetObject", arn)] * conditional
    return [(f"s3:{method} of an object", arn)]


def key_needs(method: str, bucket: FakeBucket | None, key: str, query: dict) -> list[tuple[str, str]]:
    """The actions of KMS that S3 asks for where objects are encrypted with one of its keys, by the bucket's default.
    The head of an object is not encrypted. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """
    if bucket is None or method == "HEAD":
        return []
    if method == "GET":
        found = bucket.keys.get(key)
        # moto does not tell the encryption of what was written in parts: it has the bucket's.
        in_parts = getattr(found, "multipart", None) is not None
        key_arn = default_key(bucket) if in_parts else getattr(found, "kms_key_id", None)
        return [("kms:Decrypt", key_arn)] if key_arn else []
    key_arn = default_key(bucket)
    actions = ["kms:GenerateDataKey", *(["kms:Decrypt"] if query.keys() & {"uploads", "uploadId"} else [])]
    return [(action, key_arn) for action in actions] if key_arn else []


def default_key(bucket: FakeBucket) -> str | None:
    """The key that a bucket encrypts with by default, if it is one of KMS."""
    rule = bucket.encryption["Rule"]["ApplyServerSideEncryptionByDefault"] if bucket.encryption else {}
    return rule.get("KMSMasterKeyID") if rule.get("SSEAlgorithm") == "aws:kms" else None


def refusal(environ: dict, start_response, service: str, code: str, message: str) -> list[bytes]:
    if service == "cloudformation":
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
            f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
        )
        start_response("403 Forbidden", [("Content-Type", "text/xml")])
    elif service == "s3":
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        headers = [("Content-Type", "application/xml"), ("x-amz-request-id", uuid.uuid4().hex)]
        start_response("403 Forbidden", headers)
    else:
        text = json.dumps({"__type": f"{code}Exception", "Type": "User", "message": message})
        headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("x-amzn-ErrorType", f"{code}Exception"),
            ("x-amzn-RequestId", str(uuid.uuid4())),
        ]
        start_response("403 Forbidden" if service == "lambda" else "400 Bad Request", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]


def refused_deletions(start_response, keys: list[str]) -> list[bytes]:
    """DeleteObjects succeeds as a whole and names the objects that it did not delete. Here it then deletes none."""
    errors = "".join(
        f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        for key in keys
    )
    start_response("200 OK", [("Content-Type", "application/xml")])
    return [f"<?xml version='1.0'?><DeleteResult>{errors}</DeleteResult>".encode()]
