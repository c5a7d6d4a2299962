#!/usr/bin/env bash
# Fuzzes everything that reads what others wrote: zip directories, pickles, data sets, networks, safetensors, payloads, the
# files of a run.
# Each target runs for its share of the time on one core; a panic, more than a second for one input or more than 500 MB is
# an error, and its input is kept in fuzz/artifacts/TARGET.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]    in all (default: 60), over the targets named (default: all of them)
#
# It needs the nightly compiler (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz), and says when
# it does nothing because one of them is missing. Seeds are in fuzz/corpus (fuzz/make_corpus.py); what the fuzzer adds to
# them goes to fuzz/found, where the next run goes on. No sanitizer is used: our code has no `unsafe`, and without one time and
# memory are those of the product.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | grep -v '^cosmic-fuzz$')
fi
host=$(rustc -vV | sed -n 's/^host: //p')
if ! rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    echo "skipped: there is no nightly compiler; rustup toolchain install nightly" >&2
    exit 0
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "skipped: there is no cargo-fuzz; cargo install cargo-fuzz" >&2
    exit 0
fi
share=$((seconds / ${#targets[@]}))
for target in "${targets[@]}"; do
    features=()
    [[ $target != payload && $target != run_files ]] || features=(--features pipeline)
    printf '\n==> %s, for %d s\n' "$target" "$share" >&2
    mkdir -p "fuzz/found/$target"
    cargo +nightly fuzz run --sanitizer none --target "$host" "${features[@]}" "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$share" -rss_limit_mb=500 -timeout=1 -print_final_stats=1 -max_len=65536
done
