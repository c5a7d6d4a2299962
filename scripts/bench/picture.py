"""The benchmark's figures as a picture: galaxies per second of each engine at each batch size."""

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from bench.engines import ENGINES

OURS, THEIRS = "#1b6ca8", "#b8bfc6"


def draw(report: dict, path: Path) -> None:
    """Writes the picture of a report of `python -m bench`: a panel per batch size, a bar per engine."""
    names = list(report["engines"])
    labels = [label(name, report["engines"][name]["precision"]) for name in names]
    colours = [OURS if ENGINES[name].ours else THEIRS for name in names]
    speeds = report["galaxies_per_second"]
    figure, axes = pyplot.subplots(
        1,
        len(speeds),
        figsize=(1.6 + 2.4 * len(speeds), 0.9 + 0.28 * len(names)),
        sharey=True,
        layout="constrained",
        squeeze=False,
    )
    for axis, (batch, by_engine) in zip(axes[0], speeds.items(), strict=True):
        values = [by_engine[name] for name in names]
        bars = axis.barh(labels, values, color=colours)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=9)
        axis.set(title=f"batch {batch}", xlim=(0, 1.25 * max(values)), xticks=[])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(left=False)
    axes[0][0].invert_yaxis()
    caption = f"galaxies per second, {report['threads']} threads; {report['cpu']}"
    figure.supxlabel(textwrap.fill(caption, 40 * len(speeds)), fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def label(name: str, precision: str) -> str:
    """An engine's label, with the precision where that is not f32."""
    return ENGINES[name].label if precision == "f32" else f"{ENGINES[name].label} ({precision})"
