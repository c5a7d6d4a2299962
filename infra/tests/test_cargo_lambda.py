"""`cargo lambda deploy` against the local stack: it finds the zips of scripts/package.sh and nothing else, and what a
function is configured with stays.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, Stack
from test_deploying import ACCOUNT
from test_local_stack import zipped

CONFIGURATION = ("MemorySize", "Timeout", "Environment", "Role", "EphemeralStorage", "LoggingConfig", "Architectures")


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        yield stack


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What cargo-lambda reads of a clone, in which `cargo lambda build` was run before and after scripts/package.sh."""
    for path in (".cargo", "Cargo.toml", "Cargo.lock", "crates"):
        source, copy = ROOT / path, tmp_path / path
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    for name in ("inference", "summarizer"):
        bare = tmp_path / "target/lambda" / name / "bootstrap"
        bare.parent.mkdir(parents=True)
        shutil.copy(sys.executable, bare)
        package = tmp_path / "target/packages" / name / "bootstrap.zip"
        package.parent.mkdir(parents=True)
        package.write_bytes(packaged(name))
    return tmp_path


def packaged(name: str) -> bytes:
    """A zip like those of scripts/package.sh: cargo-lambda wants to know the processor of its bootstrap."""
    contents = io.BytesIO()
    with zipfile.ZipFile(contents, "w") as archive:
        archive.write("/bin/true", "bootstrap")
        archive.writestr("model.safetensors", f"the model of {name}")
    return contents.getvalue()


def cargo_lambda(stack: Stack, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    tools = Path(sys.executable).parent
    environment = {**os.environ, **stack.environment, "PATH": f"{tools}:{os.environ['PATH']}"}
    return subprocess.run(["cargo", "lambda", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def make_function(stack: Stack, name: str) -> dict:
    client = stack.client("lambda")
    client.create_function(
        FunctionName=name,
        Role=f"arn:aws:iam::{ACCOUNT}:role/{name}",
        Runtime="provided.al2023",
        Handler="bootstrap",
        MemorySize=3008,
        Timeout=900,
        EphemeralStorage={"Size": 1024},
        Environment={"Variables": {"COSMIC_LOG": "debug"}},
        Code={"ZipFile": zipped("def handle(*_): pass")},
    )
    return client.get_function_configuration(FunctionName=name)


@pytest.fixture(scope="module", autouse=True)
def role(stack):
    for name in ("a-inference", "b-inference", "c-inference"):
        stack.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")


@pytest.mark.parametrize("function, binary", [("a-inference", "inference"), ("b-inference", "summarizer")])
def test_it_ships_the_package_and_leaves_the_configuration(stack, checkout, function, binary):
    before = make_function(stack, function)
    done = cargo_lambda(stack, checkout, "deploy", "--binary-name", binary, function)
    assert done.returncode == 0, done.stderr
    after = stack.client("lambda").get_function_configuration(FunctionName=function)
    package = packaged_bytes(checkout, binary)
    assert after["CodeSha256"] == sha256_as_lambda_says_it(package) != before["CodeSha256"]
    assert {field: after.get(field) for field in CONFIGURATION} == {field: before.get(field) for field in CONFIGURATION}


def packaged_bytes(checkout: Path, binary: str) -> bytes:
    return (checkout / "target/packages" / binary / "bootstrap.zip").read_bytes()


def sha256_as_lambda_says_it(contents: bytes) -> str:
    return base64.b64encode(hashlib.sha256(contents).digest()).decode()


def test_without_a_package_it_ships_nothing(stack, checkout):
    before = make_function(stack, "c-inference")
    shutil.rmtree(checkout / "target/packages")
    for folder in (checkout, checkout / "crates/inference"):
        done = cargo_lambda(stack, folder, "deploy", "--binary-name", "inference", "c-inference")
        assert done.returncode != 0 and "bootstrap" in done.stderr, done.stderr
    after = stack.client("lambda").get_function_configuration(FunctionName="c-inference")
    assert after["CodeSha256"] == before["CodeSha256"]


def test_the_packages_of_this_clone_have_their_model(stack):
    """That is where scripts/package.sh puts them."""
    for binary, files in {
        "inference": ["bootstrap", "model.json", "model.safetensors"],
        "summarizer": ["bootstrap"],
    }.items():
        done = cargo_lambda(stack, ROOT, "deploy", "--dry", "--binary-name", binary, f"cosmic-{binary}", "-o", "json")
        assert done.returncode == 0, done.stderr
        assert all(f'"{file}"' in done.stdout for file in files), done.stdout
