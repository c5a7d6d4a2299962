"""The frozen transformer's features of each galaxy, computed once in each of its eight orientations."""

from pathlib import Path

import torch
from torch import nn

from train import batch_norms, data, network, schedule

BATCH = 128
SETTLING_BATCHES = 32


def settle(model: nn.Module, images: torch.Tensor) -> None:
    """Sets the transformer's batch-norm statistics to those of whole images.

    Those of pre-training are of masked images, and a random transformer has none.
    """
    batch_norms.settle(
        [block.PCM[1] for block in model.blocks],
        lambda batch: network.feature(model, batch.to(schedule.device())),
        images[: SETTLING_BATCHES * BATCH].split(BATCH),
    )


@torch.no_grad()
def compute(model: nn.Module, images: torch.Tensor, orientations: int) -> torch.Tensor:
    """The features of each image in each orientation, [n, orientations, dim], in f32."""
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
    """What `compute` returns, from the file if an earlier run has written it, and written to it otherwise."""
    if not path.exists():
        schedule.save(path, compute(model, images, orientations))
    return torch.load(path, weights_only=True)
