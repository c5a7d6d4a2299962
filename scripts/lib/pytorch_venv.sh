#!/usr/bin/env bash
# Installs PyTorch and the bench's other runtimes into .tools/pytorch-venv, for scripts/bench.sh and scripts/train.sh. Does nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/../.."

requirements=scripts/lib/pytorch-requirements.txt
if ! cmp -s "$requirements" .tools/pytorch-venv/installed.txt; then
    echo "installing PyTorch into .tools/pytorch-venv (a download of about 3 GB, 5 GB unpacked)" >&2
    mkdir -p .tools
    python3 -m venv --clear .tools/pytorch-venv
    .tools/pytorch-venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" .tools/pytorch-venv/installed.txt
fi
