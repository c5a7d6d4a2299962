"""The weights of a model file of `cosmic convert` in the reference network."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from astromae import reference

# A convolution that published checkpoints hold under two names, of which safetensors files keep the first.
CONVOLUTION = "inception_model.vis_inception.0"
SAME_CONVOLUTION = "inception_model.conv2d_init"
# What no forward pass in evaluation reads, and safetensors files leave out.
UNUSED_BRANCH = "inception_model.vis_inception.8.branch3."
UNUSED_COUNTER = ".num_batches_tracked"
# What `cosmic calibrate` puts beside the network: quantiles of its errors, which no layer reads.
CALIBRATION = "calibration."


def load(path: Path) -> nn.Module:
    """The network of the published size in f32, in evaluation; ValueError where a weight is missing or unknown."""
    tensors = {name: tensor.float() for name, tensor in load_file(path).items() if not name.startswith(CALIBRATION)}
    tensors |= {f"{SAME_CONVOLUTION}.{part}": tensors[f"{CONVOLUTION}.{part}"] for part in ("weight", "bias")}
    network = reference.ViT_Astro(**reference.PUBLISHED)
    found = network.load_state_dict(tensors, strict=False)
    missing = [
        name for name in found.missing_keys if not name.startswith(UNUSED_BRANCH) and not name.endswith(UNUSED_COUNTER)
    ]
    if missing or found.unexpected_keys:
        raise ValueError(f"{path}: tensors missing: {missing}, unknown: {found.unexpected_keys}")
    return network.eval()
