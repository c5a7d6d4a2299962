"""A last short phase at a low rate, with the transformer trained too: its 3×3 kernels, of which pre-training knew the
centre only, and whatever in its features redshifts want otherwise. Batch norms keep the statistics they have.
"""

import contextlib
from pathlib import Path

import torch
from torch import nn

import data
import finetuning
import network
import schedule
from metrics import metrics

BATCH = 128
PEAK_RATE = 1e-4


def unfreeze(model: nn.Module, training: data.Galaxies, validation: data.Galaxies, folder: Path, seed: int,
             epochs: int) -> None:
    where = schedule.device()
    model.to(where).eval()
    parameters = [*network.trunk(model), *network.rest(model)]
    optimiser = torch.optim.AdamW(parameters, lr=PEAK_RATE, fused=True)
    batch = min(BATCH, len(training))
    per_epoch = len(training) // batch

    def predict(images: torch.Tensor, magnitudes: torch.Tensor, half: torch.autocast | None) -> torch.Tensor:
        images = images.to(where)
        with half or contextlib.nullcontext():
            features = network.feature(model, images).float()
        return network.redshift(model, features, network.pooled(images), magnitudes.to(where), half)

    def epoch(index: int) -> dict:
        generator = data.stream(seed, "unfreezing", index)
        total = 0.0
        for step, rows in enumerate(data.batches(len(training), batch, generator)):
            orientations = torch.randint(data.ORIENTATIONS, (batch,), generator=generator)
            images = data.orient_each(training.images[rows], orientations)
            predicted = predict(images, training.magnitudes[rows], schedule.half())
            value = nn.functional.smooth_l1_loss(
                predicted, training.redshifts[rows].to(where), beta=finetuning.BETA)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(index * per_epoch + step, epochs * per_epoch, PEAK_RATE, per_epoch // 4)
            optimiser.step()
            total += value.item()
        with torch.no_grad():
            predicted = torch.cat([
                predict(images, magnitudes, None).cpu()
                for images, magnitudes in zip(validation.images.split(256), validation.magnitudes.split(256))])
        return {"loss": round(total / per_epoch, 7)} | metrics(predicted, validation.redshifts)

    settings = {"phase": "unfreezing", "seed": seed, "epochs": epochs, "galaxies": len(training)}
    schedule.run(folder, "unfreezing", settings, {"model": model}, optimiser, epoch)
