#!/usr/bin/env bash
# Measures, in one run on one machine and in turns: galaxies per second of the native engine in f32 and int8 and of the
# libtorch engine, beside what users would run the network in instead, each in the fastest settings that were found for
# it (PyTorch eager and torch.compile, in f32 and autocast; ONNX Runtime, in f32 and quantised; OpenVINO in f32, as it
# comes, and quantised by NNCF, each one batch at a time or in asynchronous streams), on the same threads; how far the
# redshifts of each are from those in float64; the processor's multiply-add peak; each layer of the native engine beside
# it; loading; and time and memory of one rank on one galaxy, 100 MB and 1 GB.
#
#   scripts/bench.sh             tables, and out/bench/bench.png
#   scripts/bench.sh --json      the same, and one JSON object as the last line (also out/bench/bench.json)
#   scripts/bench.sh --engines native openvino_f32    only those; without tch, libtorch is neither fetched nor built
#   scripts/bench.sh --scale     what a run takes beside its inference, as it grows, each figure beside its target: memory
#                                with the largest batches, planning, resuming, merging, and an execution on the local
#                                stack beside cosmic infer; with --json and --only as well (some minutes, 4 GB of disk)
#   scripts/bench.sh --help      threads, rounds, batch sizes, names of engines
#
# Streams are as many batches in flight as there are threads. cosmic and the functions run small batches so.
#
# In the JSON object:
#   ratios                       of galaxies/s at the first batch size, median of the rounds: native_vs_NAME of the native
#                                engine in f32 to each other; and those of the fastest of several, streams among them:
#     native_vs_torch_compile            native in f32 : torch.compile in f32, in its faster mode
#     native_int8_vs_f32                 native in int8 : in f32
#     native_best_vs_openvino_default    native in its faster precision : OpenVINO as it comes
#     native_vs_best_f32_peer            native in f32 : the fastest other that computes in f32
#     native_best_vs_best_peer           native in its faster precision : the fastest other of all
#     batch1_vs_best_peer                the same at batch 1, whatever the first batch size is
#   ratios_by_batch              the same at each batch size, with lowest, highest, and which engines were the faster
#   galaxies_per_second          medians by batch size and engine; galaxies_per_second_spread: lowest and highest too
#   engines                      by name: version, threads, precision (as the runtime itself says), and accuracy: largest
#                                and rms of |dz|/(1+z) against float64, and sigma_nmad against the true redshifts
#   int8_max_error               engines.native_int8.accuracy.largest
#   native_fraction_of_peak, peak_memory_mb, start_seconds, layers, rank, processor, conditions, minutes
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
