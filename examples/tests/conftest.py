"""A small sky with its catalogue, as Cosmic makes them."""

from pathlib import Path

import pytest

from command import ROOT, cosmic


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of 60 simulated galaxies, the catalogue among them."""
    folder = tmp_path_factory.mktemp("sky")
    cosmic("simulate", "--count", 60, "--seed", 8, "--out", folder / "galaxies.pt")
    model = ROOT / "payloads/demo/model.safetensors"
    cosmic("infer", "--data", folder / "galaxies.pt", "--model", model, "--out", folder / "out")
    return folder / "out"
