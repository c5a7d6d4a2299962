"""The engines that are compared, by their names in the report, and the ratios that are formed of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    label: str
    # Whether it is of this repository, rather than what a user would run instead.
    ours: bool = False
    # Whether it reads the network as ONNX, rather than our safetensors file.
    reads_onnx: bool = False


ENGINES = {
    "native": Engine("native", ours=True),
    "tch": Engine("libtorch", ours=True),
    "pytorch_eager": Engine("PyTorch eager"),
    "torch_compile": Engine("torch.compile"),
    "torch_compile_autotune": Engine("torch.compile, max-autotune"),
    "onnxruntime": Engine("ONNX Runtime", reads_onnx=True),
    "openvino_f32": Engine("OpenVINO, f32", reads_onnx=True),
    "openvino_f32_streams": Engine("OpenVINO, f32, streams", reads_onnx=True),
    "openvino_default": Engine("OpenVINO as it comes", reads_onnx=True),
    "openvino_default_streams": Engine("OpenVINO as it comes, streams", reads_onnx=True),
}


def ratios(engines: list[str]) -> list[tuple[str, str]]:
    """Which engine is reported over which: the native one over each other, libtorch over the same library in Python."""
    pairs = [("tch", "pytorch_eager"), *(("native", other) for other in ENGINES if other != "native")]
    return [pair for pair in pairs if set(pair) <= set(engines)]
