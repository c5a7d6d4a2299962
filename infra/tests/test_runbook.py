"""RUNBOOK.md names every error that there is and none that there is not, and its commands and links exist."""

import functools
import re
import shlex
import subprocess

import botocore.session
import pytest
from botocore import xform_name

from conftest import ROOT
from demo_sky import COSMIC
from test_state_machine import AWS, PANIC, own_errors

RUNBOOK = (ROOT / "RUNBOOK.md").read_text()

# What the AWS command line takes beside an operation's own parameters.
GLOBAL_OPTIONS = {"--query", "--output", "--max-items"}
# Its commands on S3 are not the API's.
S3_COMMANDS = {"ls", "cp", "rm", "rb", "sync"}


def commands() -> list[list[str]]:
    """The words of each command, in blocks as in the text."""
    blocks = re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    # Inline code that begins with a program and has an argument.
    prose = re.sub(r"```.*?```", "", RUNBOOK, flags=re.DOTALL)
    lines += re.findall(r"`((?:aws|cosmic|\./scripts/[^`\s]+) [^`]+)`", prose)
    found = []
    for line in lines:
        line = re.sub(r"^\w+=\$\((.*)\)$", r"\1", line)
        line = re.sub(r"^(?:\w+=\S+ )+(?=\S)", "", line)
        found.append(shlex.split(line))
    return found


def test_every_error_is_in_the_runbook_and_no_other():
    permanent, transient = own_errors()
    own = permanent | transient | {"IncompleteCatalogue"}
    retried = {name for name, why in AWS.items() if why.startswith("retry")} - {PANIC}
    table = RUNBOOK.split("## Errors by name")[1].split("\n## ")[0]
    # The first column.
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    assert own | retried <= named
    assert named <= own | AWS.keys()
    elsewhere = set(re.findall(r"`((?:Lambda|Function|Runtime|Sandbox|States)\.\w+)`", RUNBOOK))
    assert elsewhere <= AWS.keys()


def test_every_alarm_has_its_section_and_no_other_has():
    template = (ROOT / "infra/template.yaml").read_text()
    names = {f"cosmic-{name}" for name in re.findall(r"AlarmName: !Sub \$\{AWS::StackName\}-(\S+)", template)}
    assert len(names) == template.count("AWS::CloudWatch::Alarm")
    assert names == set(re.findall(r"^### `(cosmic-.+)`$", RUNBOOK, re.MULTILINE))


def test_links_within_the_runbook_and_to_files_lead_somewhere():
    def anchors(text: str) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        text = (ROOT / path).read_text() if path else RUNBOOK
        assert not anchor or anchor in anchors(text), target


@functools.lru_cache
def options_of(command: str) -> tuple[set[str], set[str]]:
    """The options of a command of `cosmic`, and those of them that it needs."""
    said = subprocess.run([COSMIC, command, "--help"], capture_output=True, text=True, check=True).stdout
    usage = re.search(r"^Usage: (.*)$", said, re.MULTILINE)[1]
    # Those in brackets are optional, and of those in angle brackets one is needed.
    return set(re.findall(r"--[a-z-]+", said)), set(re.findall(r"(?<![\[<|])--[a-z-]+", usage))


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_of_the_runbook_exists(command):
    program, options = command[0], {word.split("=")[0] for word in command if word.startswith("--")}
    if program in ("cosmic", "./target/release/cosmic"):
        known, required = options_of(command[1])
        # Without any, the text speaks of the command.
        assert not options or required <= options <= known
    elif program.startswith("./scripts/"):
        script = (ROOT / program).read_text()
        source = script + "".join((ROOT / path).read_text() for path in ("infra/deploy.py", "scripts/lib/package.py"))
        assert all(f'"{option}"' in source or option in script for option in options)
    elif program == "aws" and command[1] == "s3":
        assert command[2] in S3_COMMANDS and options <= {"--recursive", "--force"}
    elif program == "aws":
        model = botocore.session.get_session().get_service_model(command[1])
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        shape = model.operation_model(operations[command[2]]).input_shape
        known = {"--" + xform_name(name, "-") for name in shape.members} if shape else set()
        assert options <= known | GLOBAL_OPTIONS
        required = {"--" + xform_name(name, "-") for name in shape.required_members} if shape else set()
        assert required <= options
    else:
        assert program in ("export", "git")
