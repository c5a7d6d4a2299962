#!/usr/bin/env bash
# Makes the functions' zips: target/packages/{initializer,inference,summarizer}/bootstrap.zip, where `cargo lambda`
# and infra/template.yaml look for them. Needs scripts/setup.sh to have run.
#
#   scripts/package.sh                     for AWS, built by cargo-lambda with zig, against an older C library than Lambda's
#   scripts/package.sh --arm64             for AWS's own processors, which cost a fifth less per second
#   scripts/package.sh --model FILE        with your model (.safetensors, or a checkpoint written by torch.save)
#   scripts/package.sh --local             for the local stack on this machine only, built by cargo alone
#   scripts/package.sh --libtorch          with the engine on libtorch beside the native one: a zip three times as large
#   scripts/package.sh --no-build          from the binaries that are in target/release, with the engines they have
#   scripts/package.sh --json              reports what it made as one JSON object
set -euo pipefail
cd "$(dirname "$0")/.."

python=.tools/venv/bin/python
[[ -x $python ]] || { echo "failed to package: $python is not there: run ./scripts/setup.sh first" >&2; exit 1; }

usage() { sed -n '2,/^set /s/^# \{0,1\}//p' scripts/package.sh; }
build=for_lambda
target=x86_64-unknown-linux-gnu
arguments=()
while (($#)); do
    case $1 in
        --arm64) target=aarch64-unknown-linux-gnu ;;
        --libtorch) build=with_libtorch ;;
        --no-build) build=nothing ;;
        --local) [[ $build != for_lambda ]] || build=for_this_machine; arguments+=(--local) ;;
        --json) arguments+=(--json) ;;
        --model)
            # Checked here, before minutes of building.
            [[ -f ${2:-} ]] || { echo "failed to package: there is no model ${2:-}: name one with --model FILE" >&2; exit 1; }
            arguments+=(--model "$2")
            shift ;;
        --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
if [[ $target == aarch64* && $build != for_lambda ]]; then
    echo "failed to package: --local, --libtorch and --no-build are for this machine's processor, and go without --arm64" >&2
    exit 2
fi

case $build in
    for_lambda)
        # Our own profile rather than cargo-lambda's: what is tested is what is deployed.
        PATH="$PWD/.tools/venv/bin:$PATH" cargo lambda build --target $target --release --locked --disable-optimizations \
            --package initializer --package inference --package summarizer --lambda-dir target/cargo-lambda
        arguments+=(--cargo-lambda target/cargo-lambda) ;;
    # What scripts/demo.sh builds too, so that nothing is built twice.
    for_this_machine) cargo build --release --locked ;;
    with_libtorch) cargo build --release --locked --workspace --features inference/tch ;;
esac
exec "$python" scripts/lib/package.py "${arguments[@]}"
