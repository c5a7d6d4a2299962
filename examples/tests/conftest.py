"""A small sky with its catalogue, as Cosmic makes them."""

from pathlib import Path

import pytest

from command import ROOT, cosmic


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of 100 simulated galaxies by a model that is calibrated on others, the catalogue among them."""
    folder = tmp_path_factory.mktemp("sky")
    for name, seed in {"calibration.pt": 9, "galaxies.pt": 8}.items():
        cosmic("simulate", "--count", 100, "--seed", seed, "--out", folder / name)
    model, calibrated = ROOT / "payloads/demo/model.safetensors", folder / "model.safetensors"
    cosmic("calibrate", "--data", folder / "calibration.pt", "--model", model, "--out", calibrated)
    arguments = ["--data", folder / "galaxies.pt", "--model", calibrated, "--out", folder / "out"]
    cosmic("infer", "--levels", *arguments)
    return folder / "out"
