#!/usr/bin/env bash
# The end-to-end tests of scripts/test.sh, but on the functions' zips as they are deployed to AWS: built by cargo-lambda with
# zig, against an older C library, without libtorch. It takes some ten minutes at first.
#
#   scripts/test_zips.sh
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n==> %s\n' "$1" >&2; }

step "setting up"
./scripts/setup.sh
step "the command line, and the zips for AWS on this machine's kind of processor"
cargo build --release --locked
arm64=()
[[ $(uname -m) != aarch64 ]] || arm64=(--arm64)
./scripts/package.sh "${arm64[@]}"
step "end-to-end tests on the local stack"
.tools/venv/bin/python -m pytest --quiet --numprocesses 3 --dist loadfile infra/tests --ignore infra/tests/test_libtorch.py
