"""The simulated galaxies that the engines predict: for their speed, for their accuracy, and to quantise a network with.

Values matter to the speed too: numbers near zero are denormal in some layer, and int8 is scaled by what comes.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy

from bench.paths import RELEASE

# None is a seed of the training's skies (scripts/train).
SEED, CALIBRATION_SEED = 909, 910


@dataclass(frozen=True)
class Sky:
    images: numpy.ndarray
    magnitudes: numpy.ndarray
    redshifts: numpy.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, index: int, size: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Images and magnitudes of the batch of that index; behind the last whole batch they begin anew."""
        first = index % (len(self) // size) * size
        return self.images[first:][:size], self.magnitudes[first:][:size]


def simulate(rows: int, seed: int, path: Path) -> None:
    """Writes a data set of `cosmic simulate`, and its arrays beside it for programs that have no PyTorch."""
    import torch

    command = [RELEASE / "cosmic", "simulate", "--count", str(rows), "--seed", str(seed), "--out", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    tensors = torch.load(path)
    names = ("images", "magnitudes", "redshifts")
    numpy.savez(path.with_suffix(".npz"), **{name: tensors[name].float().numpy() for name in names})


def read(path: Path) -> Sky:
    """The arrays beside a data set that `simulate` wrote."""
    arrays = numpy.load(path.with_suffix(".npz"))
    return Sky(arrays["images"], arrays["magnitudes"], arrays["redshifts"])
