"""Installs libtorch, CPU only, into a folder: `python install_libtorch.py FOLDER`.

The tch crate needs exactly the version in libtorch-requirements.txt, and pip checks each wheel against the SHA-256
hashes there. The x86-64 wheel of PyTorch is the GPU build; its CPU half (`libtorch_cpu.so`, `libc10.so`, `libgomp`)
works alone, but for two small CUDA libraries that it links, which come from NVIDIA's own packages. `libtorch.so`, which
would load the GPU half, is replaced by an empty library that depends on the CPU half.

Where the folder has that version already, nothing is done. The folder appears whole or not at all.
"""

import fnmatch
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("libtorch-requirements.txt")
VERSION = re.search(r"^torch==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE).group(1)

# By wheel: the members that are taken, as patterns, and the folder each goes to. None keeps the path below `torch/`.
MEMBERS = {
    "torch-*.whl": {
        "torch/include/*": None,
        "torch/lib/libtorch_cpu.so": "lib",
        "torch/lib/libc10.so": "lib",
        "torch/lib/libgomp*.so*": "lib",
        # Arm's libraries, which the CPU half of the aarch64 wheel links.
        "torch/lib/libarm_compute*.so*": "lib",
        "torch.libs/*": "lib",
    },
    "nvidia_cuda_runtime-*.whl": {"*/libcudart.so.13": "lib"},
    "nvidia_cuda_cupti-*.whl": {"*/libcupti.so.13": "lib"},
}


def download(folder: Path) -> None:
    """Downloads this machine's wheels by pip, which knows the user's index, proxy and cache."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:"),
            # The libraries do not depend on Python's version: with one for all, every machine gets the same wheel.
            *("--python-version", "3.12"),
            *("--dest", folder, "--requirement", REQUIREMENTS),
        ],
        check=True,
    )


def unpack(wheel: Path, members: dict[str, str | None], target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for pattern, folder in members.items():
            for member in archive.namelist():
                if not fnmatch.fnmatch(member, pattern) or member.endswith("/"):
                    continue
                inner = Path(member).relative_to("torch") if folder is None else Path(folder, Path(member).name)
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, (target / inner).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)


def link_libtorch(folder: Path) -> None:
    """Links the empty libtorch.so beside the libraries that it depends on."""
    subprocess.run(
        [
            *("cc", "-shared", "-o", "libtorch.so", "-Wl,--no-as-needed", "-L.", "-ltorch_cpu", "-lc10"),
            *("-Wl,-rpath,$ORIGIN", "-Wl,-soname,libtorch.so", "-Wl,--allow-shlib-undefined"),
        ],
        cwd=folder,
        check=True,
    )


def install(target: Path) -> None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "aarch64"):
        sys.exit(
            f"there is no recipe for libtorch on {sys.platform} {machine}: "
            f"install libtorch {VERSION} yourself and set LIBTORCH to its folder"
        )
    # Beside the target, so that the rename at the end stays on one file system.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="libtorch-", dir=target.parent) as work:
        wheels, built = Path(work, "wheels"), Path(work, "libtorch")
        download(wheels)
        for wheel in wheels.iterdir():
            [members] = [members for name, members in MEMBERS.items() if fnmatch.fnmatch(wheel.name, name)]
            unpack(wheel, members, built)
        link_libtorch(built / "lib")
        (built / "build-version").write_text(f"{VERSION}\n")
        if target.exists():
            shutil.rmtree(target)
        built.rename(target)


def main() -> None:
    target = Path(sys.argv[1])
    version = target / "build-version"
    if version.exists() and version.read_text().strip() == VERSION:
        return
    print(f"installing libtorch {VERSION} into {target} (a download of 530 MB)", file=sys.stderr, flush=True)
    try:
        install(target)
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed to install libtorch: {error.cmd[0]} ended with {error.returncode}; what it said is above")


if __name__ == "__main__":
    main()
