#!/usr/bin/env bash
# Make a virtual environment in $1 with the newest supported Python that is there.
set -eu
venv=$1
python=
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "No Python ≥ 3.11 was found. Install one (Debian: apt install python3), or name it: make PYTHON=/path/to/python" >&2
    exit 1
fi
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$venv"
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$venv"
elif "$python" -m virtualenv --version >/dev/null 2>&1; then
    "$python" -m virtualenv --quiet "$venv"
elif command -v virtualenv >/dev/null 2>&1; then
    virtualenv --quiet --python "$python" "$venv"
else
    echo "$python can't make a virtual environment: it lacks ensurepip, and virtualenv is not there. Debian: apt install python3-venv" >&2
    exit 1
fi
