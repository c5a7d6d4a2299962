"""What a bucket's own settings make S3 refuse, where moto answers all alike: requests from another region than the
bucket's, and reading at the owner's cost where the readers are to pay.
"""

import re
import uuid
from urllib.parse import parse_qs
from xml.etree import ElementTree

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeBucket, s3_backends

from request_body import body_of

PAYER_HEADER = "HTTP_X_AMZ_REQUEST_PAYER"


def find_bucket(environ: dict) -> FakeBucket | None:
    """The bucket that a request is about, if there is one: requests have it first in their path."""
    name = environ["PATH_INFO"].lstrip("/").partition("/")[0]
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(name)


class Buckets:
    """Stands before the services as a WSGI application."""

    def __init__(self, application):
        self.application = application

    def __call__(self, environ: dict, start_response):
        signed = re.search(r"Credential=[^/]+/[^/]+/([^/]+)/s3/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
        bucket = find_bucket(environ) if signed else None
        if bucket is None:
            return self.application(environ, start_response)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        creates = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].strip("/") == bucket.name and not query
        if bucket.region_name != signed[1] and "location" not in query and not creates:
            return redirection(bucket, environ, start_response)
        if "requestPayment" in query:
            return request_payment(bucket, environ, start_response)
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if reads and readers_pay(bucket) and environ.get(PAYER_HEADER) != "requester":
            return error(environ, start_response, "403 Forbidden", "AccessDenied", "Access Denied")
        return self.application(environ, start_response)


def redirection(bucket: FakeBucket, environ: dict, start_response) -> list[bytes]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html"""
    message = (
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint."
    )
    header = ("x-amz-bucket-region", bucket.region_name)
    return error(environ, start_response, "301 Moved Permanently", "PermanentRedirect", message, header)


def readers_pay(bucket: FakeBucket) -> bool:
    """All who ask are taken for others than the owner, whom S3 asks for nothing.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html
    """
    return getattr(bucket, "payer", "BucketOwner") == "Requester"


def request_payment(bucket: FakeBucket, environ: dict, start_response) -> list[bytes]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketRequestPayment.html, and the same with GET."""
    if environ["REQUEST_METHOD"] == "PUT":
        text = ElementTree.fromstring(body_of(environ))
        bucket.payer = next(node.text for node in text.iter() if node.tag.rsplit("}", 1)[-1] == "Payer")
    payer = getattr(bucket, "payer", "BucketOwner")
    start_response("200 OK", [("Content-Type", "application/xml")])
    return [f"<RequestPaymentConfiguration><Payer>{payer}</Payer></RequestPaymentConfiguration>".encode()]


def error(environ: dict, start_response, status: str, code: str, message: str, *headers) -> list[bytes]:
    start_response(
        status, [("Content-Type", "application/xml"), ("x-amz-request-id", uuid.uuid4().hex.upper()[:16]), *headers]
    )
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]
