"""Makes what the benchmark needs before it starts: `python -m bench.prepare FOLDER ROWS NETWORK…`.

That is a sky of so many galaxies, their redshifts in float64, and the network in each form that an engine reads it in:
a key of FILES. It is a process of its own, so that PyTorch's memory is gone when the engines are measured.
"""

import functools
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy

from bench import sky
from bench.paths import MODEL

SKY, REFERENCE = "sky.pt", "redshifts_f64.npy"
CALIBRATION_GALAXIES = 300


def onnx(folder: Path) -> None:
    """Writes the network as ONNX, for any batch size."""
    import torch

    from astromae import weights

    batch = torch.export.Dim("batch")
    torch.onnx.export(
        weights.load(MODEL),
        (torch.zeros(2, 5, 32, 32), torch.zeros(2, 5)),
        folder / FILES["onnx"][0],
        dynamo=True,
        external_data=False,
        input_names=["images", "magnitudes"],
        dynamic_shapes=({0: batch}, {0: batch}),
        verbose=False,
    )


def transformer_products(folder: Path) -> list[str]:
    """The names of all products of matrices in the ONNX file but the last layers', which are Gemm there."""
    import onnx

    graph = onnx.load(folder / FILES["onnx"][0]).graph
    return [node.name for node in graph.node if node.op_type == "MatMul"]


def quantised_onnx(folder: Path, transformer: bool) -> None:
    """ONNX Runtime's dynamic quantisation: weights per output channel, activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folder / FILES["onnx"][0],
        folder / FILES["onnx_int8_transformer" if transformer else "onnx_int8"][0],
        op_types_to_quantize=["MatMul", "Gemm"],
        nodes_to_quantize=transformer_products(folder) if transformer else None,
        per_channel=True,
        weight_type=QuantType.QInt8,
    )


def quantised_openvino(folder: Path, transformer: bool) -> None:
    """NNCF's quantisation after training, by galaxies of another sky, with its settings for transformers."""
    import nncf
    import openvino

    sky.simulate(CALIBRATION_GALAXIES, sky.CALIBRATION_SEED, folder / "calibration.pt")
    galaxies = sky.read(folder / "calibration.pt")
    batches = (galaxies.batch(index, 1) for index in range(len(galaxies)))
    samples = nncf.Dataset([{"images": images, "magnitudes": magnitudes} for images, magnitudes in batches])
    network = openvino.Core().read_model(folder / FILES["onnx"][0])
    left_out = None
    if transformer:
        wanted = set(transformer_products(folder))
        products = [one.get_friendly_name() for one in network.get_ops() if one.get_type_name() == "MatMul"]
        left_out = nncf.IgnoredScope(
            names=[name for name in products if name not in wanted],
            types=["Convolution", "GroupConvolution"],
            validate=False,
        )
    quantised = nncf.quantize(
        network,
        samples,
        subset_size=CALIBRATION_GALAXIES,
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=left_out,
    )
    openvino.save_model(quantised, folder / FILES["openvino_int8_transformer" if transformer else "openvino_int8"][0])


# Each form of the network: the file, and what makes it. All but the first are made of the first.
FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "onnx": ("model.onnx", onnx),
    "onnx_int8": ("int8.onnx", functools.partial(quantised_onnx, transformer=False)),
    "onnx_int8_transformer": ("transformer.int8.onnx", functools.partial(quantised_onnx, transformer=True)),
    "openvino_int8": ("int8.xml", functools.partial(quantised_openvino, transformer=False)),
    "openvino_int8_transformer": ("transformer.int8.xml", functools.partial(quantised_openvino, transformer=True)),
}


def network_file(network: str, folder: Path) -> Path:
    return MODEL if network == "safetensors" else folder / FILES[network][0]


def reference(galaxies: sky.Sky) -> numpy.ndarray:
    """The redshifts of PyTorch, layer by layer in float64."""
    import torch

    from astromae import weights

    # Threads that wait for each other are slow where another program has a core, and nothing is timed here.
    torch.set_num_threads(1)
    network = weights.load(MODEL).double()
    with torch.inference_mode():
        parts = (torch.from_numpy(array).double().split(128) for array in (galaxies.images, galaxies.magnitudes))
        return torch.cat([network(*part) for part in zip(*parts, strict=True)]).numpy().ravel()


def main() -> None:
    folder, rows, *networks = sys.argv[1:]
    folder = Path(folder)
    # The exporters' messages are about packages that this network does not need.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sky.simulate(int(rows), sky.SEED, folder / SKY)
    numpy.save(folder / REFERENCE, reference(sky.read(folder / SKY)))
    wanted = set(networks) - {"safetensors"}
    if wanted:
        wanted.add("onnx")
    for name, (_, make) in FILES.items():
        if name in wanted:
            make(folder)


if __name__ == "__main__":
    main()
