#!/usr/bin/env bash
# Takes promtool out of Debian's package prometheus, into target/promtool. The package itself is not installed, because it would
# start its service. It never fails: the tests that need promtool say so.
set -u
cd "$(dirname "$0")/.."

into=${CARGO_TARGET_DIR:-target}/promtool
[ -x "$into/bin/promtool" ] && exit 0
command -v promtool >/dev/null && exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo 'missing, and there is no apt-get to get it with: promtool (package prometheus)' >&2
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
if ! (cd "$work" && apt-get -qq download prometheus) 2>"$work/log"; then
    echo 'apt-get download prometheus failed:' >&2
    tail -n 3 "$work/log" >&2
    exit 0
fi
mkdir -p "$into/bin"
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool &&
    install -m 755 "$work/usr/bin/promtool" "$into/bin/promtool"
exit 0
