#!/usr/bin/env bash
# Whether the intervals of a calibrated model hold: on galaxies of a simulated sky of another seed, and on the photometry of
# real SDSS galaxies (see real_galaxies.sh), of which each second one calibrates and the others test. Prints a table; data
# sets and results are in out/calibration, and take 3 GB.
#
#   scripts/calibration.sh [--model FILE] [--calibration N]
#
# The model is the demo's if not given, and N, the simulated galaxies to calibrate with, 100,000.
set -euo pipefail
cd "$(dirname "$0")/.."

model=payloads/demo/model.safetensors
calibration=100000
while (($#)); do
    case "$#,$1" in
        1,*) echo "usage: scripts/calibration.sh [--model FILE] [--calibration N]" >&2; exit 2 ;;
        *,--model) model=$2 ;;
        *,--calibration) calibration=$2 ;;
        *) echo "usage: scripts/calibration.sh [--model FILE] [--calibration N]" >&2; exit 2 ;;
    esac
    shift 2
done

cargo build --release --locked
./scripts/lib/venv.sh .tools/examples-venv scripts/lib/examples-requirements.txt
python=.tools/examples-venv/bin/python
cosmic=${CARGO_TARGET_DIR:-target}/release/cosmic
out=out/calibration
mkdir -p "$out"

# calibrates on the first data set, and tests on the second
measure() {
    "$cosmic" calibrate --data "$2" --model "$model" --out "$out/$1.safetensors" --note "$4"
    "$cosmic" infer --data "$3" --model "$out/$1.safetensors" --levels --out "$out/$1" >"$out/$1.txt"
}

"$cosmic" simulate --count "$calibration" --seed 404 --out "$out/sky-404-$calibration.pt"
"$cosmic" simulate --count 20000 --seed 505 --out "$out/sky-505-20000.pt"
measure sky "$out/sky-404-$calibration.pt" "$out/sky-505-20000.pt" "cosmic simulate --seed 404"

"$python" scripts/lib/sdss_catalogue.py "$out/sdss.csv"
awk 'NR == 1 || NR % 2 == 0' "$out/sdss.csv" >"$out/sdss-even.csv"
awk 'NR == 1 || NR % 2 == 1' "$out/sdss.csv" >"$out/sdss-odd.csv"
for half in even odd; do
    "$cosmic" simulate --catalogue "$out/sdss-$half.csv" --out "$out/sdss-$half.pt"
done
measure sdss "$out/sdss-even.pt" "$out/sdss-odd.pt" "each second galaxy of scripts/lib/sdss_catalogue.py"

"$python" scripts/lib/coverage.py "$out/sky" "$out/sky-505-20000.pt" "$out/sdss" "$out/sdss-odd.pt"
