"""Tests of the training at small size: `scripts/train.sh --self-test`."""

import contextlib
import io
import pathlib
import tempfile
import unittest
from unittest import mock

import torch

from astromae import reference
from train import batch_norms, data, features, finetuning, metrics, network, pretraining, schedule

torch.set_num_threads(1)


def galaxies(count: int) -> data.Galaxies:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(count, 5, 32, 32, generator=generator)
    return data.Galaxies(
        images, 18 + torch.randn(count, 5, generator=generator), torch.rand(count, generator=generator)
    )


class Forms(unittest.TestCase):
    def test_the_fast_forms_compute_what_the_published_network_does(self):
        few = galaxies(6)
        model = reference.with_random_statistics(reference.ViT_Astro(**reference.PUBLISHED), seed=1)
        model.concat_block[2].weight.data /= 40
        with torch.no_grad():
            expected = model(few.images, few.magnitudes).flatten()
            found = network.redshift(
                model, network.feature(model, few.images), network.pooled(few.images), few.magnitudes
            )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)

    def test_pre_training_sees_the_cells_that_are_used_afterwards(self):
        model = network.initialised(reference.SMALL, galaxies(6), seed=1).eval()
        pretraining.keep_centre_taps(model)
        x = torch.randn(6, 17, 24)
        for block in model.blocks:
            torch.testing.assert_close(
                network.cell(block, x, network.pointwise), network.cell(block, x, network.spatial)
            )

    def test_every_parameter_is_of_one_phase(self):
        model = network.initialised(reference.SMALL, galaxies(6), seed=1)
        parts = [id(parameter) for parameter in (*network.trunk(model), *network.rest(model))]
        unused = [id(parameter) for parameter in model.inception_model.vis_inception[8].branch3.parameters()]
        self.assertCountEqual(parts + unused, [id(parameter) for parameter in model.parameters()])


class Data(unittest.TestCase):
    def test_eight_orientations_are_different(self):
        image = galaxies(1).images
        turned = {data.orient(image, orientation).numpy().tobytes() for orientation in range(data.ORIENTATIONS)}
        self.assertEqual(len(turned), data.ORIENTATIONS)

    def test_each_image_gets_the_orientation_that_its_feature_has(self):
        few = galaxies(3)
        model = network.initialised(reference.SMALL, few, seed=1).eval()
        known = features.compute(model, few.images, data.ORIENTATIONS)
        orientations = torch.tensor([6, 1, 3])
        with torch.no_grad():
            found = network.feature(model, data.orient_each(few.images, orientations))
        torch.testing.assert_close(known[torch.arange(3), orientations], found, rtol=1e-2, atol=2e-2)

    def test_noise_is_of_the_sky_and_not_of_the_galaxy(self):
        images = 0.3 * galaxies(200).images
        images[:, :, 8:24, 8:24] += 100
        torch.testing.assert_close(data.noise(images), torch.full((5,), 0.3), rtol=0.02, atol=0)

    def test_metrics_are_those_of_the_domain(self):
        redshifts = torch.tensor([0.0, 0.1, 0.2, 0.3])
        found = metrics.metrics(redshifts + 0.01 * (1 + redshifts) * torch.tensor([1, -1, 1, 3]), redshifts)
        self.assertEqual((found["bias"], found["sigma_nmad"]), (0.01, 0.0148))


class BatchNorms(unittest.TestCase):
    def test_one_bright_batch_does_not_set_the_variance(self):
        norm = torch.nn.BatchNorm2d(1)
        batch = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
        batch_norms.settle([norm], norm, [batch, batch, 100 * batch])
        # Unbiased variances of 2, 2 and 20,000.
        self.assertAlmostEqual(norm.running_var.item(), 2 * 10000 ** (1 / 3), places=2)
        self.assertEqual((norm.running_mean.item(), norm.training, norm.momentum), (0, False, 0.1))


class Resume(unittest.TestCase):
    def train(self, folder: pathlib.Path) -> dict:
        sky = galaxies(48)
        model = network.initialised(reference.SMALL, sky, seed=1)
        pretraining.pretrain(model, sky.images[:32], folder, seed=1, epochs=3)
        finetuning.finetune(model, sky[:32], sky[32:], folder, seed=1, epochs=3)
        return model.state_dict()

    def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(self):
        quiet = contextlib.redirect_stdout(io.StringIO())
        with (
            tempfile.TemporaryDirectory() as whole,
            tempfile.TemporaryDirectory() as killed,
            quiet,
            mock.patch.object(pretraining, "BATCH", 8),
            mock.patch.object(finetuning, "BATCH", 8),
        ):
            expected = self.train(pathlib.Path(whole))
            save = schedule.save
            for kill_at in (2, 4, 3):
                saved = []

                def save_or_die(path, content, kill_at=kill_at, saved=saved):
                    saved.append(path)
                    if len(saved) == kill_at:
                        raise KeyboardInterrupt
                    save(path, content)

                with mock.patch.object(schedule, "save", save_or_die), self.assertRaises(KeyboardInterrupt):
                    self.train(pathlib.Path(killed))
            found = self.train(pathlib.Path(killed))
            for log in ("pretraining", "fine-tuning"):
                rows = (pathlib.Path(killed) / f"{log}.jsonl").read_text().splitlines()
                self.assertEqual(len(rows), 3)
        for name, tensor in expected.items():
            self.assertTrue(torch.equal(found[name], tensor), name)

    def test_other_settings_are_refused(self):
        sky = galaxies(8)
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            folder = pathlib.Path(name)
            for epochs in (1, 2):
                model = network.initialised(reference.SMALL, sky, seed=1)
                refused = (
                    self.assertRaisesRegex(SystemExit, "other settings") if epochs == 2 else contextlib.nullcontext()
                )
                with refused:
                    pretraining.pretrain(model, sky.images, folder, seed=1, epochs=epochs)


if __name__ == "__main__":
    unittest.main()
