#!/usr/bin/env bash
# How well the model of `cosmic plan` predicts: runs a sweep on the local stack, predicts each of its cells from the other
# cells' records, and compares wall time of ranks and billed time. Exits with 1 where the median error is above 10 % or the
# worst above 25 %. The machine should do nothing else meanwhile.
#
#   scripts/prediction.sh                        runs payloads/sweep-precisions.json first, into out/prediction
#   scripts/prediction.sh --sweep FILE           checks a sweep.json that is there, of the local stack or of AWS
#   scripts/prediction.sh --ship [--sweep FILE]  and makes its figures the shipped ones, crates/bill/data/figures.json
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' scripts/prediction.sh; }
sweep=
ship=false
while (($#)); do
    case $1 in
        --sweep)
            [[ -f ${2:-} ]] || { echo "failed to check a sweep: there is no file ${2:-}" >&2; exit 1; }
            sweep=$2
            shift ;;
        --ship) ship=true ;;
        --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done

if [[ -z $sweep ]]; then
    ./scripts/with_stack.sh ./target/release/cosmic sweep payloads/sweep-precisions.json --out out/prediction
    sweep=out/prediction/sweep.json
fi
./target/release/cosmic plan --check "$sweep"
if $ship; then
    # Which payload is planned does not matter to the figures.
    ./target/release/cosmic plan --json --payload payloads/25MB-batch-512.json --size 12.6GB --partition-size 25MiB \
        --from "$sweep" | python3 -c '
import json, sys
figures = json.load(sys.stdin)["figures"]
figures["origin"].update(of="shipped with Cosmic", command="scripts/prediction.sh --ship")
print(json.dumps(figures, indent=2, ensure_ascii=False))' >crates/bill/data/figures.json.new
    mv crates/bill/data/figures.json.new crates/bill/data/figures.json
    echo "crates/bill/data/figures.json has the figures of $sweep" >&2
fi
