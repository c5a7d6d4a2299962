#!/usr/bin/env bash
# Measures, in one run on one machine and in turns: galaxies per second of the native and the libtorch engine beside what
# users would run the network in instead (PyTorch eager, torch.compile, ONNX Runtime, OpenVINO in f32 and as it comes), on
# the same threads; the processor's multiply-add peak; each layer of the native engine beside it; loading; and time and
# memory of one rank on one galaxy, 100 MB and 1 GB.
#
#   scripts/bench.sh             tables, and out/bench/bench.png
#   scripts/bench.sh --json      the same, and one JSON object as the last line
#   scripts/bench.sh --engines native openvino_f32    only those; without tch, libtorch is neither fetched nor built
#   scripts/bench.sh --scale     what a run takes beside its inference, as it grows, each figure beside its target: memory
#                                with the largest batches, planning, resuming, merging, and an execution on the local
#                                stack beside cosmic infer; with --json and --only as well (some minutes, 4 GB of disk)
#   scripts/bench.sh --help      threads, rounds, batch sizes, names of engines
#
# It wants a machine with nothing else to do: torch.compile chooses its kernels by timing them, which takes it minutes,
# and two threads that wait for each other are slow where another program has one of the cores.
# The others go into a venv of their own, .tools/pytorch-venv: a download of about 3 GB the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ " $* " == *" --scale "* ]]; then
    arguments=()
    for argument in "$@"; do [[ $argument == --scale ]] || arguments+=("$argument"); done
    # Of the packages that with_stack.sh builds, so that nothing is built twice.
    cargo build --release --locked --bins --examples >&2
    exec ./scripts/with_stack.sh env PYTHONPATH=scripts .tools/venv/bin/python -m bench.scale "${arguments[@]}"
fi

libtorch=true
if [[ " $* " == *" --engines "* && " $* " != *" tch "* ]]; then libtorch=false; fi

if $libtorch; then ./scripts/setup.sh --libtorch; else ./scripts/setup.sh; fi
./scripts/lib/venv.sh .tools/pytorch-venv scripts/lib/pytorch-requirements.txt
# The native engine's programs as they are without libtorch, which takes time and memory even where it is not used.
cargo build --release --locked --workspace --bins --examples >&2
mkdir -p out/bench/native
cp "${CARGO_TARGET_DIR:-target}"/release/examples/{throughput,rank} out/bench/native
if $libtorch; then cargo build --release --locked --workspace --all-features --bins --examples >&2; fi
PYTHONPATH=scripts exec .tools/pytorch-venv/bin/python -m bench "$@"
