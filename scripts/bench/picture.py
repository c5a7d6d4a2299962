"""The benchmark's figures as a picture: galaxies per second of each engine at each batch size, and its accuracy."""

import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import Patch

from bench.engines import ENGINES

# Ours and theirs, in f32 and in fewer bits.
COLOURS = {
    (True, True): "#1b6ca8", (True, False): "#7db8e0", (False, True): "#8a929a", (False, False): "#cdd2d7",
}  # fmt: skip
LEGEND = {
    "ours, f32": (True, True), "ours, int8": (True, False), "others, f32": (False, True),
    "others, fewer bits": (False, False),
}  # fmt: skip


def draw(report: dict, path: Path) -> None:
    """Writes the picture of a report of `python -m bench`: a row per engine, a panel per batch size, and the accuracy.

    The fastest of each batch size is in bold.
    """
    engines = report["engines"]
    # Those that compute the same first: f32, then fewer bits; in each, ours are on top.
    names = sorted(engines, key=lambda name: (engines[name]["precision"] != "f32", not ENGINES[name].ours))
    labels = [label(name, engines[name]["precision"]) for name in names]
    colours = [COLOURS[bool(ENGINES[name].ours), engines[name]["precision"] == "f32"] for name in names]
    speeds = report["galaxies_per_second"]
    figure, axes = pyplot.subplots(
        1,
        len(speeds) + 1,
        figsize=(4.2 + 1.55 * len(speeds), 1.3 + 0.27 * len(names)),
        sharey=True,
        layout="constrained",
    )
    for axis, (batch, by_engine) in zip(axes, speeds.items(), strict=False):
        values = [by_engine[name] for name in names]
        bars = axis.barh(labels, values, color=colours)
        texts = axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        for text, value in zip(texts, values, strict=True):
            text.set_weight("bold" if value == max(values) else "normal")
        axis.set(title=f"batch {batch}", xlim=(0, 1.4 * max(values)), xticks=[])
    largest = [engines[name]["accuracy"]["largest"] for name in names]
    axes[-1].set(title="largest |Δz|/(1+z)", xscale="log", xlim=(1e-8, 1))
    axes[-1].scatter(largest, labels, c=colours, s=28, zorder=2)
    for row, value in enumerate(largest):
        axes[-1].annotate(f"{value:.0e}", (value, row), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes[-1].grid(axis="x", color="#e6e8ea", linewidth=0.6)
    axes[-1].tick_params(axis="x", labelsize=7)
    axes[-1].set_xticks([1e-6, 1e-4, 1e-2])
    for axis in axes:
        axis.title.set_fontsize(10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(left=False, axis="y", labelsize=9)
    for axis in axes[:-1]:
        axis.spines["bottom"].set_visible(False)
    axes[0].invert_yaxis()
    handles = [Patch(color=COLOURS[kind], label=text) for text, kind in LEGEND.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8, frameon=False)
    caption = (
        f"galaxies per second, {report['threads']} threads, medians of {report['rounds']} rounds; {report['cpu']}; "
        "|Δz| against PyTorch in float64"
    )
    figure.supxlabel(textwrap.fill(caption, 45 + 20 * len(speeds)), fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def label(name: str, precision: str) -> str:
    """An engine's label, with what it computes in where the label does not say so."""
    found = ENGINES[name].label
    return found if precision in found else f"{found} ({precision})"
