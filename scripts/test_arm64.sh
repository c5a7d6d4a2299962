#!/usr/bin/env bash
# Tests on 64-bit Arm, emulated by qemu. First those of the native engine (its NEON kernels) and of the simulated sky (the
# galaxies are the same to the last bit on every architecture), then an execution on the local stack of the functions as
# they are built for AWS. Where the tools are missing it says so and succeeds. It leaves the zips in target/packages
# built for arm64.
#
#   scripts/test_arm64.sh
#   RUSTC=/usr/bin/rustc scripts/test_arm64.sh    with another compiler than cargo's own
#
# It needs the standard library for the target (`rustup target add aarch64-unknown-linux-gnu`), a linker and qemu
# (`sudo apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user`). Debian has a compiler with both standard
# libraries too: `sudo dpkg --add-architecture arm64 && sudo apt update &&
# sudo apt install rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
skip() { echo "skipped: $1 (see the top of scripts/test_arm64.sh)" >&2; exit 0; }
library=$("${RUSTC:-rustc}" --print target-libdir --target $target)
compgen -G "$library/libstd-*.rlib" >/dev/null || skip "there is no standard library for $target in $library"
command -v aarch64-linux-gnu-gcc >/dev/null || skip "there is no aarch64-linux-gnu-gcc"
command -v qemu-aarch64 >/dev/null || skip "there is no qemu-aarch64"

step() { printf '\n==> %s\n' "$1" >&2; }
# The cross compiler's C library, and no other one: an arm64 libc6 that is installed too would be mixed with it.
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu QEMU_SET_ENV=LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64

step "setting up"
./scripts/setup.sh
step "Rust tests"
# Without the examples in comments, which Rust's own rustdoc would compile, whatever RUSTC says.
cargo test --release --locked --target $target --lib --tests -p engine-native -p sky
step "an execution on the local stack"
# The command line and the simulated sky are this machine's.
env -u RUSTC cargo build --release --locked
./scripts/package.sh --arm64
.tools/venv/bin/python -m pytest --quiet infra/tests/test_arm64.py
