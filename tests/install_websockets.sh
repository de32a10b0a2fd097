#!/usr/bin/env bash
# Installs WebSocket clients: of Python into an environment of their own, target/websockets, and of Node into target/ws. It never
# fails: a test that needs one says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh websockets websockets==16.1 websocket-client==1.9.2 || true

version=8.23.0
home=${CARGO_TARGET_DIR:-target}/ws
[ "$(cat "$home/installed" 2>/dev/null)" = "$version" ] && exit 0
# Debian's node comes without npm.
tests/install.sh node=nodejs npm=npm
echo "installing: ws@$version" >&2
mkdir -p "$home"
if npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$home" "ws@$version" >&2; then
    echo "$version" >"$home/installed"
else
    echo "ws@$version could not be installed" >&2
fi
exit 0
