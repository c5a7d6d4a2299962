#!/usr/bin/env bash
# Runs very many ranks through the state machine on the local stack, with a function in the place of inference that
# answers at once, and fails where Step Functions would not carry it: infra/tests/load.py says what is measured. It needs
# the functions' zips (scripts/package.sh) and takes some minutes for 10,000 ranks.
#
#   scripts/load_test.sh [RANKS]    10,000 where not given otherwise
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -le 1 && ${1:-1} =~ ^[1-9][0-9]*$ ]] || { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
export PYTHONPATH=scripts/lib:infra:infra/local:infra/tests
exec .tools/venv/bin/python infra/tests/load.py "${1:-10000}"
