"""The bench's figures as a picture: galaxies per second of each engine at each batch size."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

OURS, THEIRS = "#1b6ca8", "#b8bfc6"


def draw(report: dict, engines: dict[str, str], path: Path) -> None:
    speeds = report["galaxies_per_second"]
    figure, axes = pyplot.subplots(
        1, len(speeds), figsize=(3 * len(speeds), 2.6), sharey=True, layout="constrained", squeeze=False
    )
    for axis, (batch, by_engine) in zip(axes[0], speeds.items()):
        values = [by_engine[name] for name in engines]
        colours = [OURS if name in ("native", "tch") else THEIRS for name in engines]
        bars = axis.barh(list(engines.values()), values, color=colours)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=9)
        axis.set(title=f"batch {batch}", xlim=(0, 1.25 * max(values)), xticks=[])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(left=False)
    axes[0][0].invert_yaxis()
    figure.supxlabel(f"galaxies per second, {report['cpu']}, {report['threads']} threads", fontsize=9)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
