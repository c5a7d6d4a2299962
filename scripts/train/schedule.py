"""One phase of training: epochs that can be killed at any time and continue after the last whole one.

A phase's file holds the model, the optimiser and the log so far, and is replaced in one step. There is no other state:
learning rates are a function of the step, and random numbers of the epoch's name (`data.stream`).
"""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


def save(path: Path, content: object) -> None:
    """Writes the file whole or not at all."""
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half() -> torch.autocast:
    """A context in which products are computed in bfloat16, if the hardware multiplies in it."""
    where = device().type
    able = torch.cuda.is_bf16_supported() if where == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(where, torch.bfloat16, enabled=able)


def rate(step: int, steps: int, peak: float, warm_up: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def run(
    folder: Path,
    name: str,
    settings: dict,
    parts: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    epoch: Callable[[int], dict],
) -> None:
    """Runs the epochs that are still to run, of `settings["epochs"]` in all.

    `epoch` trains one and returns its row of the log, which is `NAME.jsonl` in the folder.
    """
    path = folder / f"{name}.resume.pt"
    done, rows = 0, []
    if path.exists():
        state = torch.load(path, map_location=device(), weights_only=True)
        if state["settings"] != settings:
            sys.exit(
                f"{path} is of a run with other settings, {state['settings']}: delete {folder}, or train with those"
            )
        for key, part in parts.items():
            part.load_state_dict(state["parts"][key])
        optimiser.load_state_dict(state["optimiser"])
        done, rows = state["done"], state["rows"]
        print(f"{name}: goes on after epoch {done} of {settings['epochs']}", flush=True)
    for index in range(done, settings["epochs"]):
        started = time.perf_counter()
        row = {"epoch": index + 1} | epoch(index)
        row["seconds"] = round(time.perf_counter() - started, 1)
        rows.append(row)
        save(
            path,
            {
                "settings": settings,
                "parts": {key: part.state_dict() for key, part in parts.items()},
                "optimiser": optimiser.state_dict(),
                "done": index + 1,
                "rows": rows,
            },
        )
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(name, json.dumps(row), flush=True)
