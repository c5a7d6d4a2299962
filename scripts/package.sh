#!/usr/bin/env bash
# Makes the functions' zips: target/lambda/{initializer,inference,summarizer}/bootstrap.zip, where `cargo lambda`
# and infra/template.yaml look for them. Needs scripts/setup.sh to have run.
#
#   scripts/package.sh                     with the demo's model
#   scripts/package.sh --model FILE        with yours (.safetensors, or a checkpoint written by torch.save)
#   scripts/package.sh --libtorch          with the engine on libtorch beside the native one: a zip three times as large
#   scripts/package.sh --local             for the local stack on this machine only
#   scripts/package.sh --no-build          from the binaries that target/release holds already, whatever engines those have
set -euo pipefail
cd "$(dirname "$0")/.."

python=.tools/venv/bin/python
[[ -x $python ]] || { echo "failed to package: $python is not there: run ./scripts/setup.sh first" >&2; exit 1; }

build=true
# What scripts/demo.sh builds too, so that nothing is built twice.
selection=()
arguments=()
for argument in "$@"; do
    case $argument in
        --no-build) build=false ;;
        --libtorch) selection=(--workspace --features inference/tch) ;;
        *) arguments+=("$argument") ;;
    esac
done

if $build; then
    cargo build --release --locked "${selection[@]}"
fi
exec "$python" scripts/lib/package.py "${arguments[@]}"
