#!/usr/bin/env bash
# Redshifts of real SDSS galaxies, by a model that has learnt a simulated sky. Their photometry and spectroscopic redshifts
# are those that the kcorrect package tests itself with (10,000 rows of SDSS; BSD-3); their images are simulated to match.
#
#   scripts/real_galaxies.sh                 with the demo's model; results in out/real
#   scripts/real_galaxies.sh --model FILE    with another model
#
# They are read with the venv of the examples, .tools/examples-venv: a download of 300 MB the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

model=payloads/demo/model.safetensors
case "$#,${1:-}" in
    0,) ;;
    2,--model) model=$2 ;;
    *) echo "usage: scripts/real_galaxies.sh [--model FILE]" >&2; exit 2 ;;
esac

cargo build --release --locked
./scripts/lib/venv.sh .tools/examples-venv scripts/lib/examples-requirements.txt
.tools/examples-venv/bin/python scripts/lib/sdss_catalogue.py out/real/sdss.csv
cosmic=${CARGO_TARGET_DIR:-target}/release/cosmic
"$cosmic" simulate --catalogue out/real/sdss.csv --out out/real/galaxies.pt
"$cosmic" infer --data out/real/galaxies.pt --model "$model" --out out/real
