"""Training of all but the transformer, which stays as it is: image branch, magnitudes, head and what joins them.

An epoch shows each galaxy in one of its eight orientations: the image together with the transformer's features of it.

Its batch norms use each batch's own statistics until the end. Fixing them to the training set's for the last epochs, so
that training makes up for the difference, was tried and is worse: the steps that bright galaxies cause are then too
large, and the loss doubles before it falls again.
"""

from pathlib import Path

import torch
from torch import nn

from train import batch_norms, data, features, network, schedule
from train.metrics import metrics

BATCH = 128
PEAK_RATE = 6e-4
# The loss is squared below this difference of redshifts and absolute above it, so that outliers do not rule it.
BETA = 0.02
SETTLING_BATCHES = 32


def settle(model: nn.Module, small: torch.Tensor) -> None:
    """Sets the statistics of the image branch's batch norms."""
    norms = [module for module in model.inception_model.modules() if isinstance(module, nn.BatchNorm2d)]
    batch_norms.settle(
        norms,
        lambda batch: network.image_branch(model, batch.to(schedule.device())),
        small[: SETTLING_BATCHES * BATCH].split(BATCH),
    )


def finetune(
    model: nn.Module, training: data.Galaxies, validation: data.Galaxies, folder: Path, seed: int, epochs: int
) -> None:
    where = schedule.device()
    model.to(where)
    features.settle(model, training.images)
    known = features.cached(folder / "features.pt", model, training.images, data.ORIENTATIONS)
    known_validation = features.cached(folder / "features-validation.pt", model, validation.images, 1)[:, 0]
    small, small_validation = network.pooled(training.images), network.pooled(validation.images)
    optimiser = torch.optim.AdamW(network.rest(model), lr=PEAK_RATE, fused=True)
    batch = min(BATCH, len(training))
    per_epoch = len(training) // batch

    def predict(rows: torch.Tensor, seen: torch.Tensor, images: torch.Tensor, galaxies: data.Galaxies, half=None):
        predicted = network.redshift(model, seen.to(where), images.to(where), galaxies.magnitudes[rows].to(where), half)
        return predicted, galaxies.redshifts[rows].to(where)

    def epoch(index: int) -> dict:
        generator = data.stream(seed, "fine-tuning", index)
        model.inception_model.train()
        total = 0.0
        for step, rows in enumerate(data.batches(len(training), batch, generator)):
            orientations = torch.randint(data.ORIENTATIONS, (batch,), generator=generator)
            predicted, wanted = predict(
                rows, known[rows, orientations], data.orient_each(small[rows], orientations), training, schedule.half()
            )
            value = nn.functional.smooth_l1_loss(predicted, wanted, beta=BETA)
            optimiser.zero_grad()
            value.backward()
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(index * per_epoch + step, epochs * per_epoch, PEAK_RATE, per_epoch // 2)
            optimiser.step()
            total += value.item()
        settle(model, small)
        with torch.no_grad():
            results = [
                predict(rows, known_validation[rows], small_validation[rows], validation)
                for rows in torch.arange(len(validation)).split(512)
            ]
        predicted, wanted = (torch.cat(column).cpu() for column in zip(*results, strict=True))
        return {"loss": round(total / per_epoch, 7)} | metrics(predicted, wanted)

    settings = {"phase": "fine-tuning", "seed": seed, "epochs": epochs, "galaxies": len(training)}
    schedule.run(folder, "fine-tuning", settings, {"model": model}, optimiser, epoch)
    model.eval()
