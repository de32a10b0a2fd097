#!/usr/bin/env bash
# Checks the recipes in examples/packaging, and that they agree with Cargo.toml and with the command: the recipe for Yocto is
# read by bitbake's own parser and by oelint-adv, the package for Buildroot and the one for OpenWrt by make, the Kconfig file
# by kconfiglib, the scripts by two shells and shellcheck, the unit by systemd-analyze; the init script starts, reloads and
# stops the command. Some seconds, once the tools are installed and the command is built.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
tools=$target/packaging
wanted='bitbake-setup==2.19.0 oelint-adv==9.11.2 kconfiglib==14.1.0'

tests/install.sh shellcheck=shellcheck busybox=busybox start-stop-daemon=dpkg curl=curl make=make systemd-analyze=systemd
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$wanted" ]; then
    # Debian's python3 has no pip to put into an environment without this; there is no program of that name.
    python3 -c 'import ensurepip' 2>/dev/null || tests/install.sh python3=python3 python3-venv=python3-venv
    echo "installing: $wanted" >&2
    python3 -m venv --clear "$tools"
    # The list must be split into words.
    # shellcheck disable=SC2086
    "$tools/bin/pip" install --quiet --disable-pip-version-check $wanted
    echo "$wanted" >"$tools/installed"
fi

cargo build --quiet --features cli
PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" tests/packaging.py "$target/debug/lockgate"
