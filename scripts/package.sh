#!/usr/bin/env bash
# Makes the functions' zips: target/lambda/{initializer,inference,summarizer}/bootstrap.zip, where `cargo lambda`
# and infra/template.yaml look for them. Needs scripts/setup.sh to have run.
#
#   scripts/package.sh                     with the demo's model
#   scripts/package.sh --model FILE        with yours (.safetensors, or a checkpoint written by torch.save)
#   scripts/package.sh --no-build          from the binaries that target/release holds already
#
# Plain cargo, not `cargo lambda build`: see infra/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.tools/venv/bin/python
[[ -x $python ]] || { echo "failed to package: $python is not there: run ./scripts/setup.sh first" >&2; exit 1; }

build=true
arguments=()
for argument in "$@"; do
    if [[ $argument == --no-build ]]; then build=false; else arguments+=("$argument"); fi
done

if $build; then
    cargo build --release --locked -p initializer -p inference -p summarizer -p launcher
fi
exec "$python" scripts/lib/package.py "${arguments[@]}"
