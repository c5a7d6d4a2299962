#!/usr/bin/env bash
# Runs random schedules of faults against the local stack: infra/tests/soak.py says which, and what must hold. It needs
# the functions' zips (scripts/package.sh) and takes about ten seconds a schedule.
#
#   scripts/soak.sh [SCHEDULES] [SEED]    100 schedules from seed 1 on, where not given otherwise
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -le 2 && ${1:-1} =~ ^[0-9]+$ && ${2:-1} =~ ^[0-9]+$ ]] || { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
export PYTHONPATH=scripts/lib:infra:infra/local:infra/tests
exec .tools/venv/bin/python infra/tests/soak.py "${1:-100}" "${2:-1}"
