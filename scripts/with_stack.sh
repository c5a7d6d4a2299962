#!/usr/bin/env bash
# Runs a command with an AWS on this machine: starts the local stack, deploys infra/template.yaml to it with the demo's
# model packaged, runs the command in an environment in which every AWS tool finds it, and stops it again. The bucket is
# called cosmic-demo.
#
#   scripts/with_stack.sh ./target/release/cosmic sweep payloads/sweep.json --out out/sweep
#   scripts/with_stack.sh bash
set -euo pipefail
cd "$(dirname "$0")/.."

(($#)) || { echo "usage: scripts/with_stack.sh COMMAND [ARGUMENT …]" >&2; exit 2; }

step() { printf '\n==> %s\n' "$1" >&2; }

step "building, and setting up meanwhile (the first time takes some minutes)"
./scripts/setup.sh --check
cargo build --release --locked &
build=$!
./scripts/setup.sh || { kill "$build"; exit 1; }
wait "$build"
step "packaging the functions"
./scripts/package.sh --no-build --local

step "starting the local stack"
work=$(mktemp -d)
stop() {
    if [[ -n ${stack:-} ]]; then kill "$stack" 2>/dev/null || true; wait "$stack" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap stop EXIT
.tools/venv/bin/python infra/local/stack.py --port 0 >"$work/ready" 2>"$work/errors" &
stack=$!
until grep -q '^ready ' "$work/ready"; do
    kill -0 "$stack" 2>/dev/null || { cat "$work/errors" >&2; echo "failed to start the local stack" >&2; exit 1; }
    sleep 0.1
done
AWS_ENDPOINT_URL=$(sed -n 's/^ready //p' "$work/ready")
export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
unset AWS_PROFILE AWS_SESSION_TOKEN
echo "it listens at $AWS_ENDPOINT_URL" >&2

step "deploying infra/template.yaml"
./scripts/deploy.sh --parameter DataBucketName=cosmic-demo

"$@"
