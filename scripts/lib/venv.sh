#!/usr/bin/env bash
# Makes a Python virtual environment of a requirements file, each package checked against the file's SHA-256 hashes. Does
# nothing where the environment is there already and was made of the same file.
#
#   scripts/lib/venv.sh FOLDER REQUIREMENTS.txt
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$1
requirements=$2
# The interpreter is tried too: it is a link, which dangles after an update of the system's Python.
if cmp -s "$requirements" "$folder/installed.txt" && "$folder/bin/python" -c '' 2>/dev/null; then
    exit
fi
echo "installing the packages of $requirements into $folder" >&2
mkdir -p "$(dirname "$folder")"
python3 -m venv --clear "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$requirements"
cp "$requirements" "$folder/installed.txt"
