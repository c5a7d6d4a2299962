#!/usr/bin/env bash
# Validates the state machine with asl-validator (https://www.npmjs.com/package/asl-validator), beside cfn-lint and the
# local stack's interpreter, which scripts/test.sh runs.
#
# Needs Node.js 20, and says so where it is not there, with exit code 0; with COSMIC_REQUIRE_NODE=1, as in CI, that is a
# failure.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "SKIPPED: $1" >&2
  exit "${COSMIC_REQUIRE_NODE:-0}"
}

command -v npm >/dev/null || skip "there is no Node.js on this machine: apt-get install nodejs npm"
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || skip "Node.js $(node --version) is older than 20"

(cd scripts/state_machine && npm ci --ignore-scripts --no-audit --no-fund --silent)
node scripts/state_machine/check.mjs statemachine/redshift.asl.json
