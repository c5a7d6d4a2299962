#!/usr/bin/env bash
# Makes the requirement files that are installed (*.txt: every package with its version and the SHA-256 of each of its
# wheels, for Python 3.10 to 3.14 on Linux, x86-64 and arm64) from those that are written by hand (*.in: what is needed
# directly). To be run after a change of an *.in file; it needs uv (`pip install uv`).
#
#   scripts/lib/lock.sh              keeps the versions that still satisfy the *.in files
#   scripts/lib/lock.sh --upgrade    takes the newest ones that do
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() {
    local name=$1
    shift
    # No index is written into the files: pip asks the one that its user has set.
    UV_CUSTOM_COMPILE_COMMAND=scripts/lib/lock.sh uv pip compile --quiet --universal --python-version 3.10 \
        --generate-hashes --no-emit-index-url "$@" "$name.in" --output-file "$name.txt"
}
compile infra/local/requirements "$@"
compile scripts/lib/pytorch-requirements "$@"
compile scripts/lib/examples-requirements "$@"
compile scripts/lib/checkov-requirements "$@"
compile scripts/lib/libtorch-requirements --no-deps "$@"
