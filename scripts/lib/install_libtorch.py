"""Puts libtorch, CPU only, into a folder: `python3 install_libtorch.py FOLDER`.

The tch crate wants exactly this version. PyPI's x86-64 wheel is the GPU build; its CPU half (`libtorch_cpu.so`,
`libc10.so`, `libgomp`) stands alone, but for two small CUDA libraries in its dynamic section, which come from NVIDIA's
own packages. `libtorch.so`, which would pull in the GPU half, is replaced by an empty one that depends on the CPU half.

Run again, it finds its work done. The folder appears whole or not at all.
"""

import fnmatch
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.13.0"

# package -> members of its wheel, as patterns, and the folder they go to. None keeps the path below `torch/`.
TORCH = {
    "torch/include/*": None,
    "torch/lib/libtorch_cpu.so": "lib",
    "torch/lib/libc10.so": "lib",
    "torch/lib/libgomp*.so*": "lib",
}
CUDA_STUBS = {
    "nvidia-cuda-runtime==13.0.*": {"*/libcudart.so.13": "lib"},
    "nvidia-cuda-cupti==13.0.*": {"*/libcupti.so.13": "lib"},
}
# The aarch64 wheel's CPU half also links Arm's libraries, which lie beside it.
ARM_LIBRARIES = {"torch/lib/libarm_compute*.so*": "lib", "torch.libs/*": "lib"}


def download(requirement: str, machine: str, folder: Path) -> Path:
    """The wheel of a package, by pip, which knows the user's index, proxy and cache."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(17, 35)] + [f"manylinux2014_{machine}"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--python-version",
            "3.12",
            "--implementation",
            "cp",
            *(argument for name in platforms for argument in ("--platform", name)),
            "--dest",
            str(folder),
            requirement,
        ],
        check=True,
    )
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, wanted: dict[str, str | None], target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for pattern, folder in wanted.items():
            for member in archive.namelist():
                if not fnmatch.fnmatch(member, pattern) or member.endswith("/"):
                    continue
                inner = Path(member).relative_to("torch") if folder is None else Path(folder, Path(member).name)
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(target / inner, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)


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
        packages = {f"torch=={VERSION}": TORCH | (ARM_LIBRARIES if machine == "aarch64" else {})}
        if machine == "x86_64":
            packages |= CUDA_STUBS
        built = Path(work, "libtorch")
        for index, (requirement, wanted) in enumerate(packages.items()):
            wheels = Path(work, str(index))
            unpack(download(requirement, machine, wheels), wanted, built)
            shutil.rmtree(wheels)
        subprocess.run(
            [
                "cc",
                "-shared",
                "-o",
                "libtorch.so",
                "-Wl,--no-as-needed",
                "-L.",
                "-ltorch_cpu",
                "-lc10",
                "-Wl,-rpath,$ORIGIN",
                "-Wl,-soname,libtorch.so",
                "-Wl,--allow-shlib-undefined",
            ],
            cwd=built / "lib",
            check=True,
        )
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
