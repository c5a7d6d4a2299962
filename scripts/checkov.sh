#!/usr/bin/env bash
# Checks infra/template.yaml with checkov, by the rules of infra/.checkov.yaml, which says what is waived and why. It
# installs checkov into .tools/checkov-venv (110 packages, 300 MB). Where they cannot be fetched it says so and succeeds,
# or fails with COSMIC_REQUIRE_CHECKOV=1.
#
#   scripts/checkov.sh
set -euo pipefail
cd "$(dirname "$0")/.."

if (($#)); then
    echo "usage: scripts/checkov.sh" >&2
    exit 2
fi
if ! ./scripts/lib/venv.sh .tools/checkov-venv scripts/lib/checkov-requirements.txt; then
    echo "skipped: checkov could not be installed (see above)" >&2
    exit "${COSMIC_REQUIRE_CHECKOV:-0}"
fi
.tools/checkov-venv/bin/checkov --config-file infra/.checkov.yaml
