#!/usr/bin/env bash
# Installs sslyze from PyPI into its own environment, target/sslyze, if it is missing. It never fails: the test that needs
# sslyze says so.
set -u
cd "$(dirname "$0")/.."

# This version contains the version of Mozilla's recommendations that the test compares with.
version=6.3.1
home=${CARGO_TARGET_DIR:-target}/sslyze
"$home/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('sslyze') != '$version')" 2>/dev/null && exit 0

# Debian's python3 has no pip to put into an environment without this; there is no program of that name.
python3 -c 'import ensurepip' 2>/dev/null || tests/install.sh python3=python3 python3-venv=python3-venv
echo "installing: sslyze $version" >&2
if ! { python3 -m venv --clear "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check "sslyze==$version"; } >&2; then
    echo "sslyze could not be installed" >&2
    rm -rf "$home"
fi
exit 0
