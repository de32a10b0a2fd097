#!/usr/bin/env bash
# Installs a package for Node into a folder of its own, target/PLACE: usage: tests/install_node.sh PLACE PACKAGE VERSION. It never
# fails: a test that needs the package says so.
set -u
cd "$(dirname "$0")/.."

place=$1
package=$2
version=$3
home=${CARGO_TARGET_DIR:-target}/$place
[ "$(cat "$home/installed" 2>/dev/null)" = "$version" ] && exit 0
# Debian's node comes without npm.
tests/install.sh node=nodejs npm=npm
echo "installing: $package@$version" >&2
mkdir -p "$home"
if npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$home" "$package@$version" >&2; then
    echo "$version" >"$home/installed"
else
    echo "$package@$version could not be installed" >&2
fi
exit 0
