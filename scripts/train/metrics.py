"""The metrics of validation, by the same definitions as `cosmic infer`."""

import torch


def metrics(predicted: torch.Tensor, redshifts: torch.Tensor) -> dict[str, float]:
    predicted, redshifts = predicted.double(), redshifts.double()
    difference = predicted - redshifts
    relative = difference / (1 + redshifts)
    # Medians as in numpy: of an even count, the mean of the two in the middle.
    centre = relative.quantile(0.5)
    return {
        "R2": round(1 - (difference.square().sum() / (redshifts - redshifts.mean()).square().sum()).item(), 5),
        "MAE": round(difference.abs().mean().item(), 5),
        "bias": round(relative.mean().item(), 5),
        "sigma_nmad": round(1.48 * (relative - centre).abs().quantile(0.5).item(), 5),
    }
