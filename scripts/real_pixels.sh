#!/usr/bin/env bash
# How far the simulated sky's pixels are from real ones: noise, correlation and sky in each band, and the concentration of
# the flux in r, of 2,000 simulated galaxies and of twenty real sources of SDSS (crates/sky/tests/real).
#
#   scripts/real_pixels.sh
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh
cargo build --release --locked >&2
cosmic=${CARGO_TARGET_DIR:-target}/release/cosmic
mkdir -p out/pixels
"$cosmic" simulate --count 2000 --seed 9 --out out/pixels/sky.pt >&2
.tools/venv/bin/python scripts/lib/real_pixels.py out/pixels/sky.pt crates/sky/tests/real/sdss.npz
