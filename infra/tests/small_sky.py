"""A few galaxies in six partitions, and the comparison of a disturbed run's catalogue with an undisturbed one's."""

import io
import json
import re
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
# Retries follow each other as on AWS, but sooner.
RETRY_PACE = 0.05

# The values of each galaxy, numbers as their bits, by the name of its file and its row.
Rows = dict[tuple[str, int], tuple]


def deployed(stack: Stack, folder: Path) -> SimpleNamespace:
    """Cosmic on a stack of its own, the galaxies, and what an undisturbed run gives for them."""
    cosmic = deploy(stack)
    upload(cosmic, folder)
    ended = run(cosmic, "undisturbed")
    assert ended["status"] == "SUCCEEDED", ended
    rows = catalogue(cosmic, "undisturbed")
    assert list(rows) == [(name, row) for name, count in PARTITIONS.items() for row in range(count)]
    return SimpleNamespace(stack=stack, cosmic=cosmic, undisturbed=rows)


def upload(cosmic: Cosmic, folder: Path) -> None:
    """Simulates the galaxies and puts them into the bucket."""
    first = 0
    for name, count in PARTITIONS.items():
        numbers = ["--seed", "11", "--first", str(first), "--count", str(count)]
        subprocess.run([COSMIC, "simulate", *numbers, "--out", folder / name], check=True, stdout=subprocess.DEVNULL)
        cosmic.upload(PREFIX, {name: (folder / name).read_bytes()})
        first += count


def run(cosmic: Cosmic, result_path: str, **fields) -> dict:
    """Runs the payload into a folder, and gives the ended execution."""
    return cosmic.execute({**PAYLOAD, "result_path": result_path, **fields})


def results(cosmic: Cosmic, result_path: str) -> dict:
    return json.loads(cosmic.read(f"{result_path}/Results.json"))


def catalogue(cosmic: Cosmic, result_path: str) -> Rows:
    frame = pandas.read_parquet(io.BytesIO(cosmic.read(f"{result_path}/predictions.parquet")))
    files = frame["source_file"].str.rsplit("/", n=1).str[-1]
    columns = [
        [value.tobytes() for value in column.to_numpy()] if pandas.api.types.is_numeric_dtype(column) else list(column)
        for _, column in frame.items()
    ]
    rows = dict(zip(zip(files, frame["row_index"], strict=True), zip(*columns, strict=True), strict=True))
    assert len(rows) == len(frame), "a galaxy has two rows"
    return rows


def check_complete(sky: SimpleNamespace, result_path: str) -> None:
    """Fails unless the folder has the whole catalogue, equal to the undisturbed run's bit for bit and in its order."""
    found = results(sky.cosmic, result_path)
    assert found["complete"] and found["missing"] == [] and found["counts"]["predicted"] == GALAXIES, found
    rows = catalogue(sky.cosmic, result_path)
    assert list(rows) == list(sky.undisturbed), f"{result_path} has other galaxies than the undisturbed run"
    differing = [galaxy for galaxy, values in rows.items() if values != sky.undisturbed[galaxy]]
    assert not differing, f"{result_path} has other values than the undisturbed run for {differing}"


def galaxies_of(name: str) -> set[tuple[str, int]]:
    """The galaxies that a result means by the name of a file, or of rows in it: `2.pt [0, 12)`."""
    file, first, end = re.fullmatch(r"(.+?)(?: \[(\d+), (\d+)\))?", name).groups()
    rows = range(PARTITIONS[file]) if first is None else range(int(first), int(end))
    return {(file, row) for row in rows}


def check_incomplete(sky: SimpleNamespace, result_path: str) -> list[str]:
    """Fails unless the result names exactly what the catalogue lacks, and the catalogue's rows are those of the
    undisturbed run; gives the names.
    """
    found = results(sky.cosmic, result_path)
    rows = catalogue(sky.cosmic, result_path)
    absent = sky.undisturbed.keys() - rows.keys()
    named = {file.rsplit("/", 1)[-1] for entry in found["missing"] for file in entry["files"]}
    assert not found["complete"], f"{result_path} is called complete"
    galaxies = set().union(*map(galaxies_of, named))
    assert galaxies == absent, (
        f"{result_path} names {sorted(named)}; not missing of these: {sorted(galaxies - absent)}; "
        f"missing without being named: {sorted(absent - galaxies)}"
    )
    assert all(entry["reason"] for entry in found["missing"]), f"{result_path} gives no reason"
    differing = [galaxy for galaxy, values in rows.items() if values != sky.undisturbed.get(galaxy)]
    assert not differing, f"{result_path} has other values than the undisturbed run for {differing}"
    return sorted(named)
