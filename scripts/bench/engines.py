"""The engines that are compared, by their names in the report, and the ratios that are formed of them."""

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    label: str
    # What `throughput` calls it, where it is of this repository rather than what a user would run instead.
    ours: str | None = None
    # What ours is asked for. The others say themselves what they compute in.
    precision: str = "f32"
    # Whether ours has as many small batches in flight as threads, as pipeline's loop over batches has.
    streams: bool = False
    # The file that it reads the network from: one of bench.networks.FILES.
    network: str = "safetensors"


ENGINES = {
    "native": Engine("native, f32", ours="native"),
    "native_streams": Engine("native, f32, streams", ours="native", streams=True),
    "native_int8": Engine("native, int8", ours="native", precision="int8"),
    "native_int8_streams": Engine("native, int8, streams", ours="native", precision="int8", streams=True),
    "tch": Engine("libtorch", ours="tch"),
    "pytorch_eager": Engine("PyTorch eager"),
    "pytorch_eager_bfloat16": Engine("PyTorch eager, autocast"),
    "torch_compile": Engine("torch.compile"),
    "torch_compile_autotune": Engine("torch.compile, max-autotune"),
    "torch_compile_bfloat16": Engine("torch.compile, max-autotune, autocast"),
    "onnxruntime": Engine("ONNX Runtime", network="onnx"),
    "onnxruntime_int8": Engine("ONNX Runtime, transformer quantised", network="onnx_int8_transformer"),
    "onnxruntime_int8_all": Engine("ONNX Runtime, all linear layers quantised", network="onnx_int8"),
    "openvino_f32": Engine("OpenVINO, told f32", network="onnx"),
    "openvino_f32_streams": Engine("OpenVINO, told f32, streams", network="onnx"),
    "openvino_default": Engine("OpenVINO as it comes", network="onnx"),
    "openvino_default_streams": Engine("OpenVINO as it comes, streams", network="onnx"),
    "openvino_int8": Engine("OpenVINO, quantised by NNCF", network="openvino_int8"),
    "openvino_int8_streams": Engine("OpenVINO, quantised by NNCF, streams", network="openvino_int8"),
    "openvino_int8_f32": Engine("OpenVINO, transformer by NNCF, told f32", network="openvino_int8_transformer"),
    "openvino_int8_f32_streams": Engine(
        "OpenVINO, transformer by NNCF, told f32, streams", network="openvino_int8_transformer"
    ),
}
OURS = [name for name, engine in ENGINES.items() if engine.ours]
NATIVE = [name for name in OURS if name.startswith("native")]
NATIVE_F32 = [name for name in NATIVE if ENGINES[name].precision == "f32"]

# The ratios that are formed of the faster of several engines: name, the engines over which others.
BEST_OF = {
    "native_int8_vs_f32": (["native_int8"], ["native"]),
    "native_vs_torch_compile": (["native"], ["torch_compile", "torch_compile_autotune"]),
    "native_best_vs_openvino_default": (NATIVE, ["openvino_default", "openvino_default_streams"]),
}


def pairs(engines: list[str]) -> list[tuple[str, str]]:
    """Which engine is reported over which: native in f32 over each other, libtorch over the same library in Python."""
    found = [("tch", "pytorch_eager"), *(("native", other) for other in ENGINES if other not in NATIVE)]
    return [pair for pair in found if set(pair) <= set(engines)]


def ratios(turns: list[dict[str, float]], precisions: dict[str, str]) -> dict[str, dict[str, float]]:
    """The ratios at one batch size, formed within each of the turns, which are galaxies per second of each engine."""
    formed = {f"{one}_vs_{other}": ([one], [other]) for one, other in pairs(list(precisions))} | BEST_OF
    others = [name for name in precisions if name not in OURS]
    formed["native_vs_best_f32_peer"] = (NATIVE_F32, [name for name in others if precisions[name] == "f32"])
    formed["native_best_vs_best_peer"] = (NATIVE, others)
    found = {}
    for ratio, (ones, others) in formed.items():
        ones, others = ([name for name in names if name in precisions] for names in (ones, others))
        if ones and others:
            one, other = fastest(turns, ones), fastest(turns, others)
            found[ratio] = spread([turn[one] / turn[other] for turn in turns]) | {"of": [one, other]}
    return found


def fastest(turns: list[dict[str, float]], names: list[str]) -> str:
    return max(names, key=lambda name: statistics.median(turn[name] for turn in turns))


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
