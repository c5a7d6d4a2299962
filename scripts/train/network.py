"""The published network as training wants it: its first weights, and faster forms of its layers.

The classes are those of `astromae.reference`, whose names are in published checkpoints; there is no second network.
The forms below compute the same from the same parameters, several times faster on a CPU:

- a cell's convolution branch (PCM) as one batched product over its groups. On the whole 4×4 map the 3×3 pattern is
  written into a matrix; where only the centre tap counts, as in pre-training, the product is the 1×1 convolution;
- the image branch from images that are already averaged 2×2. Its first layer is a 1×1 convolution and its second that
  average; both are linear, so the average may come first, and be computed once.
"""

import contextlib

import torch
from torch import nn
from torch.nn import functional

from astromae import reference
from train import data

PATCH = 8
SIDE = 32 // PATCH


def initialised(size: dict[str, int], galaxies: data.Galaxies, seed: int) -> nn.Module:
    """The network before training, fitted to the data only in the scales of what goes in and comes out."""
    torch.manual_seed(seed)
    model = reference.ViT_Astro(**size)
    for block in model.blocks:
        for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
            nn.init.xavier_uniform_(layer.weight)
    nn.init.normal_(model.cls_token, std=0.02)
    model.pos_embed.data[:, 1:] = positions(model.pos_embed.shape[2])
    with torch.no_grad():
        # Nanomaggies per pixel span five decades, and a network reads them raw: a typical galaxy's central patches
        # come out of the embedding with the size of the positions that are added to them.
        nn.init.xavier_uniform_(model.patch_embed.proj.weight.view(model.patch_embed.proj.out_channels, -1))
        centre = galaxies.images[:, :, PATCH:-PATCH, PATCH:-PATCH].square().mean((2, 3)).sqrt().median(0).values
        model.patch_embed.proj.weight /= centre[:, None, None]
        nn.init.zeros_(model.patch_embed.proj.bias)
        first = model.inception_model.magnitude_block[0]
        deviation, mean = torch.std_mean(galaxies.magnitudes, 0)
        first.weight /= deviation
        first.bias -= first.weight @ mean
        model.concat_block[2].bias.fill_(galaxies.redshifts.mean())
    return model


def positions(dim: int) -> torch.Tensor:
    """Sines and cosines of the patch's row and column, [patches, dim], as in masked autoencoders."""
    frequencies = 10000.0 ** -(torch.arange(dim // 4) / (dim // 4))
    angles = torch.arange(SIDE)[:, None] * frequencies
    waves = torch.cat((angles.sin(), angles.cos()), 1)
    rows, columns = waves.repeat_interleave(SIDE, 0), waves.repeat(SIDE, 1)
    return torch.cat((rows, columns), 1)


def trunk(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that pre-training trains: all before the mean of the patches."""
    return [model.cls_token, model.pos_embed, *model.patch_embed.parameters(), *model.blocks.parameters()]


def rest(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that fine-tuning trains, without those of the branch that no forward pass uses."""
    frozen = {id(parameter) for parameter in trunk(model)}
    unused = {id(parameter) for parameter in model.inception_model.vis_inception[8].branch3.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in frozen | unused]


def patches(images: torch.Tensor) -> torch.Tensor:
    """[n, bands, 32, 32] to [n, patches, bands × 8 × 8], row after row, as the patch embedding takes them."""
    n, bands = images.shape[:2]
    tiles = images.reshape(n, bands, SIDE, PATCH, SIDE, PATCH).permute(0, 2, 4, 1, 3, 5)
    return tiles.reshape(n, SIDE * SIDE, bands * PATCH * PATCH)


def embed(model: nn.Module, tiles: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
    """The tokens of all patches, or of the visible ones [n, visible], after the class token."""
    layer, places = model.patch_embed.proj, model.pos_embed[:, 1:].expand(len(tiles), -1, -1)
    if visible is not None:
        tiles, places = select(tiles, visible), select(places, visible)
    tokens = functional.linear(tiles, layer.weight.flatten(1), layer.bias) + places
    start = model.cls_token + model.pos_embed[:, :1]
    return torch.cat((start.expand(len(tiles), -1, -1), tokens), 1)


def select(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Of each galaxy the tokens that its row of the index names."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def cell(block: nn.Module, x: torch.Tensor, convolution) -> torch.Tensor:
    """A normal cell; `convolution` is one of the two forms of its convolution branch."""
    convolved = functional.pad(convolution(block.PCM, x[:, 1:]), (0, 0, 1, 0))
    x = x + block.attn(block.norm1(x)) + convolved
    return x + block.mlp(block.norm2(x))


def pointwise(branch: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The convolution branch with the centre taps alone, for any set of tokens [n, tokens, dim]."""
    n, tokens, dim = x.shape
    x = _grouped(x.reshape(n * tokens, 1, dim), branch[0], branch[0].weight[:, :, 1, 1, None], _AT)
    x = functional.silu(_batch_norm(branch[1], x.flatten(0, 1)))
    x = _grouped(x.reshape(n * tokens, 1, -1), branch[3], branch[3].weight[:, :, 1, 1, None], _AT)
    return x.reshape(n, tokens, dim)


def spatial(branch: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The convolution branch on the whole map, [n, patches, dim]."""
    n, tokens, _ = x.shape
    x = _grouped(x, branch[0], branch[0].weight.flatten(2), _TAPS)
    x = functional.silu(_batch_norm(branch[1], x.flatten(0, 1)))
    return _grouped(x.reshape(n, tokens, -1), branch[3], branch[3].weight.flatten(2), _TAPS)


def _grouped(x: torch.Tensor, layer: nn.Conv2d, weight: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """A grouped convolution as a product per group, [n, places, in] to [n, places, out].

    The weight is [out, in / groups, taps].
    """
    n, places, _ = x.shape
    groups = layer.groups
    outputs, inputs = layer.out_channels // groups, layer.in_channels // groups
    taps = taps.to(weight.device)
    matrix = torch.einsum("goit,tpq->gpiqo", weight.reshape(groups, outputs, inputs, -1), taps)
    matrix = matrix.reshape(groups, places * inputs, places * outputs)
    x = x.reshape(n, places, groups, inputs).permute(2, 0, 1, 3).reshape(groups, n, places * inputs)
    x = torch.bmm(x, matrix).reshape(groups, n, places, outputs)
    return x.permute(1, 2, 0, 3).reshape(n, places, groups * outputs) + layer.bias


def _taps() -> torch.Tensor:
    """[9, place read, place written]: 1 where that tap of a 3×3 kernel joins the two places of the map."""
    taps = torch.zeros(9, SIDE * SIDE, SIDE * SIDE)
    for y in range(SIDE):
        for x in range(SIDE):
            for tap in range(9):
                row, column = y + tap // 3 - 1, x + tap % 3 - 1
                if 0 <= row < SIDE and 0 <= column < SIDE:
                    taps[tap, row * SIDE + column, y * SIDE + x] = 1
    return taps


_TAPS = _taps()
_AT = torch.ones(1, 1, 1)


def _batch_norm(norm: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """The norm over rows [rows, channels] rather than over maps."""
    return functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )


def feature(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The transformer's features of whole images: the mean of the patches' tokens, [n, dim]."""
    x = embed(model, patches(images))
    for block in model.blocks:
        x = cell(block, x, spatial)
    return x[:, 1:].mean(1)


def pooled(images: torch.Tensor) -> torch.Tensor:
    """Images as `redshift` takes them: averaged 2×2."""
    return functional.avg_pool2d(images, 2)


def redshift(
    model: nn.Module,
    features: torch.Tensor,
    small: torch.Tensor,
    magnitudes: torch.Tensor,
    half: torch.autocast | None = None,
) -> torch.Tensor:
    """The redshifts [n] that the network after its transformer predicts.

    `half` is the context of what may be computed in fewer bits, which magnitudes may not: bfloat16 would round 17.77 to
    17.75.
    """
    with half or contextlib.nullcontext():
        v = model.vit_block(model.head(model.fc_norm(features))).float()
        y = image_branch(model, small).float()
    m = model.inception_model.magnitude_block(magnitudes)
    return model.concat_block(torch.cat((v, y, m), 1)).flatten()


def image_branch(model: nn.Module, small: torch.Tensor) -> torch.Tensor:
    layers = model.inception_model
    return layers.vis_inception[2:](layers.conv2d_init(small.contiguous(memory_format=torch.channels_last)))
