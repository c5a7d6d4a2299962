"""Each fault of the proxy is what its table says, seen by a client that tries once."""

import contextlib
import time
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from faults import FaultProxy
from options import Options

BODY = bytes(range(256)) * 40


@pytest.fixture
def bucket(stack) -> str:
    name = f"faults-{uuid.uuid4().hex[:8]}"
    stack.client("s3").create_bucket(Bucket=name)
    stack.client("s3").put_object(Bucket=name, Key="a", Body=BODY)
    return name


@contextlib.contextmanager
def through(stack, **options):
    """A client of S3 behind a proxy with faults, and the proxy's options."""
    options = Options(hang_seconds=20, delay_seconds=0.3, **options)
    proxy = FaultProxy(stack.endpoint, options)
    yield (
        boto3.client(
            "s3",
            endpoint_url=proxy.address,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(
                retries={"total_max_attempts": 1}, read_timeout=1, response_checksum_validation="when_required"
            ),
        ),
        options,
    )
    proxy.close()


def test_without_faults_all_passes_unchanged(stack, bucket):
    with through(stack) as (s3, options):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY[:9])
        assert s3.get_object(Bucket=bucket, Key="b", Range="bytes=2-4")["Body"].read() == BODY[2:5]
        assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == len(BODY)
        assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a", "b"]
        s3.delete_object(Bucket=bucket, Key="b")
        assert not options.happened


@pytest.mark.parametrize("fault, code", [("500", "InternalError"), ("503", "SlowDown")])
def test_refusals_have_the_codes_of_s3(stack, bucket, fault, code):
    with through(stack, faults={fault: 1.0}) as (s3, options):
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key="a")
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == int(fault)
        assert options.happened[fault] == 1


def test_a_conflict_meets_conditional_writes_only(stack, bucket):
    with through(stack, faults={"409": 1.0}) as (s3, _):
        s3.put_object(Bucket=bucket, Key="b", Body=b"")
        with pytest.raises(ClientError, match="ConditionalRequestConflict"):
            s3.put_object(Bucket=bucket, Key="c", Body=b"", IfNoneMatch="*")
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2


@pytest.mark.parametrize("fault, written", [("reset", False), ("hang", False), ("lost", True)])
def test_a_write_without_an_answer_was_carried_out_or_not(stack, bucket, fault, written):
    with through(stack, faults={fault: 1.0}) as (s3, _), pytest.raises(BotoCoreError):
        s3.put_object(Bucket=bucket, Key="b", Body=BODY)
    assert (stack.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"] == 2) == written


def test_a_delayed_answer_comes(stack, bucket):
    with through(stack, faults={"delay": 1.0}) as (s3, _):
        started = time.monotonic()
        assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == BODY
        assert time.monotonic() - started > 0.3


def test_bodies_are_cut_shortened_and_changed(stack, bucket):
    with through(stack, faults={"cut": 1.0}) as (s3, _):
        answer = s3.get_object(Bucket=bucket, Key="a")
        assert answer["ContentLength"] == len(BODY)
        with pytest.raises(BotoCoreError):
            answer["Body"].read()
    with through(stack, faults={"short": 1.0}) as (s3, _):
        answer = s3.get_object(Bucket=bucket, Key="a")
        body = answer["Body"].read()
        assert answer["ContentLength"] == len(body) < len(BODY) and BODY.startswith(body)
    with through(stack, faults={"flip": 1.0}) as (s3, _):
        body = s3.get_object(Bucket=bucket, Key="a")["Body"].read()
        assert sum((a ^ b).bit_count() for a, b in zip(body, BODY, strict=True)) == 1
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_seed_repeats_the_faults_and_another_brings_others(stack, bucket):
    def struck(seed: int) -> list[bool]:
        with through(stack, faults={"500": 0.5}, seed=seed) as (s3, options):
            before, outcomes = 0, []
            for _ in range(24):
                with contextlib.suppress(ClientError):
                    s3.get_object(Bucket=bucket, Key="a")
                outcomes.append(options.happened["500"] > before)
                before = options.happened["500"]
            return outcomes

    first = struck(1)
    assert 4 < sum(first) < 20
    assert first == struck(1) != struck(2)
