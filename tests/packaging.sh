#!/usr/bin/env bash
# Checks the recipes in examples/packaging, and that they agree with Cargo.toml and with the command: the recipe for Yocto is
# read by bitbake's own parser and by oelint-adv, the package for Buildroot and the one for OpenWrt by make, the Kconfig file
# by kconfiglib, the scripts by two shells and shellcheck, the unit by systemd-analyze; the init script starts, reloads and
# stops the command. Of the packages it checks what can be seen without building them. Some seconds, once the tools are installed and the command is built. The command can be given:
# tests/packaging.sh PROGRAM; it is built otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
tests/install_packaging.sh

program=${1:-$target/debug/lockgate}
[ $# -gt 0 ] || cargo build --quiet --features cli
PYTHONDONTWRITEBYTECODE=1 "$target/packaging/bin/python" tests/packaging.py "$program"
