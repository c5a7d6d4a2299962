#!/usr/bin/env bash
# The tests: formatting, lints, documentation, unit, property, golden and integration tests, and the end-to-end tests
# against the local stack. It sets up all it needs. All are built in one profile (release), so that what is tested is
# what is shipped.
#
# What needs more is apart: the tests of the training, which need PyTorch (scripts/train.sh --self-test), those on
# emulated 64-bit Arm, which need a cross compiler and qemu (scripts/test_arm64.sh), the check of all dependencies, which
# needs cargo-deny (scripts/audit.sh), that of the template, which needs checkov (scripts/checkov.sh), and of the state
# machine, which needs Node.js (scripts/state_machine.sh), the end-to-end tests on the zips for AWS, which are built once
# more with zig (scripts/test_zips.sh), fuzzing, which needs a nightly compiler and cargo-fuzz (scripts/fuzz.sh), the long
# soak (scripts/soak.sh), a run of 10,000 ranks (scripts/load_test.sh), and the pages of reports in a browser, which need
# Chromium and Node.js (scripts/browser.sh).
#
#   scripts/test.sh
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n==> %s\n' "$1" >&2; }

step "setting up"
./scripts/setup.sh --libtorch
step "formatting, lints of Python, and circles among modules"
cargo fmt --all --check
python3 scripts/lib/module_circles.py
.tools/venv/bin/ruff format --check .
.tools/venv/bin/ruff check .
step "building"
cargo build --release --locked --workspace --all-features
step "Rust tests"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --release --locked --workspace --all-features
else
    cargo test --release --locked --workspace --all-features --quiet
fi
step "lints and documentation of Rust"
cargo clippy --release --locked --workspace --all-features --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" \
    cargo doc --release --locked --workspace --all-features --no-deps --document-private-items --quiet
step "the examples and cosmic export, with the libraries that people read catalogues with"
./scripts/lib/venv.sh .tools/examples-venv scripts/lib/examples-requirements.txt
.tools/examples-venv/bin/python -m pytest --quiet examples/tests
step "end-to-end tests on the local stack, with libtorch in the zip"
./scripts/package.sh --no-build --local
.tools/venv/bin/python -m pytest --quiet infra/tests/test_libtorch.py
step "end-to-end tests on the local stack"
# Without libtorch, as the functions are deployed. Of the workspace as above, so that no library is built once more.
cargo build --release --locked --workspace --bins
./scripts/package.sh --no-build --local
# They wait more than they compute. Each process has a stack of its own.
.tools/venv/bin/python -m pytest --quiet --numprocesses 3 --dist loadfile infra/tests --ignore infra/tests/test_libtorch.py
