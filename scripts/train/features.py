"""What the frozen transformer says of each galaxy, computed once in each of its eight orientations."""

from pathlib import Path

import torch
from torch import nn

from train import batch_norms, data, network, schedule

BATCH = 128
SETTLING_BATCHES = 32


def settle(model: nn.Module, images: torch.Tensor) -> None:
    """Sets the transformer's batch-norm statistics to those of whole images: pre-training has left those of masked
    ones, and a random transformer none.
    """
    batch_norms.settle(
        [block.PCM[1] for block in model.blocks],
        lambda batch: network.feature(model, batch.to(schedule.device())),
        images[: SETTLING_BATCHES * BATCH].split(BATCH),
    )


@torch.no_grad()
def compute(model: nn.Module, images: torch.Tensor, orientations: int) -> torch.Tensor:
    """[n, orientations, dim]."""
    where = schedule.device()
    with schedule.half():
        return torch.stack(
            [
                torch.cat(
                    [
                        network.feature(model, data.orient(batch, orientation).to(where)).float().cpu()
                        for batch in images.split(BATCH)
                    ]
                )
                for orientation in range(orientations)
            ],
            1,
        )


def cached(path: Path, model: nn.Module, images: torch.Tensor, orientations: int) -> torch.Tensor:
    """From the file, if an earlier run has left it."""
    if not path.exists():
        schedule.save(path, compute(model, images, orientations))
    return torch.load(path, weights_only=True)
