"""Galaxies per second of the published forward pass in PyTorch eager: `pytorch.py MODEL.safetensors THREADS`, then a
batch size per line on standard input; answers with seconds per batch. Waits for each line, to take turns.
"""

import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "crates/astromae/tests/fixtures"))
import reference  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def main():
    model_file, threads = sys.argv[1], int(sys.argv[2])
    started = time.perf_counter()
    torch.set_num_threads(threads)
    model = reference.ViT_Astro()
    unused = {name: value for name, value in model.state_dict().items() if "vis_inception.8.branch3" in name}
    tensors = {name: tensor.float() for name, tensor in load_file(model_file).items()}
    first = "inception_model.vis_inception.0"
    shared = {f"inception_model.conv2d_init.{part}": tensors[f"{first}.{part}"] for part in ("weight", "bias")}
    model.load_state_dict(unused | tensors | shared, strict=False)
    model = torch.nn.DataParallel(model).eval().cpu()
    with torch.inference_mode():
        model(torch.zeros(1, 5, 32, 32), torch.zeros(1, 5))
        print(f"{time.perf_counter() - started:.3f}", flush=True)
        for line in sys.stdin:
            batch = int(line)
            index = torch.arange(batch * 5 * 1024)
            images = ((index % 97) / 97.0).reshape(batch, 5, 32, 32)
            magnitudes = 16.0 + (torch.arange(batch * 5) % 13).reshape(batch, 5) / 4.0
            model(images, magnitudes)
            repeats = max(1, 512 // batch)
            started = time.perf_counter()
            for _ in range(repeats):
                model(images, magnitudes)
            print(f"{(time.perf_counter() - started) / repeats:.6f}", flush=True)


if __name__ == "__main__":
    main()
