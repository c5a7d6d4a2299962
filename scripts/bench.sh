#!/usr/bin/env bash
# Measures, in one run on one machine and in turns: galaxies per second of the native and the libtorch engine beside the
# published forward pass in PyTorch eager, ONNX Runtime and OpenVINO, on the same threads; the processor's
# multiply-add peak; each layer of the native engine beside it; loading; and time and memory of one rank on one galaxy,
# 100 MB and 1 GB.
#
#   scripts/bench.sh             tables, and out/bench/bench.png
#   scripts/bench.sh --json      and, as its last line, one JSON object
#   scripts/bench.sh --help      threads, rounds, batch sizes
#
# The others go into a venv of their own, .tools/pytorch-venv: a download of about 3 GB the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh --libtorch
./scripts/lib/pytorch_venv.sh
# The native engine's programs as they are without libtorch, which takes time and memory even where it is not used.
cargo build --release --locked --workspace --bins --examples >&2
mkdir -p out/bench/native
cp "${CARGO_TARGET_DIR:-target}"/release/examples/{throughput,rank} out/bench/native
cargo build --release --locked --workspace --all-features --bins --examples >&2
exec .tools/pytorch-venv/bin/python scripts/bench/bench.py "$@"
