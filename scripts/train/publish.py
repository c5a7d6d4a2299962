"""The trained network as a checkpoint of the published form, as safetensors, and its metrics on the test sky.

Metrics are those of `cosmic infer` from the very file that is published, so they include what f16 costs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
COSMIC = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/cosmic"


def cosmic(*arguments: object) -> None:
    finished = subprocess.run([COSMIC, *map(str, arguments)])
    if finished.returncode:
        sys.exit(f"`cosmic {arguments[0]}` ended with {finished.returncode}; what it said is above")


def simulate(path: Path, seed: int, count: int) -> Path:
    """A simulated sky, unless it is there already."""
    if not path.exists():
        temporary = path.with_suffix(".partial")
        cosmic("simulate", "--count", count, "--seed", seed, "--out", temporary)
        temporary.replace(path)
    return path


def publish(model: nn.Module, folder: Path, test_sky: Path, notes: dict[str, object]) -> dict[str, float]:
    """Writes model.pt, model.safetensors and test/ into the folder; returns the metrics."""
    # As published: wrapped for several GPUs.
    torch.save(nn.DataParallel(model.cpu().eval()), folder / "model.pt")
    _convert(folder, {})
    cosmic("infer", "--data", test_sky, "--model", folder / "model.safetensors", "--out", folder / "test")
    results = json.loads((folder / "test/Results.json").read_text())
    metrics = {key: results[key] for key in ("n", "R2", "MAE", "Bias", "Precision", "outliers_0.05")}
    _convert(folder, notes | {"metrics": json.dumps(metrics)})
    return metrics


def calibrate(folder: Path, sky: Path, note: str) -> None:
    """Gives the folder's model.safetensors intervals, from a sky that it has not seen."""
    model = folder / "model.safetensors"
    cosmic("calibrate", "--data", sky, "--model", model, "--out", model, "--note", note)


def _convert(folder: Path, notes: dict[str, object]) -> None:
    flags = [part for key, text in notes.items() for part in ("--note", f"{key}={text}")]
    cosmic("convert", "--model", folder / "model.pt", "--out", folder / "model.safetensors", *flags)
