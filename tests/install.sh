#!/usr/bin/env bash
# Installs missing programs, if that needs no question: tests/install.sh PROGRAM=PACKAGE … It never fails: a test that needs
# a missing program says so.
set -u

packages=()
for pair in "$@"; do
    # System programs live in sbin, which is not in every user's PATH.
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
done
[ "${#packages[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "missing, and not to be installed by this user: ${packages[*]}" >&2
        exit 0
    fi
    as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null; then
    echo "missing, and there is no apt-get to install them with: ${packages[*]}" >&2
    exit 0
fi

echo "installing: ${packages[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for step in update "install -y --no-install-recommends ${packages[*]}"; do
    # The step must be split into words. shellcheck disable=SC2086
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get $step >"$log" 2>&1; then
        echo "apt-get $step failed:" >&2
        tail -n 5 "$log" >&2
    fi
done
exit 0
