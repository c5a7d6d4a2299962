#!/usr/bin/env bash
# Deploys the zips of scripts/package.sh and infra/template.yaml: to AWS with the environment's credentials, or to
# the local stack with --endpoint-url. `scripts/deploy.sh --help` lists the options; infra/README.md explains them.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.tools/venv/bin/python
[[ -x $python ]] || { echo "failed to deploy: $python is not there: run ./scripts/setup.sh first" >&2; exit 1; }
exec "$python" infra/deploy.py "$@"
