#!/usr/bin/env bash
# The main job on this machine: starts the local AWS stack, deploys infra/template.yaml to it, simulates some galaxies,
# uploads them and the model, runs payloads/demo.json and shows the results, which stay in out/demo.
#
#   scripts/demo.sh           stops the stack at the end
#   scripts/demo.sh --keep    leaves it running until Ctrl-C, for cosmic run and cosmic logs of your own
set -euo pipefail
cd "$(dirname "$0")/.."

keep=false
for argument in "$@"; do
    case $argument in
        --keep) keep=true ;;
        *) echo "usage: scripts/demo.sh [--keep]" >&2; exit 2 ;;
    esac
done

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
step "simulating the demo's galaxies"
rm -rf out/demo/partitions
.tools/venv/bin/python scripts/lib/demo_sky.py out/demo/partitions
step "uploading them and the model"
.tools/venv/bin/python scripts/lib/upload.py out/demo/partitions s3://cosmic-demo/demo/partitions
.tools/venv/bin/python scripts/lib/upload.py payloads/demo s3://cosmic-demo/demo

step "running payloads/demo.json"
./target/release/cosmic run --payload payloads/demo.json --state-machine cosmic-redshift --out out/demo

if $keep; then
    cat >&2 <<END

The stack runs until Ctrl-C. In another terminal:

  export AWS_ENDPOINT_URL=$AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  ./target/release/cosmic run --payload payloads/demo.json --set batch_size=32 --set world_size=10
END
    wait "$stack"
fi
