#!/usr/bin/env bash
# Checks the pages of `cosmic report` in a browser: scripts/browser.sh [PAGE.html …]
#
# Needs Node.js 20 and Chromium of the system (apt-get install chromium), and says so where they are not there, with exit
# code 0; with COSMIC_REQUIRE_BROWSER=1, as in CI, that is a failure. Pages given as arguments are checked beside those
# of runs that were made up for this. Screenshots, and the pages as they print, are then in out/browser.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
  echo "SKIPPED: $1" >&2
  exit "${COSMIC_REQUIRE_BROWSER:-0}"
}

chromium=""
for name in chromium chromium-browser google-chrome; do
  chromium=$(command -v "$name") && break
done
[ -n "$chromium" ] || skip "there is no Chromium on this machine: apt-get install chromium"
command -v npm >/dev/null || skip "there is no Node.js on this machine: apt-get install nodejs npm"
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || skip "Node.js $(node --version) is older than 20"

(cd scripts/browser && npm ci --ignore-scripts --no-audit --no-fund --silent)
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
COSMIC_PAGES=$pages cargo test --quiet --release -p report --test pages -- --exact pages_for_a_browser_are_written
for page in "$@"; do
  cp "$page" "$pages/"
done
rm -rf out/browser
node scripts/browser/check.mjs "$chromium" "$pages" out/browser
