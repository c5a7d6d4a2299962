"""The curve of training as a picture, from the logs of the phases."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

PHASES = ("pretraining", "fine-tuning")


def draw(folder: Path) -> None:
    """Writes curve.png of the *.jsonl in the folder."""
    logs = {
        phase: [json.loads(line) for line in (folder / f"{phase}.jsonl").read_text().splitlines()]
        for phase in PHASES
        if (folder / f"{phase}.jsonl").exists()
    }
    figure, axes = pyplot.subplots(1, len(logs) + 1, figsize=(4.5 * (len(logs) + 1), 3.5), layout="constrained")
    for axis, (phase, rows) in zip(axes[:-1], logs.items(), strict=True):
        axis.plot([row["epoch"] for row in rows], [row["loss"] for row in rows])
        axis.set(title=f"{phase}: loss", xlabel="epoch", yscale="log")
    rows = logs["fine-tuning"]
    axes[-1].plot([row["epoch"] for row in rows], [row["sigma_nmad"] for row in rows])
    axes[-1].set(title="validation: σ NMAD", xlabel="epoch", yscale="log")
    figure.savefig(folder / "curve.png", dpi=120)
    pyplot.close(figure)
