"""Zips the functions for Lambda's provided.al2023 runtime. Run by scripts/package.sh, after the build.

Each function is one binary. The inference zip holds the model too, and, if its binary was built with the engine on
libtorch, that library, packed (see crates/launcher). `model.json`, in that zip and in the initializer's, describes the
model, so that a plan names the one that ranks will use.

The same inputs give the same bytes, on any day: a deployment uploads only what changed.

Binaries for Lambda are linked by zig, which knows the C library's symbols of any version. Those that cargo links
alone, for this machine and with libtorch, take them from the system. Where that is newer than Lambda's, the zips run on
the local stack and not on AWS: they are refused, or, with --local, marked, and infra/deploy.py refuses to deploy marked
ones to AWS.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import zstandard

from sources import sources_sha256

ROOT = Path(__file__).resolve().parents[2]
# infra/template.yaml and, for `cargo lambda deploy`, Cargo.toml have this path: it stays here where CARGO_TARGET_DIR
# moves the build. It is not target/lambda, where `cargo lambda build` puts binaries without what belongs beside them.
PACKAGES = ROOT / "target/packages"
FUNCTIONS = ("initializer", "inference", "summarizer")

# Lambda's limits, in bytes: unpacked, and for an upload that does not go through S3.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNPACKED_LIMIT = 250 << 20
DIRECT_UPLOAD_LIMIT = 50 << 20

# What Amazon Linux 2023 has: glibc 2.34, and libstdc++ of GCC 11.
# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
# https://docs.aws.amazon.com/linux/al2023/ug/c-cplusplus.html
# https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html
NEWEST_SYMBOLS = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0)}
PROVIDED_BY_LAMBDA = re.compile(r"(libc|libm|libdl|libpthread|librt|libutil|libgcc_s|libstdc\+\+|ld-linux.*)\.so\.\d+")

# zstd -10 brings libtorch from 445 to 93 MB in seconds; -19 saves 12 MB more and takes minutes.
ZSTD_LEVEL = 10
# The earliest time that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


class Refused(Exception):
    """An error that the user can mend; its text says how."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/package.sh", description="make the functions' zips")
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "payloads/demo/model.safetensors",
        metavar="FILE",
        help="packaged with the inference function (default: the demo's model)",
    )
    parser.add_argument(
        "--cargo-lambda", type=Path, metavar="DIR", help="where cargo-lambda put them (default: where cargo does)"
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="for the local stack on this machine: a C library newer than Lambda's is no error",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    try:
        report = package(arguments.model, arguments.cargo_lambda, arguments.local)
    except (Refused, OSError) as error:
        sys.exit(f"failed to package: {error}")
    if arguments.json:
        print(json.dumps(report))
        return
    for zipped in report["functions"].values():
        s3 = ", deployed through S3" if zipped["bytes"] > DIRECT_UPLOAD_LIMIT else ""
        print(
            f"{zipped['path']}: {megabytes(zipped['bytes'])} MB, {megabytes(zipped['unpacked_bytes'])} MB unpacked{s3}"
        )
    print(f"for {report['architecture']}; model: {report['model']['name']}, SHA-256 {report['model']['sha256']}")
    if report["local_only"]:
        print(f"for the local stack only: {report['local_only']}")


def package(model: Path, cargo_lambda: Path | None, local: bool) -> dict:
    if not model.is_file():
        raise Refused(f"there is no model {model}: name one with --model FILE")
    release = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release")
    binaries = {
        name: built(cargo_lambda / name / "bootstrap" if cargo_lambda else release / name) for name in FUNCTIONS
    }
    libraries = needed_libraries(binaries["inference"], libtorch() / "lib")
    if libraries:
        binaries["launcher"] = built(release / "launcher")
    too_new = next(filter(None, map(newer_than_lambda, (*binaries.values(), *libraries))), None)
    if too_new and not local:
        raise Refused(
            f"{too_new}: leave out --libtorch, or build on a system that is no newer, Amazon Linux 2023 or "
            "Ubuntu 22.04 (--local packages for the local stack all the same)"
        )

    description = {"name": model.name, "sha256": sha256(model), "bytes": model.stat().st_size}
    described = (json.dumps(description, indent=2) + "\n").encode()
    contents = {
        "initializer": {"bootstrap": binaries["initializer"], "model.json": described},
        "inference": {
            "bootstrap": binaries["inference"],
            "model.json": described,
            # Also where it is a checkpoint: the reader looks at the contents, not at the name.
            "model.safetensors": model,
        },
        "summarizer": {"bootstrap": binaries["summarizer"]},
    }
    if libraries:
        archive = packed(libraries)
        contents["inference"] |= {
            "bootstrap": binaries["launcher"],
            "inference": binaries["inference"],
            archive.name: archive,
        }
    functions = {name: write_zip(PACKAGES / name / "bootstrap.zip", files) for name, files in contents.items()}
    report = {
        "architecture": architecture(binaries["inference"]),
        "functions": functions,
        "model": description,
        "local_only": too_new,
        "sources_sha256": sources_sha256(),
    }
    (PACKAGES / "package.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def built(binary: Path) -> Path:
    if not binary.is_file():
        raise Refused(f"there is no {binary}: run scripts/package.sh without --no-build")
    return binary


def architecture(binary: Path) -> str:
    """The processor that a binary is built for, by Lambda's name."""
    machine = re.search(r"Machine:\s+(.*)", readelf("-h", binary)).group(1)
    names = {"Advanced Micro Devices X86-64": "x86_64", "AArch64": "arm64"}
    if machine not in names:
        raise Refused(f"{binary} is for {machine}, which Lambda has not got")
    return names[machine]


def libtorch() -> Path:
    """The libtorch that the binaries were built with, as .cargo/config.toml finds it."""
    return Path(os.environ.get("LIBTORCH", ROOT / ".tools/libtorch"))


def needed_libraries(binary: Path, folder: Path) -> list[Path]:
    """The shared libraries of `folder` that a binary needs, directly or through each other."""
    found: dict[str, Path] = {}
    queue = [binary]
    while queue:
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("-d", queue.pop())):
            library = folder / name
            if name in found or PROVIDED_BY_LAMBDA.fullmatch(name):
                continue
            if not library.is_file():
                raise Refused(
                    f"{binary.name} needs {name}, which is neither in {folder} nor in Lambda's Amazon Linux 2023"
                )
            found[name] = library
            queue.append(library)
    return [found[name] for name in sorted(found)]


def newer_than_lambda(file: Path) -> str | None:
    """Which version of the C or C++ library a file needs that Lambda does not have."""
    versions = re.search(r"Version needs section(.*)", readelf("-V", file), re.DOTALL)
    for library, version, flags in re.findall(
        r"Name: ([A-Z]+)_(\S+)\s+Flags: (.*?)\s+Version:", versions.group(1) if versions else ""
    ):
        newest = NEWEST_SYMBOLS.get(library)
        # A version that is no number, as in GLIBC_ABI_DT_RELR, is a feature that is newer than the versions above.
        numbers = tuple(map(int, version.split("."))) if re.fullmatch(r"[0-9.]+", version) else (sys.maxsize,)
        # The loader does without what is only needed weakly.
        if newest and numbers > newest and "WEAK" not in flags:
            has = f"{library}_{'.'.join(map(str, newest))}"
            return f"{file.name} needs {library}_{version}, and Lambda's Amazon Linux 2023 has {has} at most"
    return None


def readelf(option: str, file: Path) -> str:
    try:
        return subprocess.run(
            ["readelf", "-W", option, str(file)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout
    except FileNotFoundError:
        raise Refused("there is no readelf: it is in the package binutils, which comes with a C++ compiler") from None
    except subprocess.CalledProcessError as error:
        raise Refused(f"readelf cannot read {file}: {error.stderr.strip()}") from None


def packed(libraries: list[Path]) -> Path:
    """libtorch-<hash>.tar.zst, from the cache where these libraries were packed before."""
    hash_ = hashlib.sha256(f"zstd -{ZSTD_LEVEL}, zstandard {zstandard.__version__}".encode())
    for library in libraries:
        hash_.update(f"\n{library.name} {sha256(library)}".encode())
    archive = ROOT / f".tools/packed/libtorch-{hash_.hexdigest()[:16]}.tar.zst"
    if archive.is_file():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(f".{os.getpid()}")
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, threads=-1)
    with (
        part.open("wb") as file,
        compressor.stream_writer(file) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for library in libraries:
            entry = tarfile.TarInfo(library.name)
            entry.size, entry.mode = library.stat().st_size, 0o755
            with library.open("rb") as contents:
                tar.addfile(entry, contents)
    part.rename(archive)
    return archive


def write_zip(path: Path, files: dict[str, Path | bytes]) -> dict:
    """A zip with executable binaries, whose bytes depend on its contents alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    try:
        unpacked = write_entries(part, files)
        if unpacked > UNPACKED_LIMIT:
            raise Refused(
                f"{path.parent.name} would be {megabytes(unpacked)} MB unpacked, and Lambda takes "
                f"{megabytes(UNPACKED_LIMIT)}: upload the model to the bucket, name it in the payload's "
                "`model`, and package a smaller one"
            )
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    shown = path.relative_to(ROOT)
    return {"path": str(shown), "bytes": path.stat().st_size, "unpacked_bytes": unpacked, "sha256": sha256(path)}


def write_entries(path: Path, files: dict[str, Path | bytes]) -> int:
    """Writes the zip, and gives the number of bytes that it has unpacked."""
    unpacked = 0
    with zipfile.ZipFile(path, "w") as archive:
        for name, contents in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            # Executable by every user: Lambda runs it as one of its own.
            entry.external_attr = (0o100755 if "." not in name else 0o100644) << 16
            # Weights and packed libraries do not compress further.
            entry.compress_type = zipfile.ZIP_DEFLATED if "." not in name else zipfile.ZIP_STORED
            data = contents if isinstance(contents, bytes) else contents.read_bytes()
            archive.writestr(entry, data)
            unpacked += len(data)
    return unpacked


def sha256(file: Path) -> str:
    hash_ = hashlib.sha256()
    with file.open("rb") as contents:
        while piece := contents.read(1 << 20):
            hash_.update(piece)
    return hash_.hexdigest()


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"


if __name__ == "__main__":
    main()
