"""The network in a runtime that users run it in from Python: `python -m bench.runtimes RUNTIME MODEL THREADS`.

RUNTIME is a key of RUNTIMES. The PyTorch ones read a safetensors file, the others an ONNX file, which
`python -m bench.runtimes export MODEL FILE.onnx` makes of it.

The first line on standard output is a JSON object: the seconds from the model's file to the first redshift, and what
is measured (version, threads, precision, and the redshifts of a few galaxies, which the benchmark compares). Then each
line of standard input is a batch size, and its answer a line with the seconds per batch. It waits for each line, so
that the benchmark can take turns with other engines on the same cores.

Before a number is printed, the process asks its runtime whether it is in the mode that the number is said to be of:
gradients off, compiled as a whole, so many threads, in this precision. This benchmark once entered
`torch.inference_mode()` without holding the context, which ends when it is garbage-collected: PyTorch ran with
gradients on, at about half its speed.
"""

import contextlib
import functools
import importlib
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy

# The galaxies whose redshifts are compared between the runtimes.
COMPARED = 16


class WrongModeError(Exception):
    """The runtime does not do what its numbers would be said to be of."""


def require(condition: bool, message: str) -> None:
    # Not `assert`, which `python -O` leaves out.
    if not condition:
        raise WrongModeError(message)


class Runtime:
    """The network, loaded."""

    version: str
    precision = "f32"

    def __init__(self, model: Path, threads: int):
        self.threads = threads

    def mode(self) -> contextlib.AbstractContextManager:
        """The context in which everything runs, loading apart."""
        return contextlib.nullcontext()

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        """The redshifts [n] of images [n, 5, 32, 32] and magnitudes [n, 5]."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises WrongModeError where the runtime is not in the mode that its name says."""
        raise NotImplementedError

    def seconds_per_batch(self, images: numpy.ndarray, magnitudes: numpy.ndarray, repeats: int) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            self.predict(images, magnitudes)
        return (time.perf_counter() - started) / repeats


class PyTorchEager(Runtime):
    """As the published code runs it: layer by layer, in `torch.no_grad()`, wrapped for several GPUs."""

    def __init__(self, model: Path, threads: int):
        import torch

        from astromae import weights

        super().__init__(model, threads)
        self.torch, self.version = torch, torch.__version__
        torch.set_num_threads(threads)
        self.network = torch.nn.DataParallel(weights.load(model)).cpu().eval()
        self.output = None

    def mode(self) -> contextlib.AbstractContextManager:
        return self.torch.no_grad()

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        self.output = self.network(self.torch.from_numpy(images), self.torch.from_numpy(magnitudes))
        return self.output.detach().numpy().ravel()

    def check(self) -> None:
        torch = self.torch
        require(not torch.is_grad_enabled(), "PyTorch records gradients")
        require(self.output.grad_fn is None and not self.output.requires_grad, "the redshifts have a gradient")
        require(not self.network.training, "the network is in training")
        require(torch.get_num_threads() == self.threads, f"PyTorch has {torch.get_num_threads()} threads")
        require(torch.get_float32_matmul_precision() == "highest", "PyTorch may round products of matrices")
        require(not torch.is_autocast_enabled("cpu"), "PyTorch casts to fewer bits")


class TorchCompile(PyTorchEager):
    """Compiled as a whole for each batch size, with the weights known to the compiler (freezing), which packs them.

    `mode` is PyTorch's: "max-autotune" chooses each kernel by timing several.
    """

    def __init__(self, model: Path, threads: int, mode: str = "default"):
        import torch._dynamo
        import torch._inductor.config

        super().__init__(model, threads)
        torch._inductor.config.freezing = True
        # What another run has compiled or chosen, maybe while the machine was busy, is not used again.
        torch._inductor.config.force_disable_caches = True
        # Above the number of batch sizes: with fullgraph, it is an error to reach it.
        torch._dynamo.config.recompile_limit = 64
        self.network = torch.compile(self.network.module, mode=mode, fullgraph=True, dynamic=False)
        self.batch_sizes: set[int] = set()

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        if len(images) in self.batch_sizes:
            return super().predict(images, magnitudes)
        self.batch_sizes.add(len(images))
        # The compiler writes warnings and each kernel's timings to standard error; errors are raised.
        with contextlib.redirect_stderr(io.StringIO()):
            return super().predict(images, magnitudes)

    def check(self) -> None:
        super().check()
        counters = self.torch._dynamo.utils.counters
        graphs = counters["stats"]["unique_graphs"]
        require(graphs == len(self.batch_sizes), f"{graphs} graphs for {len(self.batch_sizes)} batch sizes")
        require(not counters["graph_break"], f"the graph is broken: {dict(counters['graph_break'])}")


class OnnxRuntime(Runtime):
    def __init__(self, model: Path, threads: int):
        import onnxruntime

        super().__init__(model, threads)
        self.onnxruntime, self.version = onnxruntime, onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        return self.session.run(None, {"images": images, "magnitudes": magnitudes})[0].ravel()

    def check(self) -> None:
        options = self.session.get_session_options()
        require(options.intra_op_num_threads == self.threads, f"it has {options.intra_op_num_threads} threads")
        everything = self.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        require(options.graph_optimization_level == everything, "it does not optimise all it can")
        require(self.session.get_providers() == ["CPUExecutionProvider"], "it does not run on the CPU")


class OpenVino(Runtime):
    """OpenVINO as it comes: one batch at a time, in bfloat16 where the processor multiplies in it.

    `f32` tells it to keep f32. With `streams`, one batch per thread is in flight at once, by its asynchronous queue: a
    program must have the batches for it, and the time is that of many batches, divided.
    """

    def __init__(self, model: Path, threads: int, f32: bool = False, streams: bool = False):
        import openvino

        super().__init__(model, threads)
        self.settings = {"INFERENCE_NUM_THREADS": threads}
        if f32:
            self.settings["INFERENCE_PRECISION_HINT"] = "f32"
        if streams:
            self.settings["NUM_STREAMS"] = threads
        self.compiled = openvino.Core().compile_model(model, "CPU", self.settings)
        self.queue = openvino.AsyncInferQueue(self.compiled, threads) if streams else None
        self.precision = self.property("INFERENCE_PRECISION_HINT")
        self.version = openvino.__version__.split("-")[0]

    def property(self, name: str) -> object:
        """A setting as the compiled network has it; types by their names."""
        value = self.compiled.get_property(name)
        return value.get_type_name() if hasattr(value, "get_type_name") else value

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        return self.compiled([images, magnitudes], share_inputs=True)[0].ravel()

    def seconds_per_batch(self, images: numpy.ndarray, magnitudes: numpy.ndarray, repeats: int) -> float:
        if self.queue is None:
            return super().seconds_per_batch(images, magnitudes, repeats)
        # Enough of them that the queue is full most of the time.
        repeats = max(repeats, 3 * len(self.queue))
        started = time.perf_counter()
        for _ in range(repeats):
            self.queue.start_async([images, magnitudes], share_inputs=True)
        self.queue.wait_all()
        return (time.perf_counter() - started) / repeats

    def check(self) -> None:
        for name, wanted in self.settings.items():
            require(self.property(name) == wanted, f"{name} is {self.property(name)}, not {wanted}")
        require(self.property("EXECUTION_DEVICES") == ["CPU"], f"it runs on {self.property('EXECUTION_DEVICES')}")


RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    "pytorch_eager": PyTorchEager,
    "torch_compile": TorchCompile,
    "torch_compile_autotune": functools.partial(TorchCompile, mode="max-autotune"),
    "onnxruntime": OnnxRuntime,
    "openvino_f32": functools.partial(OpenVino, f32=True),
    "openvino_f32_streams": functools.partial(OpenVino, f32=True, streams=True),
    "openvino_default": OpenVino,
    "openvino_default_streams": functools.partial(OpenVino, streams=True),
}
# Importing a library is not loading a model, and is not timed.
LIBRARIES = {
    "pytorch_eager": "torch",
    "torch_compile": "torch._inductor",
    "torch_compile_autotune": "torch._inductor",
    "onnxruntime": "onnxruntime",
}


def export(model: Path, onnx_file: Path) -> None:
    """Writes the network as ONNX, for any batch size."""
    import torch

    from astromae import weights

    # The exporter's messages are about packages that this network does not need.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        weights.load(model),
        (torch.zeros(2, 5, 32, 32), torch.zeros(2, 5)),
        onnx_file,
        dynamo=True,
        external_data=False,
        input_names=["images", "magnitudes"],
        dynamic_shapes=({0: batch}, {0: batch}),
        verbose=False,
    )


def inputs(batch: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The galaxies that the other engines are measured with (crates/engines/examples/throughput.rs)."""
    images = (numpy.arange(batch * 5 * 1024) % 97 / 97).astype("f4").reshape(batch, 5, 32, 32)
    magnitudes = (16 + numpy.arange(batch * 5) % 13 / 4).astype("f4").reshape(batch, 5)
    return images, magnitudes


def main() -> None:
    name, model, argument = sys.argv[1:]
    if name == "export":
        export(Path(model), Path(argument))
        return
    importlib.import_module(LIBRARIES.get(name, "openvino"))
    started = time.perf_counter()
    runtime = RUNTIMES[name](Path(model), int(argument))
    with runtime.mode():
        runtime.predict(*inputs(1))
        seconds = time.perf_counter() - started
        # One by one: another batch size would be compiled for.
        images, magnitudes = inputs(COMPARED)
        redshifts = [float(runtime.predict(images[row:][:1], magnitudes[row:][:1])[0]) for row in range(COMPARED)]
        runtime.check()
        about = {"version": runtime.version, "threads": runtime.threads, "precision": runtime.precision}
        print(json.dumps({"seconds": round(seconds, 3), "redshifts": redshifts, **about}), flush=True)
        for line in sys.stdin:
            batch = int(line)
            images, magnitudes = inputs(batch)
            runtime.predict(images, magnitudes)
            runtime.check()
            seconds = runtime.seconds_per_batch(images, magnitudes, max(1, 256 // batch))
            runtime.check()
            print(f"{seconds:.6f}", flush=True)


if __name__ == "__main__":
    main()
