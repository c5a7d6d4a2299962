"""The `cosmic` command and the examples, as the tests run them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COSMIC = os.environ.get("COSMIC", Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release/cosmic"))


def cosmic(*arguments, fails: bool = False) -> str:
    """Runs the command, and gives what it prints, or its error where it is to fail."""
    return run(COSMIC, *arguments, fails=fails)


def example(name: str, *arguments, fails: bool = False) -> str:
    """Runs an example as a user runs it."""
    return run(sys.executable, ROOT / "examples" / name, *arguments, fails=fails)


def run(*command, fails: bool = False) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout
