"""Buckets as they are: encrypted with a key of KMS, in another region, at their readers' cost, with versions, archived,
and with any characters in their keys. All under enforced roles.
"""

import json
import subprocess

import boto3
import pytest

import small_sky
from conftest import Stack, deploy, without
from demo_sky import COSMIC

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SOURCE_KEY = "arn:aws:kms:us-east-1:123456789012:key/0987dcba-09fe-87dc-65ba-ab0987654321"
SOURCE = "others-galaxies"
GALAXIES = 12
PAYLOAD = {"bucket": "cosmic-demo", "prefix": "sky", "batch_size": 8}


@pytest.fixture(scope="module")
def partition(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sky") / "1.pt"
    arguments = ["--count", str(GALAXIES), "--seed", "5", "--out", path]
    subprocess.run([COSMIC, "simulate", *arguments], check=True, stdout=subprocess.DEVNULL)
    return path.read_bytes()


@pytest.fixture(scope="module")
def cosmic(partition):
    """Cosmic with a bucket that it encrypts, and a source bucket with another key and a reader's bill."""
    with Stack("--enforce-roles", "--options", json.dumps({"retry_pace": small_sky.RETRY_PACE})) as stack:
        parameters = {"KmsKeyArn": KEY, "SourceBucketName": SOURCE, "SourceKmsKeyArn": SOURCE_KEY}
        cosmic = deploy(stack, **parameters)
        cosmic.upload("sky", {"1.pt": partition})
        cosmic.s3.create_bucket(Bucket=SOURCE)
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": SOURCE_KEY}
        rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
        cosmic.s3.put_bucket_encryption(Bucket=SOURCE, ServerSideEncryptionConfiguration={"Rules": rules})
        cosmic.s3.put_object(Bucket=SOURCE, Key="sky/1.pt", Body=partition)
        payment = {"Payer": "Requester"}
        cosmic.s3.put_bucket_request_payment(Bucket=SOURCE, RequestPaymentConfiguration=payment)
        yield cosmic


@pytest.fixture(scope="module")
def europe(cosmic, partition) -> str:
    """A bucket in another region than the stack's."""
    name = "cosmic-europe"
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3 = boto3.client("s3", endpoint_url=cosmic.stack.endpoint, region_name="eu-west-1", **credentials)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=name, Key="sky/1.pt", Body=partition)
    return name


def run(cosmic, result_path: str, **fields) -> dict:
    return cosmic.execute({**PAYLOAD, "result_path": result_path, **fields})


def check_complete(cosmic, ended: dict, result_path: str) -> None:
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert small_sky.results(cosmic, result_path)["counts"]["predicted"] == GALAXIES


# --- Keys of KMS ------------------------------------------------------------------------------------------------------


def test_a_bucket_with_a_key_is_read_and_written_by_all_roles(cosmic):
    cosmic.stack.options(seed=1)
    check_complete(cosmic, run(cosmic, "encrypted"), "encrypted")
    assert cosmic.stack.options()["happened"] == {}, "a request was refused"
    pages = cosmic.s3.get_paginator("list_objects_v2").paginate(Bucket=cosmic.bucket, Prefix="encrypted/")
    for entry in [entry for page in pages for entry in page["Contents"]]:
        head = cosmic.s3.head_object(Bucket=cosmic.bucket, Key=entry["Key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY), entry["Key"]


@pytest.mark.parametrize(
    "role, action, error, said",
    [
        ("InitializerRole", "kms:GenerateDataKey", "AccessDenied", "KmsKeyArn"),
        ("InferenceRole", "kms:Decrypt", "IncompleteCatalogue", "KmsKeyArn"),
        ("RedshiftMachineRole", "kms:Decrypt", "IncompleteCatalogue", "kms:Decrypt"),
        ("SummarizerRole", "kms:Decrypt", "AccessDenied", "KmsKeyArn"),
    ],
)
def test_a_role_that_may_not_use_the_key_is_told_what_to_do(cosmic, role, action, error, said):
    with without(cosmic.stack, role, action):
        ended = run(cosmic, f"without/{role}")
    assert (ended["status"], ended["error"]) == ("FAILED", error), ended
    assert action in ended["cause"] and said in ended["cause"], ended["cause"]


# --- Buckets of others ------------------------------------------------------------------------------------------------


def test_a_bucket_whose_readers_pay_is_read_where_the_payload_says_so(cosmic):
    ended = run(cosmic, "unpaid", data_bucket=SOURCE)
    assert (ended["status"], ended["error"]) == ("FAILED", "AccessDenied"), ended
    assert "requester_pays" in ended["cause"]
    # Ranks that share a file, and so headers that the initializer reads.
    paid = run(cosmic, "paid", data_bucket=f"arn:aws:s3:::{SOURCE}", requester_pays=True, world_size=2)
    check_complete(cosmic, paid, "paid")
    unpaid = cosmic.stack.cosmic("inspect", f"s3://{SOURCE}/sky/1.pt", check=False)
    assert unpaid.returncode == 1 and "--requester-pays" in unpaid.stderr
    assert (
        f"{GALAXIES} galaxies" in cosmic.stack.cosmic("inspect", "--requester-pays", f"s3://{SOURCE}/sky/1.pt").stdout
    )


def test_a_bucket_of_another_region_is_named_with_it(cosmic, europe, tmp_path):
    for fields in ({"data_bucket": europe}, {"bucket": europe}):
        ended = run(cosmic, "elsewhere", **fields)
        assert (ended["status"], ended["error"]) == ("FAILED", "StoreRefused"), ended
        said = ended["cause"]
        assert f"the bucket {europe} lies in the region eu-west-1" in said and "deploy a stack in eu-west-1" in said
    galaxies, model = tmp_path / "galaxies.pt", "payloads/demo/model.safetensors"
    cosmic.stack.cosmic("simulate", "--count", "3", "--seed", "1", "--out", galaxies)
    for command in (
        ["infer", "--data", f"s3://{europe}/sky", "--model", model, "--out", tmp_path / "out"],
        ["split", galaxies, "--partition-size", "1MB", "--out", f"s3://{europe}/new"],
        ["split", f"s3://{europe}/sky/1.pt", "--partition-size", "1MB", "--out", tmp_path / "partitions"],
        ["run", "--payload", "payloads/demo.json", "--set", f"bucket={europe}", "--out", tmp_path / "run"],
    ):
        done = cosmic.stack.cosmic(*command, check=False)
        assert done.returncode == 1 and "AWS_REGION to eu-west-1" in done.stderr, done.stderr
    there = {**cosmic.stack.environment, "AWS_REGION": "eu-west-1"}
    found = subprocess.run([COSMIC, "inspect", f"s3://{europe}/sky/1.pt"], env=there, capture_output=True, text=True)
    assert f"{GALAXIES} galaxies" in found.stdout, found.stderr


# --- Objects ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_replaced_or_deleted_is_read_in_the_version_that_was_planned(cosmic, partition):
    cosmic.s3.put_bucket_versioning(Bucket=cosmic.bucket, VersioningConfiguration={"Status": "Enabled"})
    cosmic.upload("versions", {"1.pt": partition, "2.pt": partition})

    def invoke(function: str, event: dict) -> dict:
        answer = cosmic.stack.client("lambda").invoke(FunctionName=f"cosmic-{function}", Payload=json.dumps(event))
        return json.load(answer["Payload"])

    machine = cosmic.deployed["outputs"]["StateMachineArn"].replace(":stateMachine:", ":execution:")
    owner = {"execution": "versions", "execution_arn": f"{machine}:versions"}
    payload = {**PAYLOAD, "prefix": "versions", "result_path": "results/versions"}
    planned = invoke("initializer", {"payload": payload, "attempt": 0, **owner})
    cosmic.upload("versions", {"1.pt": b"another file, of another size"})
    cosmic.s3.delete_object(Bucket=cosmic.bucket, Key="versions/2.pt")
    for task in json.loads(cosmic.read(planned["tasks"])):
        answer = invoke("inference", {**planned, **task})
        assert answer.get("rows") == GALAXIES, answer

    # Where the version that was planned is gone as well, the rank names the file.
    cosmic.upload("versions", {"1.pt": partition})
    planned = invoke("initializer", {"payload": {**payload, "result_path": "results/gone"}, "attempt": 0, **owner})
    for version in cosmic.s3.list_object_versions(Bucket=cosmic.bucket, Prefix="versions/1.pt")["Versions"]:
        cosmic.s3.delete_object(Bucket=cosmic.bucket, Key="versions/1.pt", VersionId=version["VersionId"])
    [task] = json.loads(cosmic.read(planned["tasks"]))
    answer = invoke("inference", {**planned, **task})
    assert answer["errorType"] == "NotFound" and "versions/1.pt" in answer["errorMessage"], answer


def test_an_archived_file_says_that_it_has_to_be_restored(cosmic, partition):
    cosmic.s3.put_object(Bucket=cosmic.bucket, Key="archived/1.pt", Body=partition, StorageClass="DEEP_ARCHIVE")
    ended = run(cosmic, "thawed", prefix="archived")
    assert (ended["status"], ended["error"]) == ("FAILED", "IncompleteCatalogue"), ended
    assert "aws s3api restore-object" in ended["cause"], ended


def test_keys_may_have_any_characters(cosmic, partition):
    odd = "α β/50%25 + {1} #2 ?x=y&é"
    cosmic.upload(odd, {"1.pt": partition})
    result_path = f"results/{odd}"
    check_complete(cosmic, run(cosmic, result_path, prefix=f"s3://{cosmic.bucket}/{odd}/", world_size=2), result_path)
