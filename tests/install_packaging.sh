#!/usr/bin/env bash
# Installs what the check of the recipes for firmware needs: programs, and Python packages in their own environment,
# target/packaging. It never fails: the check says what is missing.
set -u
cd "$(dirname "$0")/.."

tests/install.sh shellcheck=shellcheck busybox=busybox start-stop-daemon=dpkg curl=curl make=make systemd-analyze=systemd
tests/install_python.sh packaging bitbake-setup==2.19.0 oelint-adv==9.11.2 kconfiglib==14.1.0 || true
