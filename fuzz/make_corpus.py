"""Writes the seeds beside it, fuzz/corpus/TARGET: `python3 fuzz/make_corpus.py`, with Python's standard library alone.

Whole files and pickles are those of the fixtures. The network's tensors are put into one storage, since its seeds may
not have one member for each.
"""

import collections
import io
import json
import math
import pathlib
import pickle
import shutil
import sys
import types
import zipfile

ROOT = pathlib.Path(__file__).parent.parent
CORPUS = ROOT / "fuzz/corpus"
FILES = ROOT / "crates/torch-file/tests/fixtures"
NETWORK = ROOT / "crates/astromae/tests/fixtures/state-dict.pt"
PAYLOADS = ROOT / "payloads"

# What a pickler must find under these names, and nobody calls.
torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")


class FloatStorage:
    pass


class DoubleStorage:
    pass


def _rebuild_tensor_v2(*_):
    pass


for holder, thing in [(torch, FloatStorage), (torch, DoubleStorage), (utils, _rebuild_tensor_v2)]:
    thing.__module__ = holder.__name__
    setattr(holder, thing.__name__, thing)
sys.modules.update({"torch": torch, "torch._utils": utils})


class Storage:
    def __init__(self, cls, key, elements):
        self.id = ("storage", cls, key, "cpu", elements)


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        stride = tuple(math.prod(self.shape[dimension + 1 :]) for dimension in range(len(self.shape)))
        return _rebuild_tensor_v2, (self.storage, 0, tuple(self.shape), stride, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, Storage) else None


class Shapes(pickle.Unpickler):
    """Reads a state dict as shapes by name."""

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda _storage, _offset, shape, *_: shape
        return collections.OrderedDict if name == "OrderedDict" else name

    def persistent_load(self, _):
        return None


def pickled(value, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def put(target, name, contents):
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / name).write_bytes(contents)


def main():
    shutil.rmtree(CORPUS, ignore_errors=True)
    whole = [*FILES.glob("protocol-*.pt"), *FILES.glob("*module*.pt"), *FILES.glob("*state-dict.pt")]
    for file in sorted([*whole, FILES / "averaged.pt"]):
        put("zip_directory", file.stem, file.read_bytes())
        if zipfile.is_zipfile(file):
            archive = zipfile.ZipFile(file)
            put("pickle", file.stem, archive.read(f"{file.stem}/data.pkl"))

    for file in [*FILES.glob("texts-protocol-*.pt"), FILES / "arrays.npz"]:
        put("zip_directory", file.stem, file.read_bytes())
        if file.suffix == ".pt":
            put("pickle", file.stem, zipfile.ZipFile(file).read("archive/data.pkl"))

    images = Tensor(Storage(FloatStorage, "0", 2 * 5120), (2, 5, 32, 32))
    magnitudes = Tensor(Storage(DoubleStorage, "1", 10), (2, 5))
    redshifts = Tensor(Storage(FloatStorage, "2", 2), (2,))
    columns = {"images": images, "magnitudes": magnitudes, "redshifts": redshifts}
    for protocol in range(1, 6):
        put("dataset", f"dict-{protocol}", pickled(columns, protocol))
        put("dataset", f"tuple-{protocol}", pickled(tuple(columns.values()), protocol))
    for name in ["zip", "view", "channels-last", "no-redshift", "half"]:
        put("dataset", name, zipfile.ZipFile(FILES / f"{name}.pt").read(f"{name}/data.pkl"))

    with zipfile.ZipFile(NETWORK) as archive:
        shapes = Shapes(io.BytesIO(archive.read("state-dict/data.pkl"))).load()
    storage = Storage(FloatStorage, "0", 1 << 16)
    tensors = {name: Tensor(storage, shape) for name, shape in shapes.items() if not name.endswith("tracked")}
    put("module", "state-dict", pickled(tensors))
    put("module", "wrapped", pickled({"state_dict": {f"module._orig_mod.{n}": t for n, t in tensors.items()}}, 4))

    header, end = {"__metadata__": {"origin": "a seed"}}, 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * math.prod(tensor.shape)
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    put("safetensors", "bare", json.dumps(header).encode())
    header["__metadata__"]["astromae"] = '{"num_heads":3,"layer_norm_eps":1e-6,"batch_norm_eps":1e-5}'
    put("safetensors", "with-configuration", json.dumps(header).encode())

    for file in sorted(PAYLOADS.rglob("*.json")):
        if file.stat().st_size < 10_000:
            put("payload", "-".join(file.relative_to(PAYLOADS).with_suffix("").parts), file.read_bytes())
    everything = {
        "bucket": "b", "prefix": "p", "data_bucket": "d", "data_prefix": "q", "batch_size": "512", "world_size": 4,
        "file_limit": 3, "model": "m.safetensors", "result_path": "results/a", "engine": "native",
        "tolerated_failure_percentage": 1.5, "max_concurrency": 10, "overwrite": True, "script": "", "object_type": "",
    }  # fmt: skip
    put("payload", "everything", json.dumps(everything).encode())


if __name__ == "__main__":
    main()
