"""Masked-autoencoder pre-training of the transformer (He et al. 2022): from a few patches, the others.

- Only the visible patches go through the transformer, which is what makes it cheap. They are no map, so the cells'
  3×3 convolutions are 1×1 here and padded with zeros afterwards (ViTAEv2, Zhang et al. 2022): only the centre tap of
  each kernel is trained, the others are zero.
- The network reads raw nanomaggies, but the loss is over asinh(pixel / ten times the sky noise): linear where noise
  rules, logarithmic above. A loss over raw pixels would see nothing but the brightest galaxies; one in units of the
  noise itself is mostly noise, which nothing predicts; and a patch normalised by itself, as for photographs, would lose
  the flux.
- Visible patches count in the loss too, with less weight: redshifts need a patch's own colours to a percent, and the
  loss over the masked ones alone does not make a token keep them.
- The decoder is not kept.
"""

from pathlib import Path

import torch
from torch import nn

from astromae import reference
from train import data, network, schedule

MASKED = 12
VISIBLE_WEIGHT = 0.3
SOFTENING = 10
BATCH = 256
PEAK_RATE = 1.5e-3
WEIGHT_DECAY = 0.05


class Decoder(nn.Module):
    """Two plain transformer blocks, half as wide as the network's."""

    def __init__(self, inputs: int, outputs: int, dim: int, heads: int):
        super().__init__()
        self.enter, self.leave = nn.Linear(inputs, dim), nn.Linear(dim, outputs)
        self.norm = nn.LayerNorm(inputs, eps=1e-6)
        self.last_norm = nn.LayerNorm(dim, eps=1e-6)
        self.mask = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.register_buffer("places", network.positions(dim)[None], persistent=False)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(2))

    def forward(self, tokens: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """The pixels of all patches in their order [n, patches], of which the visible come first, as tokens."""
        tokens = self.enter(self.norm(tokens))
        visible = tokens.shape[1] - 1
        masked = self.mask.expand(len(tokens), order.shape[1] - visible, -1)
        places = network.select(self.places.expand(len(tokens), -1, -1), order)
        x = torch.cat((tokens[:, :1], torch.cat((tokens[:, 1:], masked), 1) + places), 1)
        for block in self.blocks:
            x = block(x)
        return self.leave(self.last_norm(x[:, 1:]))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn, self.mlp = reference.Attention(dim, heads), reference.Mlp(dim, 4 * dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def keep_centre_taps(model: nn.Module) -> None:
    with torch.no_grad():
        for block in model.blocks:
            for layer in (block.PCM[0], block.PCM[3]):
                centre = layer.weight[:, :, 1, 1].clone()
                # As wide as a 1×1 convolution's first weights.
                layer.weight.zero_()[:, :, 1, 1] = 3 * centre


def loss(
    model: nn.Module, decoder: Decoder, images: torch.Tensor, target: torch.Tensor, order: torch.Tensor
) -> torch.Tensor:
    """The mean squared error over the masked patches' pixels, and VISIBLE_WEIGHT times that over the visible ones'.

    `order` is a permutation of each galaxy's patches [n, patches], with the masked ones last.
    """
    visible = order.shape[1] - MASKED
    with schedule.half():
        x = network.embed(model, network.patches(images), order[:, :visible])
        for block in model.blocks:
            x = network.cell(block, x, network.pointwise)
        predicted = decoder(x, order)
    error = (predicted.float() - network.select(network.patches(target), order)).square()
    return error[:, visible:].mean() + VISIBLE_WEIGHT * error[:, :visible].mean()


def pretrain(model: nn.Module, images: torch.Tensor, folder: Path, seed: int, epochs: int) -> None:
    keep_centre_taps(model)
    where = schedule.device()
    model.to(where).train()
    torch.manual_seed(seed)
    dim = model.pos_embed.shape[2]
    decoder = Decoder(dim, images.shape[1] * network.PATCH**2, dim // 2, 3).to(where)
    parameters = [*network.trunk(model), *decoder.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY, fused=True)
    scale = SOFTENING * data.noise(images).view(-1, 1, 1)
    batch = min(BATCH, len(images))
    per_epoch = len(images) // batch

    def epoch(index: int) -> dict:
        generator = data.stream(seed, "pretraining", index)
        total = 0.0
        for step, rows in enumerate(data.batches(len(images), batch, generator)):
            orientations = torch.randint(data.ORIENTATIONS, (batch,), generator=generator)
            order = torch.rand(batch, network.SIDE**2, generator=generator).argsort(1).to(where)
            turned = data.orient_each(images[rows], orientations)
            value = loss(model, decoder, turned.to(where), (turned / scale).asinh().to(where), order)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(index * per_epoch + step, epochs * per_epoch, PEAK_RATE, 3 * per_epoch)
            optimiser.step()
            total += value.item()
        return {"loss": round(total / per_epoch, 5)}

    settings = {"phase": "pretraining", "seed": seed, "epochs": epochs, "galaxies": len(images)}
    schedule.run(folder, "pretraining", settings, {"model": model, "decoder": decoder}, optimiser, epoch)
