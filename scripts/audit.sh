#!/usr/bin/env bash
# Checks the licences, versions and sources of all crates that are built on Linux, and that none has a known
# vulnerability, with cargo-deny and by the rules of deny.toml. Known vulnerabilities come from
# https://github.com/rustsec/advisory-db; where that cannot be fetched, the script says so, and the other checks decide.
# Where cargo-deny is missing it says so and succeeds.
#
#   scripts/audit.sh              all of that
#   scripts/audit.sh --offline    without fetching the advisories
#
# It needs cargo-deny: `cargo install --locked cargo-deny`.
set -euo pipefail
cd "$(dirname "$0")/.."

advisories=true
case "$#,${1:-}" in
    0,) ;;
    1,--offline) advisories=false ;;
    *) echo "usage: scripts/audit.sh [--offline]" >&2; exit 2 ;;
esac
skip() { echo "skipped: $1" >&2; }
cargo deny --version >/dev/null 2>&1 || { skip "there is no cargo-deny: cargo install --locked cargo-deny"; exit 0; }

cargo deny --locked check --hide-inclusion-graph bans licenses sources
if ! $advisories; then
    skip "the advisories (--offline)"
elif cargo deny fetch db; then
    cargo deny --locked check advisories
else
    skip "the advisories, which could not be fetched (see above)"
fi
