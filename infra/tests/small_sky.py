"""A few galaxies in six partitions, and the comparison of a disturbed run's catalogue with an undisturbed one's."""

import io
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas

from conftest import Cosmic, Stack, deploy
from demo_sky import COSMIC

PARTITIONS = {"1.pt": 40, "2.pt": 64, "3.pt": 1, "4.pt": 30, "5.pt": 50, "10.pt": 25}
GALAXIES = sum(PARTITIONS.values())
PREFIX = "small/partitions"
# Without a model of its own, so that the packaged one is used and no run reads 33 MB.
PAYLOAD = {"bucket": "cosmic-demo", "prefix": PREFIX, "batch_size": 32, "max_concurrency": 0}
# Waits between retries are as on AWS in their order, not in their length.
RETRY_PACE = 0.05


def upload(cosmic: Cosmic, folder: Path) -> None:
    """Simulates the galaxies and puts them into the bucket."""
    first = 0
    for name, count in PARTITIONS.items():
        numbers = ["--seed", "11", "--first", str(first), "--count", str(count)]
        subprocess.run([COSMIC, "simulate", *numbers, "--out", folder / name], check=True, stdout=subprocess.DEVNULL)
        cosmic.upload(PREFIX, {name: (folder / name).read_bytes()})
        first += count


def deployed(stack: Stack, folder: Path) -> SimpleNamespace:
    """Cosmic on a stack of its own, the galaxies, and what an undisturbed run gives for them."""
    cosmic = deploy(stack)
    upload(cosmic, folder)
    ended = run(cosmic, "undisturbed")
    assert ended["status"] == "SUCCEEDED", ended
    assert results(cosmic, "undisturbed")["counts"]["predicted"] == GALAXIES
    return SimpleNamespace(stack=stack, cosmic=cosmic, undisturbed=catalogue(cosmic, "undisturbed"))


def run(cosmic: Cosmic, result_path: str, **fields) -> dict:
    """Runs the payload into a folder, and gives the ended execution."""
    return cosmic.execute({**PAYLOAD, "result_path": result_path, **fields})


def results(cosmic: Cosmic, result_path: str) -> dict:
    return json.loads(cosmic.read(f"{result_path}/Results.json"))


def catalogue(cosmic: Cosmic, result_path: str) -> dict[str, list | bytes]:
    """The columns of predictions.parquet, the numbers bit for bit."""
    table = pandas.read_parquet(io.BytesIO(cosmic.read(f"{result_path}/predictions.parquet")))
    return {
        name: column.to_numpy().tobytes() if pandas.api.types.is_numeric_dtype(column) else list(column)
        for name, column in table.items()
    }


def check_complete(sky: SimpleNamespace, result_path: str) -> dict:
    """Fails unless the folder has the whole catalogue, equal to the undisturbed run's; gives Results.json."""
    found = results(sky.cosmic, result_path)
    assert found["complete"] and found["missing"] == [] and found["counts"]["predicted"] == GALAXIES, found
    columns, wanted = catalogue(sky.cosmic, result_path), sky.undisturbed
    differing = [name for name in wanted.keys() | columns.keys() if columns.get(name) != wanted.get(name)]
    assert not differing, f"{result_path} differs from the undisturbed run in {differing}"
    return found
