#!/usr/bin/env bash
# Checks the recipes in examples/packaging, and that they agree with Cargo.toml and with the command: the recipe for Yocto is
# read by bitbake's own parser and by oelint-adv, the package for Buildroot and the one for OpenWrt by make, the Kconfig file
# by kconfiglib, the scripts by two shells and shellcheck, the unit by systemd-analyze; the init script starts, reloads and
# stops the command. Some seconds, once the tools are installed and the command is built.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
tools=$target/packaging
tests/install.sh shellcheck=shellcheck busybox=busybox start-stop-daemon=dpkg curl=curl make=make systemd-analyze=systemd
tests/install_python.sh packaging bitbake-setup==2.19.0 oelint-adv==9.11.2 kconfiglib==14.1.0

cargo build --quiet --features cli
PYTHONDONTWRITEBYTECODE=1 "$tools/bin/python" tests/packaging.py "$target/debug/lockgate"
