#!/usr/bin/env bash
# The main job on this machine: starts the local AWS stack, deploys infra/template.yaml to it, simulates some galaxies,
# uploads them and the model, runs payloads/demo.json and shows the results, which stay in out/demo.
#
#   scripts/demo.sh           stops the stack at the end
#   scripts/demo.sh --keep    leaves it running until Ctrl-C, for commands of your own
set -euo pipefail
cd "$(dirname "$0")/.."

keep=false
for argument in "$@"; do
    case $argument in
        --keep) keep=true ;;
        # How scripts/with_stack.sh calls it back, once the stack is there.
        --in-stack) in_stack=true ;;
        *) echo "usage: scripts/demo.sh [--keep]" >&2; exit 2 ;;
    esac
done
${in_stack:-false} || exec ./scripts/with_stack.sh ./scripts/demo.sh --in-stack "$@"

step() { printf '\n==> %s\n' "$1" >&2; }

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
    sleep infinity
fi
