#!/usr/bin/env bash
# Installs pyOpenSSL from PyPI into its own environment, target/pyopenssl, if it is missing. It brings an OpenSSL that has
# ML-KEM (3.5 or later), which Debian's has not. It never fails: the test that needs it says so.
set -u
cd "$(dirname "$0")/.."

version=26.4.0
home=${CARGO_TARGET_DIR:-target}/pyopenssl
"$home/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('pyOpenSSL') != '$version')" 2>/dev/null && exit 0

# Debian's python3 has no pip to put into an environment without this; there is no program of that name.
python3 -c 'import ensurepip' 2>/dev/null || tests/install.sh python3=python3 python3-venv=python3-venv
echo "installing: pyOpenSSL $version" >&2
if ! { python3 -m venv --clear "$home" && "$home/bin/pip" install --quiet --disable-pip-version-check "pyOpenSSL==$version"; } >&2; then
    echo "pyOpenSSL could not be installed" >&2
    rm -rf "$home"
fi
exit 0
