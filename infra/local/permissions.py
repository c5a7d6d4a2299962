"""What roles allow, enforced: with `Options.enforce_roles`, functions and state machines have the temporary credentials
of their roles, and a request that the role's policies do not allow is refused as AWS refuses it. moto can enforce IAM
itself, but knows neither the resources of most requests nor the conditions of policies, and would refuse all that the
user does. Here the user's own credentials may do everything.
"""

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


@dataclass(frozen=True)
class Session:
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

    def policies(self) -> list[dict]:
        """The policies of the role as they are now."""
        backend, name = iam_backends[self.account]["aws"], self.role.rsplit("/", 1)[1]
        documents = [backend.get_role_policy(name, policy)[1] for policy in backend.list_role_policies(name)]
        attached, _ = backend.list_attached_role_policies(name)
        documents += [next(v.document for v in policy.versions if v.is_default) for policy in attached]
        return [json.loads(document) for document in documents]

    def allows(self, action: str, resource: str) -> bool:
        context = BY_S3 if action.startswith("kms:") else SECURE
        allowed = decision(self.policies(), action, resource, context) == "Allow"
        if allowed and resource.startswith("arn:aws:s3:::"):
            return decision(bucket_policies(self.account, resource), action, resource, SECURE) != "Deny"
        return allowed


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
        session = self.sessions.get(found[1]) if found else None
        if session is None:
            return self.application(environ, start_response)
        service = found[2]
        if environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != session.token:
            message = "The provided token is malformed or otherwise invalid."
            return refusal(environ, start_response, service, "InvalidToken", message)
        refused = [need for need in needs(session, service, environ) if not session.allows(*need)]
        if not refused:
            return self.application(environ, start_response)
        self.options.count(f"AccessDenied {refused[0][0]}")
        if (refused[0][0], environ["REQUEST_METHOD"]) == ("s3:DeleteObject", "POST"):
            return refused_deletions(start_response, [resource.split("/", 1)[1] for _, resource in refused])
        action, resource = refused[0]
        message = (
            f"User: {session.arn} is not authorized to perform: {action} on resource: {resource} "
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


def needs(session: Session, service: str, environ: dict) -> list[tuple[str, str]]:
    """The actions and resources that a request needs. What is not known here needs what no role has."""
    if service == "s3":
        return s3_needs(session, environ)
    if service == "states":
        request = json.loads(body_of(environ))
        arn = next((value for name, value in request.items() if name.lower().endswith("arn")), "*")
        return [(f"states:{environ.get('HTTP_X_AMZ_TARGET', '').rsplit('.', 1)[-1]}", arn)]
    if service == "lambda":
        path = unquote(environ["PATH_INFO"])
        if invoked := re.fullmatch(r"/2015-03-31/functions/(.+)/invocations", path):
            arn = invoked[1]
            if not arn.startswith("arn:"):
                arn = f"arn:aws:lambda:us-east-1:{session.account}:function:{arn}"
            return [("lambda:InvokeFunction", arn)]
        if path == "/2016-08-19/account-settings":
            return [("lambda:GetAccountSettings", "*")]
        if asked := re.fullmatch(r"/2019-09-30/functions/(.+)/concurrency", path):
            arn = f"arn:aws:lambda:us-east-1:{session.account}:function:{asked[1]}"
            return [("lambda:GetFunctionConcurrency", arn)]
    return [(f"{service}:{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", "*")]


def s3_needs(session: Session, environ: dict) -> list[tuple[str, str]]:
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
        if method == "GET" and "versions" in query:
            return [("s3:ListBucketVersions", bucket_arn)]
        if method in ("GET", "HEAD") and not query.keys() & {"acl", "policy", "uploads", "versioning"}:
            return [("s3:GetBucketLocation" if "location" in query else "s3:ListBucket", bucket_arn)]
        return [(f"s3:{method} on a bucket", bucket_arn)]
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
    if service == "s3":
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
