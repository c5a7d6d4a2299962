"""What PyTorch saves is what we read, and what we write is what PyTorch loads.

Over random tensors and NumPy arrays of all floating-point types, views, permutations, both forms of torch.save and all
protocols of pickle; and over data sets with columns of their own, of all types, that `cosmic split` cuts.

    scripts/train.sh --self-test            once, which makes .tools/pytorch-venv
    .tools/pytorch-venv/bin/python scripts/round_trips.py [FILES] [--zip64]

--zip64 adds a file of 4.4 GB, whose sizes do not fit 32 bits.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import tempfile

import numpy
import torch

ROOT = pathlib.Path(__file__).parent.parent
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def example(name, *arguments):
    command = [
        "cargo",
        "run",
        "--quiet",
        "--release",
        "-p",
        "torch-file",
        "--example",
        name,
        "--",
        *map(str, arguments),
    ]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def random_tensor(choose):
    """A tensor of up to four dimensions, as a view of something larger."""
    shape = [choose.choice([0, 1, 1, 2, 3, 4, 5]) for _ in range(choose.randrange(5))]
    dtype = choose.choice(DTYPES)
    tensor = torch.arange(math.prod(shape)).reshape(shape).sub(7).to(dtype)
    for _ in range(choose.randrange(4)):
        dimension = choose.randrange(tensor.ndim) if tensor.ndim else None
        match choose.randrange(8):
            case 0 if tensor.ndim:
                tensor = tensor.permute(choose.sample(range(tensor.ndim), tensor.ndim))
            case 1 if tensor.ndim:
                tensor = tensor.narrow(dimension, choose.randrange(tensor.shape[dimension] + 1), 0)
            case 2 if tensor.ndim and tensor.shape[dimension] > 1:
                tensor = tensor.narrow(dimension, 1, tensor.shape[dimension] - 1)
            case 3 if tensor.ndim:
                tensor = tensor[(slice(None),) * dimension + (slice(None, None, 2),)]
            case 4:
                tensor = tensor.unsqueeze(0).expand(2, *tensor.shape)
            case 5 if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            case 6 if dtype in (torch.float32, torch.float64):
                tensor = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
            case 7 if tensor.ndim > 1:
                tensor = tensor.diagonal(dim1=0, dim2=1)
    return tensor


def random_array(choose):
    """A NumPy array of either byte order, in either order of dimensions."""
    array = random_tensor(choose).resolve_neg().float().numpy()
    array = array.astype(choose.choice(["<f4", ">f4", "<f8", ">f8", "<f2", ">f2"]))
    return numpy.asfortranarray(array) if choose.random() < 0.5 else array


def check_reading(folder, files, seed):
    choose = random.Random(seed)
    expected = {}
    for number in range(files):
        path = folder / f"{number}.pt"
        values = {f"tensor {index}": random_tensor(choose) for index in range(4)}
        if values["tensor 0"].numel():
            values["the same storage"] = values["tensor 0"][..., :1] if values["tensor 0"].ndim else values["tensor 0"]
        arrays = {f"array {index}": random_array(choose) for index in range(2)}
        protocol, is_zip = choose.randrange(6), choose.random() < 0.5
        torch.save({**values, **arrays}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
        for key, value in {**values, **arrays}.items():
            expected[str(path), key] = (protocol, is_zip, value)
    for line in example("print_tensors", *sorted({path for path, _ in expected})).splitlines():
        path, key, shape, values = line.split("\t")
        protocol, is_zip, value = expected.pop((path, key))
        found = (json.loads(shape), json.loads(values))
        wanted = (list(value.shape), value.flatten().tolist())
        assert found == wanted, f"{path} {key}, protocol {protocol}, zip {is_zip}: {found} instead of {wanted}"
    assert not expected, f"not read: {list(expected)[:5]}"


def random_column(choose, rows):
    """What a data set may say of each of its galaxies."""
    match choose.randrange(4):
        case 0:
            texts = [choose.choice(["", "M 31", "é", "NGC 1/2", "星"]) for _ in range(rows)]
            return choose.choice([texts, tuple(texts), numpy.array(texts), [*texts[:-1], None]])
        case 1:
            numbers = [choose.choice([choose.randrange(-(2**63), 2**63), choose.randrange(9)]) for _ in range(rows)]
            return choose.choice([numbers, [value % 2 == 0 for value in numbers], [value / 3 for value in numbers]])
        case 2:
            values = numpy.array([choose.randrange(2**64) for _ in range(rows)], dtype=numpy.uint64)
            return torch.from_numpy(values.astype(choose.choice(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])))
        case _:
            shape = choose.choice([(rows,), (rows, 1), (rows, choose.randrange(2, 65))])
            values = torch.arange(math.prod(shape)).reshape(shape).sub(7)
            return values.to(choose.choice([*DTYPES, torch.bool, torch.int16]))


def as_list(column):
    """Its values. A tensor of one column is one of numbers, and a list of numbers comes back as a tensor."""
    if torch.is_tensor(column) or isinstance(column, numpy.ndarray):
        return (column.squeeze(-1) if column.ndim > 1 and column.shape[1] == 1 else column).tolist()
    return list(column)


def check_columns(folder, data_sets, seed):
    """Columns of a data set, in one file after the other that `cosmic split` has cut it into."""
    choose = random.Random(seed)
    cosmic = ["cargo", "run", "--quiet", "--release", "-p", "cosmic", "--"]
    for number in range(data_sets):
        path, parts = folder / f"data-set-{number}.pt", folder / f"parts-{number}"
        rows = choose.randrange(2, 9)
        columns = {f"column of mine {index}": random_column(choose, rows) for index in range(6)}
        tensors = {"images": torch.zeros(rows, 5, 32, 32), "magnitudes": torch.full((rows, 5), 18.0)}
        torch.save({**tensors, **columns}, path, pickle_protocol=choose.randrange(2, 6))
        size = f"{choose.randrange(1, 5) * 21_000}"
        subprocess.run([*cosmic, "split", path, "--partition-size", size, "--out", parts], cwd=ROOT, check=True)
        files = sorted(parts.iterdir(), key=lambda file: int(file.stem))
        cut = [torch.load(file, weights_only=True) for file in files]
        for name, column in columns.items():
            found = [value for part in cut for value in as_list(part[name])]
            wanted = as_list(column)
            types = {getattr(part[name], "dtype", list) for part in cut}
            same_type = types == {column.dtype} if torch.is_tensor(column) else len(types) == 1
            same = [str(value) for value in found] == [str(value) for value in wanted]
            assert same and same_type, f"{path} {name}: {found} of {types} instead of {wanted}"


def check_writing(folder, rows):
    path = folder / "ours.pt"
    example("write_dataset", path, rows)
    first, second = torch.load(path, weights_only=False).tensors
    assert (first.shape, second.shape) == ((rows, 3), (rows,))
    for start in range(0, rows, 10_000_000):
        expected = torch.arange(3 * start, 3 * min(rows, start + 10_000_000))
        assert torch.equal(first[start : start + 10_000_000].flatten(), expected.float())
        assert torch.equal(second[start : start + 10_000_000], expected[::3].double() / 3)


def check_zip64(folder):
    path = folder / "large.pt"
    large = torch.zeros(1_100_000_000, dtype=torch.float32)
    torch.save({"large": large[-3:], "behind": torch.arange(3.0)}, path)
    lines = [line.split("\t")[1:] for line in example("print_tensors", path).splitlines()]
    assert lines == [["large", "[3]", "[0.0, 0.0, 0.0]"], ["behind", "[3]", "[0.0, 1.0, 2.0]"]], lines
    path.unlink()
    # Ours, of 4.3 GB.
    check_writing(folder, 215_000_000)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=int, nargs="?", default=300)
    parser.add_argument("--zip64", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_reading(folder, options.files, options.seed)
        check_columns(folder, options.files // 10, options.seed)
        for rows in [0, 1, 1_000]:
            check_writing(folder, rows)
        if options.zip64:
            check_zip64(folder)
    print(f"{options.files} files of PyTorch are read as they are, and ours are loaded as they are")


if __name__ == "__main__":
    main()
