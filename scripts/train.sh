#!/usr/bin/env bash
# Trains the demo's model: simulates a sky, pre-trains the transformer on it as a masked autoencoder, trains the rest,
# and measures the result on a sky of another seed. After it was killed, the same command continues the run.
#
#   scripts/train.sh                    into out/train/pretrained: model.safetensors, its metrics and curve
#   scripts/train.sh --frozen-random    the same with the transformer left random, into out/train/frozen-random
#   scripts/train.sh --self-test        tests of the training itself, a minute
#   scripts/train.sh --help             epochs, seeds, threads
#
# PyTorch goes into a venv of its own, .tools/pytorch-venv: a download of about 3 GB the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/lib/venv.sh .tools/pytorch-venv scripts/lib/pytorch-requirements.txt
export PYTHONPATH=scripts
if [[ ${1:-} == --self-test ]]; then
    exec .tools/pytorch-venv/bin/python -m unittest train.test_training
fi
./scripts/setup.sh
cargo build --release --locked >&2
exec .tools/pytorch-venv/bin/python -m train "$@"
