#!/usr/bin/env bash
# Installs what the local stack, deployment and tests need into .tools, which git ignores: a Python venv with moto, the
# deployment's libraries, cargo-lambda, pytest and ruff. It may be run any number of times, and installs only what is
# missing or has changed.
#
#   scripts/setup.sh --libtorch    libtorch too, for the engine that the tests compare with; a LIBTORCH in the
#                                  environment is used instead
#   scripts/setup.sh --check       only says what the system lacks
set -euo pipefail
cd "$(dirname "$0")/.."

libtorch=false
install=true
for argument in "$@"; do
    case $argument in
        --libtorch) libtorch=true ;;
        --check) install=false ;;
        *) echo "usage: scripts/setup.sh [--libtorch] [--check]" >&2; exit 2 ;;
    esac
done

missing=()
need() { missing+=("  $1"$'\n'"      $2"); }

if ! command -v cargo >/dev/null; then
    need "Rust (cargo)" "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
else
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(cargo --version | sed 's/^cargo \([0-9.]*\).*/\1/')
    if [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) != "$wanted" ]]; then
        need "Rust $wanted or newer (found $found)" "rustup update stable"
    fi
fi
if ! command -v c++ >/dev/null; then
    need "a C++ compiler (c++)" "sudo apt install g++    # Fedora, Amazon Linux: sudo dnf install gcc-c++"
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    need "Python 3.10 or newer (python3)" "sudo apt install python3 python3-venv    # Fedora, Amazon Linux: sudo dnf install python3.12"
elif ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    need "Python's venv module" "sudo apt install python3-venv"
fi
if ((${#missing[@]})); then
    printf 'failed to set up: these are missing, with the command that installs each:\n' >&2
    printf '%s\n' "${missing[@]}" >&2
    exit 1
fi
$install || exit 0

./scripts/lib/venv.sh .tools/venv infra/local/requirements.txt
if $libtorch && [[ -z ${LIBTORCH:-} ]]; then
    .tools/venv/bin/python scripts/lib/install_libtorch.py .tools/libtorch
fi
