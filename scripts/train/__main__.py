"""Trains AstroMAE on a simulated sky and measures it on another. See scripts/train.sh."""

import argparse
import json
from pathlib import Path

import torch

from astromae import reference
from train import curve, data, finetuning, network, pretraining, publish

# Goes up with every change of these scripts that moves the weights they make.
VERSION = 1
TEST_GALAXIES = 5000
CALIBRATION_GALAXIES = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/train.sh", description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=publish.ROOT / "out/train",
        metavar="DIR",
        help="folder of the skies and of the run, which goes on where it was (default: out/train)",
    )
    parser.add_argument(
        "--frozen-random", action="store_true", help="leave the transformer random, to see what pre-training is worth"
    )
    parser.add_argument("--galaxies", type=int, default=16000, metavar="N", help="to train with (default: 16000)")
    parser.add_argument(
        "--validation", type=int, default=1000, metavar="N", help="more galaxies, for the curve only (default: 1000)"
    )
    parser.add_argument("--pretraining-epochs", type=int, default=40, metavar="N", help="(default: 40)")
    parser.add_argument("--fine-tuning-epochs", type=int, default=30, metavar="N", help="(default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and the order of galaxies (default: 1)")
    parser.add_argument("--sky-seed", type=int, default=101, help="of the training sky (default: 101)")
    parser.add_argument("--test-seed", type=int, default=202, help="of the test sky (default: 202)")
    parser.add_argument("--calibration-seed", type=int, default=404, help="of the calibration's sky (default: 404)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="on a CPU (default: 1)")
    arguments = parser.parse_args()
    if arguments.sky_seed in (arguments.test_seed, arguments.calibration_seed):
        parser.error(
            "--sky-seed is that of the test or calibration sky, whose galaxies must be others than the training's"
        )
    if arguments.test_seed == arguments.calibration_seed:
        parser.error("--calibration-seed is that of the test sky, on which the intervals would always hold")

    torch.set_num_threads(arguments.threads)
    origin = "frozen-random" if arguments.frozen_random else "pretrained"
    folder = arguments.out / origin
    folder.mkdir(parents=True, exist_ok=True)
    count = arguments.galaxies + arguments.validation
    sky = publish.simulate(arguments.out / f"sky-{arguments.sky_seed}-{count}.pt", arguments.sky_seed, count)
    test = publish.simulate(
        arguments.out / f"sky-{arguments.test_seed}-{TEST_GALAXIES}.pt", arguments.test_seed, TEST_GALAXIES
    )

    calibration = publish.simulate(
        arguments.out / f"sky-{arguments.calibration_seed}-{CALIBRATION_GALAXIES}.pt",
        arguments.calibration_seed,
        CALIBRATION_GALAXIES,
    )

    galaxies = data.read(sky)
    training, validation = galaxies[: arguments.galaxies], galaxies[arguments.galaxies :]
    model = network.initialised(reference.PUBLISHED, training, arguments.seed)
    if not arguments.frozen_random:
        pretraining.pretrain(model, training.images, folder, arguments.seed, arguments.pretraining_epochs)
    finetuning.finetune(model, training, validation, folder, arguments.seed, arguments.fine_tuning_epochs)
    curve.draw(folder)
    metrics = publish.publish(
        model,
        folder,
        test,
        {
            "origin": "trained by scripts/train.sh on a simulated sky; no use on a real one",
            "script": f"scripts/train version {VERSION}",
            "training_seed": arguments.seed,
            "training_sky": f"{arguments.galaxies} galaxies of `cosmic simulate --seed {arguments.sky_seed}`",
            "test_sky": f"{TEST_GALAXIES} galaxies of `cosmic simulate --seed {arguments.test_seed}`",
            "recipe": recipe(arguments),
        },
    )
    publish.calibrate(folder, calibration, f"cosmic simulate --seed {arguments.calibration_seed}")
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(f"{origin}: {json.dumps(metrics)} in {folder}")


def recipe(arguments: argparse.Namespace) -> str:
    transformer = (
        "left random"
        if arguments.frozen_random
        else f"pre-trained as a masked autoencoder for {arguments.pretraining_epochs} epochs"
    )
    return (
        f"transformer {transformer}; the rest trained for {arguments.fine_tuning_epochs} epochs with the "
        "transformer frozen"
    )


if __name__ == "__main__":
    main()
