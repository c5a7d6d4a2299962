"""The published network in the runtimes that Python offers: `runtimes.py RUNTIME MODEL THREADS`, then a batch size per
line on standard input; answers with seconds per batch. The first answer is the seconds from the model's file to the first
redshift. Waits for each line, to take turns.

RUNTIME is pytorch, onnxruntime or openvino; the latter two read an ONNX file, which `runtimes.py export MODEL FILE.onnx`
makes of a safetensors one.
"""

import pathlib
import sys
import time
from typing import Callable

import numpy

Predict = Callable[[numpy.ndarray, numpy.ndarray], object]


def network(model_file: str):
    """The published classes with the weights of a safetensors file."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "crates/astromae/tests/fixtures"))
    import reference
    from safetensors.torch import load_file

    model = reference.ViT_Astro()
    unused = {name: value for name, value in model.state_dict().items() if "vis_inception.8.branch3" in name}
    tensors = {name: tensor.float() for name, tensor in load_file(model_file).items()}
    first = "inception_model.vis_inception.0"
    shared = {f"inception_model.conv2d_init.{part}": tensors[f"{first}.{part}"] for part in ("weight", "bias")}
    model.load_state_dict(unused | tensors | shared, strict=False)
    return model.eval()


def pytorch(model_file: str, threads: int) -> Predict:
    """Eager, and wrapped for several GPUs, as published."""
    import torch

    torch.set_num_threads(threads)
    torch.inference_mode().__enter__()
    model = torch.nn.DataParallel(network(model_file)).cpu()
    return lambda images, magnitudes: model(torch.from_numpy(images), torch.from_numpy(magnitudes))


def onnxruntime(model_file: str, threads: int) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
    return lambda images, magnitudes: session.run(None, {"images": images, "magnitudes": magnitudes})


def openvino(model_file: str, threads: int) -> Predict:
    """As it comes, which is for latency; in f32, as all others."""
    import openvino

    compiled = openvino.Core().compile_model(
        model_file, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    return lambda images, magnitudes: compiled([images, magnitudes])


def export(model_file: str, onnx_file: str) -> None:
    import logging
    import warnings

    import torch

    # It has much to say of what is not installed and not needed.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    images, magnitudes = torch.zeros(2, 5, 32, 32), torch.zeros(2, 5)
    batch = torch.export.Dim("batch")
    torch.onnx.export(network(model_file), (images, magnitudes), onnx_file, dynamo=True, external_data=False,
                      input_names=["images", "magnitudes"], dynamic_shapes=({0: batch}, {0: batch}), verbose=False)


def inputs(batch: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Those of the other engines (crates/engines/examples/throughput.rs)."""
    images = (numpy.arange(batch * 5 * 1024) % 97 / 97).astype("f4").reshape(batch, 5, 32, 32)
    magnitudes = (16 + numpy.arange(batch * 5) % 13 / 4).astype("f4").reshape(batch, 5)
    return images, magnitudes


def main() -> None:
    runtime, model_file, argument = sys.argv[1:]
    if runtime == "export":
        return export(model_file, argument)
    # Importing the library is not loading the model.
    __import__({"pytorch": "torch"}.get(runtime, runtime))
    started = time.perf_counter()
    predict = {"pytorch": pytorch, "onnxruntime": onnxruntime, "openvino": openvino}[runtime](model_file, int(argument))
    predict(*inputs(1))
    print(f"{time.perf_counter() - started:.3f}", flush=True)
    for line in sys.stdin:
        batch = int(line)
        images, magnitudes = inputs(batch)
        predict(images, magnitudes)
        repeats = max(1, 256 // batch)
        started = time.perf_counter()
        for _ in range(repeats):
            predict(images, magnitudes)
        print(f"{(time.perf_counter() - started) / repeats:.6f}", flush=True)


if __name__ == "__main__":
    main()
