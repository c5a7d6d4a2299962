"""Makes what the benchmark needs before it starts: `python -m bench.prepare FOLDER ROWS NETWORK…`.

That is a sky of so many galaxies, their redshifts in float64, and the network in each form that an engine reads it in:
a key of FILES. It is a process of its own, so that PyTorch's memory is gone when the engines are measured.
"""

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


def quantised_onnx(folder: Path, name: str, operators: list[str]) -> None:
    """ONNX Runtime's dynamic quantisation: weights per output channel, activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        folder / FILES["onnx"][0],
        folder / FILES[name][0],
        op_types_to_quantize=operators,
        per_channel=True,
        weight_type=QuantType.QInt8,
    )


def quantised_openvino(folder: Path) -> None:
    """NNCF's quantisation after training, by galaxies of another sky, with its settings for transformers."""
    import nncf
    import openvino

    sky.simulate(CALIBRATION_GALAXIES, sky.CALIBRATION_SEED, folder / "calibration.pt")
    galaxies = sky.read(folder / "calibration.pt")
    batches = (galaxies.batch(index, 1) for index in range(len(galaxies)))
    samples = nncf.Dataset([{"images": images, "magnitudes": magnitudes} for images, magnitudes in batches])
    quantised = nncf.quantize(
        openvino.Core().read_model(folder / FILES["onnx"][0]),
        samples,
        subset_size=CALIBRATION_GALAXIES,
        model_type=nncf.ModelType.TRANSFORMER,
    )
    openvino.save_model(quantised, folder / FILES["openvino_int8"][0])


# Each form of the network: the file, and what makes it of "onnx", which is made first.
FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "onnx": ("model.onnx", onnx),
    # The products of matrices with weights are the transformer's; the last layers are Gemm.
    "onnx_int8_transformer": (
        "transformer.int8.onnx",
        lambda folder: quantised_onnx(folder, "onnx_int8_transformer", ["MatMul"]),
    ),
    "onnx_int8": ("int8.onnx", lambda folder: quantised_onnx(folder, "onnx_int8", ["MatMul", "Gemm"])),
    "openvino_int8": ("int8.xml", quantised_openvino),
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
        batches = zip(
            *(torch.from_numpy(array).double().split(128) for array in (galaxies.images, galaxies.magnitudes))
        )
        return torch.cat([network(*batch) for batch in batches]).numpy().ravel()


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
