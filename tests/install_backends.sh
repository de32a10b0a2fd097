#!/usr/bin/env bash
# Installs servers that the proxy is tried in front of: waitress for Python into an environment of its own, target/waitress, and
# Express for Node into target/express. It never fails: a test that needs one says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh waitress waitress==3.0.2 || true

version=5.1.0
home=${CARGO_TARGET_DIR:-target}/express
[ "$(cat "$home/installed" 2>/dev/null)" = "$version" ] && exit 0
# Debian's node comes without npm.
tests/install.sh node=nodejs npm=npm
echo "installing: express@$version" >&2
mkdir -p "$home"
if npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$home" "express@$version" >&2; then
    echo "$version" >"$home/installed"
else
    echo "express@$version could not be installed" >&2
fi
exit 0
