"""The network in a runtime that users run it in from Python: `python -m bench.runtimes RUNTIME MODEL DATA THREADS`.

RUNTIME is a key of RUNTIMES, and MODEL the network in the form that it reads (bench.prepare).

The first line on standard output is a JSON object: the seconds from the model's file to the first redshift, and what
is measured (version, threads, precision). Then it reads the commands of crates/engines/examples/throughput.rs, and
answers as that does.

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
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy

from bench import sky


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
        self.model = model
        self.threads = threads

    def mode(self) -> contextlib.AbstractContextManager:
        """The context in which everything runs, loading apart."""
        return contextlib.nullcontext()

    def prepare(self, batch: int) -> None:
        """Makes the runtime ready for batches of this size, which all are until the next call."""

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        """The redshifts [n] of images [n, 5, 32, 32] and magnitudes [n, 5]."""
        raise NotImplementedError

    def check(self) -> None:
        """Raises WrongModeError where the runtime is not in the mode that its name says."""
        raise NotImplementedError

    def seconds_per_batch(self, galaxies: sky.Sky, batch: int, warm_up: int, repeats: int) -> float:
        for index in range(warm_up):
            self.predict(*galaxies.batch(index, batch))
        started = time.perf_counter()
        for index in range(repeats):
            self.predict(*galaxies.batch(index, batch))
        return (time.perf_counter() - started) / repeats


class PyTorchEager(Runtime):
    """Layer by layer, in `torch.inference_mode()`; with `bfloat16`, in autocast, which casts what it deems safe."""

    def __init__(self, model: Path, threads: int, bfloat16: bool = False):
        import torch

        from astromae import weights

        super().__init__(model, threads)
        self.torch, self.version = torch, f"PyTorch {torch.__version__}"
        self.bfloat16, self.precision = bfloat16, "bf16" if bfloat16 else "f32"
        torch.set_num_threads(threads)
        # Convolutions are faster so: by a sixth in f32, by a third in bfloat16.
        self.network = weights.load(model).to(memory_format=torch.channels_last)
        self.output = None

    @contextlib.contextmanager
    def mode(self):
        with self.torch.inference_mode(), self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.bfloat16):
            yield

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        images = self.torch.from_numpy(images).contiguous(memory_format=self.torch.channels_last)
        self.output = self.network(images, self.torch.from_numpy(magnitudes))
        return self.output.float().numpy().ravel()

    def check(self) -> None:
        torch = self.torch
        require(torch.is_inference_mode_enabled() and not torch.is_grad_enabled(), "PyTorch records gradients")
        require(self.output.grad_fn is None and not self.output.requires_grad, "the redshifts have a gradient")
        require(not self.network.training, "the network is in training")
        require(torch.get_num_threads() == self.threads, f"PyTorch has {torch.get_num_threads()} threads")
        require(torch.get_float32_matmul_precision() == "highest", "PyTorch may round products of matrices")
        require(torch.is_autocast_enabled("cpu") == self.bfloat16, "PyTorch casts to other bits than it is to")
        wanted = torch.bfloat16 if self.bfloat16 else torch.float32
        require(self.output.dtype == wanted, f"the redshifts are {self.output.dtype}")


class TorchCompile(PyTorchEager):
    """Compiled as a whole for each batch size, with the weights known to the compiler (freezing), which packs them.

    `mode` is PyTorch's: "max-autotune" chooses each kernel by timing several.
    """

    def __init__(self, model: Path, threads: int, mode: str = "default", bfloat16: bool = False):
        import torch._dynamo
        import torch._inductor.config

        super().__init__(model, threads, bfloat16)
        torch._inductor.config.freezing = True
        # What another run has compiled or chosen, maybe while the machine was busy, is not used again.
        torch._inductor.config.force_disable_caches = True
        # Above the number of batch sizes: with fullgraph, it is an error to reach it.
        torch._dynamo.config.recompile_limit = 64
        self.network = torch.compile(self.network, mode=mode, fullgraph=True, dynamic=False)
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
    """Its threads wait for work in a loop, as they do by default. Fixed shapes make it no faster."""

    def __init__(self, model: Path, threads: int, precision: str = "f32"):
        import onnxruntime

        super().__init__(model, threads)
        self.onnxruntime, self.version = onnxruntime, f"ONNX Runtime {onnxruntime.__version__}"
        self.precision = precision
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
    """OpenVINO, compiled for the batch size at hand: with that left open, it is up to a fifth slower at batch 1.

    Unless `f32` tells it to keep that, it computes in bfloat16 where the processor multiplies in it. With `streams`,
    one batch per thread is in flight at once, by its asynchronous queue: a program must have the batches for it, and
    the time is that of many batches, divided.
    """

    def __init__(self, model: Path, threads: int, f32: bool = False, streams: bool = False, quantised: bool = False):
        import openvino

        super().__init__(model, threads)
        self.openvino, self.version = openvino, f"OpenVINO {openvino.__version__.split('-')[0]}"
        self.settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        # As it comes, it is for the processor to say which of the two.
        self.allowed = ("int8", "f32+int8") if quantised else ("f32",) if f32 else ("bf16", "f32")
        if f32:
            self.settings["INFERENCE_PRECISION_HINT"] = "f32"
        if streams:
            self.settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": threads}
        self.core = openvino.Core()
        self.network = self.core.read_model(model)
        self.batch = 0

    def prepare(self, batch: int) -> None:
        if batch == self.batch:
            return
        self.batch, self.queue = batch, None
        self.network.reshape({"images": [batch, 5, 32, 32], "magnitudes": [batch, 5]})
        self.compiled = self.core.compile_model(self.network, "CPU", self.settings)
        self.request = self.compiled.create_infer_request()
        if self.settings["NUM_STREAMS"] > 1:
            self.queue = self.openvino.AsyncInferQueue(self.compiled, self.settings["NUM_STREAMS"])
        self.precision = self.executed_precision()

    def property(self, name: str) -> object:
        """A setting as the compiled network has it; types and hints by their names."""
        value = self.compiled.get_property(name)
        return value.get_type_name() if hasattr(value, "get_type_name") else getattr(value, "name", value)

    def executed_precision(self) -> str:
        """What the linear layers are computed in, as the compiled network says of each of them."""
        layers = [layer.get_rt_info() for layer in self.compiled.get_runtime_model().get_ops()]
        linear = [layer for layer in layers if layer["layerType"].value == "FullyConnected"]
        # Quantised ones have a sign or none.
        found = {layer["runtimePrecision"].value.replace("u8", "i8").replace("i8", "int8") for layer in linear}
        return "+".join(sorted(found))

    def predict(self, images: numpy.ndarray, magnitudes: numpy.ndarray) -> numpy.ndarray:
        found = self.request.infer([images, magnitudes], share_inputs=True, share_outputs=True)
        return next(iter(found.values())).ravel()

    def seconds_per_batch(self, galaxies: sky.Sky, batch: int, warm_up: int, repeats: int) -> float:
        if self.queue is None:
            return super().seconds_per_batch(galaxies, batch, warm_up, repeats)
        # Enough of them that the queue is full most of the time.
        self.in_flight(galaxies, batch, max(warm_up, len(self.queue)))
        return self.in_flight(galaxies, batch, max(repeats, 4 * len(self.queue)))

    def in_flight(self, galaxies: sky.Sky, batch: int, repeats: int) -> float:
        started = time.perf_counter()
        for index in range(repeats):
            self.queue.start_async(list(galaxies.batch(index, batch)), share_inputs=True)
        self.queue.wait_all()
        return (time.perf_counter() - started) / repeats

    def check(self) -> None:
        names = {"f32": "float32"}
        for name, wanted in self.settings.items():
            found = self.property(name)
            require(found in (wanted, names.get(wanted)), f"{name} is {found}, not {wanted}")
        require(self.precision in self.allowed, f"it computes in {self.precision}")
        require(self.property("EXECUTION_DEVICES") == ["CPU"], f"it runs on {self.property('EXECUTION_DEVICES')}")


RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    "pytorch_eager": PyTorchEager,
    "pytorch_eager_bfloat16": functools.partial(PyTorchEager, bfloat16=True),
    "torch_compile": TorchCompile,
    "torch_compile_autotune": functools.partial(TorchCompile, mode="max-autotune"),
    "torch_compile_bfloat16": functools.partial(TorchCompile, mode="max-autotune", bfloat16=True),
    "onnxruntime": OnnxRuntime,
    "onnxruntime_int8": functools.partial(OnnxRuntime, precision="int8"),
    "onnxruntime_int8_all": functools.partial(OnnxRuntime, precision="int8"),
    "openvino_f32": functools.partial(OpenVino, f32=True),
    "openvino_f32_streams": functools.partial(OpenVino, f32=True, streams=True),
    "openvino_default": OpenVino,
    "openvino_default_streams": functools.partial(OpenVino, streams=True),
    "openvino_int8": functools.partial(OpenVino, quantised=True),
    "openvino_int8_streams": functools.partial(OpenVino, quantised=True, streams=True),
    "openvino_int8_f32": functools.partial(OpenVino, quantised=True, f32=True),
    "openvino_int8_f32_streams": functools.partial(OpenVino, quantised=True, f32=True, streams=True),
}


def library(name: str) -> str:
    """What to import beforehand: importing a library is not loading a model, and is not timed."""
    prefixes = {"pytorch": "torch", "torch_compile": "torch._inductor", "onnxruntime": "onnxruntime"}
    return next((module for prefix, module in prefixes.items() if name.startswith(prefix)), "openvino")


def answer(runtime: Runtime, galaxies: sky.Sky, command: str, *numbers: int) -> object:
    batch, *counts = numbers
    runtime.prepare(batch)
    if command == "redshifts":
        batches = [runtime.predict(*galaxies.batch(index, batch)).tolist() for index in range(len(galaxies) // batch)]
        runtime.check()
        return [redshift for batch in batches for redshift in batch]
    # Compiled, where that is done at the first batch, and thereby in the mode that is checked.
    runtime.predict(*galaxies.batch(0, batch))
    runtime.check()
    seconds = runtime.seconds_per_batch(galaxies, batch, *counts)
    runtime.check()
    return seconds


def main() -> None:
    name, model, data, threads = sys.argv[1:]
    galaxies = sky.read(Path(data))
    importlib.import_module(library(name))
    started = time.perf_counter()
    runtime = RUNTIMES[name](Path(model), int(threads))
    with runtime.mode():
        runtime.prepare(1)
        runtime.predict(*galaxies.batch(0, 1))
        seconds = time.perf_counter() - started
        runtime.check()
        about = {"version": runtime.version, "threads": runtime.threads, "precision": runtime.precision}
        print(json.dumps({"seconds": round(seconds, 3), **about}), flush=True)
        for line in sys.stdin:
            command, *numbers = line.split()
            print(json.dumps(answer(runtime, galaxies, command, *map(int, numbers))), flush=True)


if __name__ == "__main__":
    main()
