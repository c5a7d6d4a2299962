#!/usr/bin/env bash
# Measures, in one run on one machine: galaxies per second of the libtorch engine beside the published forward pass in
# PyTorch eager, on the same threads and in turns, and the peak memory of one rank on a 100 MB and a 1 GB partition.
#
#   scripts/bench.sh             a table
#   scripts/bench.sh --json      and, as its last line, one JSON object
#   scripts/bench.sh --help      threads, rounds, batch sizes
#
# PyTorch goes into a venv of its own, .tools/pytorch-venv: a download of about 3 GB the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh --libtorch
./scripts/lib/pytorch_venv.sh
cargo build --release --locked --workspace --all-features --examples >&2
exec .tools/pytorch-venv/bin/python scripts/bench/bench.py "$@"
