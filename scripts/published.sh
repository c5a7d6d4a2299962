#!/usr/bin/env bash
# The published experiments with this system: inference on this machine over batch sizes, executions on the local stack
# over partition and batch sizes, what `cosmic plan` says of them, and the published figures beside ours. It takes about
# twenty minutes on two cores, which should do nothing else meanwhile; a sweep that was stopped goes on. RESULTS.md has
# what it prints, and the pictures: out/sweep/*.png and out/choices.png.
#
#   scripts/published.sh
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
./target/release/cosmic sweep payloads/sweep-local.json --out out/sweep-local >&2
./scripts/with_stack.sh ./target/release/cosmic sweep payloads/sweep.json --out out/sweep >&2
./target/release/cosmic plan --check out/sweep/sweep.json || echo "(the model is further off than it should be)"
./target/release/cosmic plan --payload payloads/25MB-batch-512.json --size 12.6GiB --partition-size 25MiB \
    --account-concurrency 1000 --picture out/choices.png >&2
echo
python3 scripts/published/beside.py --local out/sweep-local/sweep.json --stack out/sweep/sweep.json
