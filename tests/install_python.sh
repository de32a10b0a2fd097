#!/usr/bin/env bash
# Installs packages from PyPI into an environment of their own, a folder in cargo's target folder, if they are not there yet:
# tests/install_python.sh FOLDER PACKAGE==VERSION…
set -euo pipefail
cd "$(dirname "$0")/.."

home=${CARGO_TARGET_DIR:-target}/$1
shift
[ "$(cat "$home/installed" 2>/dev/null)" != "$*" ] || exit 0

# Debian's python3 has no pip to put into an environment without this; there is no program of that name.
python3 -c 'import ensurepip' 2>/dev/null || tests/install.sh python3=python3 python3-venv=python3-venv
echo "installing: $*" >&2
if ! { python3 -m venv --clear "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check "$@"; } >&2; then
    echo "$* could not be installed" >&2
    rm -rf "$home"
    exit 1
fi
echo "$*" >"$home/installed"
