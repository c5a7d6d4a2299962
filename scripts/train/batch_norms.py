"""Statistics that batch norms keep after training.

Raw fluxes have a long tail, so a batch's variance depends on its brightest galaxies: between batches of 128 it differs
by a factor of four. Training has seen the typical batch, whose variance is well below the average over batches and near
their geometric mean: after the same training, the redshifts of the validation galaxies scatter less with that than with
the average or with the running one.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn


@torch.no_grad()
def settle(
    norms: list[nn.BatchNorm2d], forward: Callable[[torch.Tensor], object], batches: Iterable[torch.Tensor]
) -> None:
    """Sets the norms' statistics from what `forward` makes of the batches, and leaves the norms in evaluation."""
    for norm in norms:
        norm.train()
        # The running statistics are then those of the last batch.
        norm.momentum = 1.0
    seen: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in norms]
    for batch in batches:
        forward(batch)
        for statistics, norm in zip(seen, norms, strict=True):
            statistics.append((norm.running_mean.clone(), (norm.running_var + norm.eps).log()))
    for statistics, norm in zip(seen, norms, strict=True):
        means, logarithms = (torch.stack(column).mean(0) for column in zip(*statistics, strict=True))
        norm.running_mean.copy_(means)
        norm.running_var.copy_((logarithms.exp() - norm.eps).clamp(min=0))
        norm.momentum = 0.1
        norm.eval()
