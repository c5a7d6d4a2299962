"""Galaxies from files of `torch.save`, their eight orientations, and random streams by name."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

ORIENTATIONS = 8


@dataclass
class Galaxies:
    images: torch.Tensor
    magnitudes: torch.Tensor
    redshifts: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Galaxies":
        return Galaxies(self.images[rows], self.magnitudes[rows], self.redshifts[rows])


def read(path: Path) -> Galaxies:
    """A data set of `cosmic simulate`, or in the published format. It is unpickled: only give it files of your own."""
    dataset = torch.load(path, weights_only=False)
    if isinstance(dataset, dict):
        images, magnitudes, redshifts = (dataset[name] for name in ("images", "magnitudes", "redshifts"))
    else:
        images, magnitudes, redshifts = dataset.tensors[:3]
    return Galaxies(images.float(), magnitudes.float(), redshifts.float().flatten())


def noise(images: torch.Tensor) -> torch.Tensor:
    """The sky's standard deviation per band, [bands], from the rows at the images' upper and lower edges."""
    edges = torch.cat((images[:, :, :2], images[:, :, -2:]), 2).transpose(0, 1).flatten(1)
    centre = edges.median(1, keepdim=True).values
    return 1.4826 * (edges - centre).abs().median(1).values


def orient(images: torch.Tensor, orientation: int) -> torch.Tensor:
    """All images turned by a quarter `orientation % 4` times, and from 4 on mirrored first."""
    if orientation >= 4:
        images = images.flip(-1)
    return images.rot90(orientation % 4, (-2, -1))


def orient_each(images: torch.Tensor, orientations: torch.Tensor) -> torch.Tensor:
    """Each image in an orientation of its own."""
    turned = torch.empty_like(images)
    for orientation in range(ORIENTATIONS):
        rows = orientations == orientation
        turned[rows] = orient(images[rows], orientation)
    return turned


def stream(seed: int, *names: object) -> torch.Generator:
    """Random numbers that depend on the seed and the names alone, such as those of one epoch.

    A run that is resumed therefore draws what an uninterrupted one would have drawn.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def batches(count: int, size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Rows of an epoch in random order, in full batches."""
    order = torch.randperm(count, generator=generator)
    return list(order[: count - count % size].split(size))
