#!/usr/bin/env bash
# Checks the files for operators in examples/operations, and that they agree with the command: the configurations for HAProxy
# are read by HAProxy, the manifest for Kubernetes is held against the schemas of several versions. Some seconds. The command can
# be given: tests/operations.sh PROGRAM; it is built otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
tests/install_operations.sh

program=${1:-$target/debug/lockgate}
[ $# -gt 0 ] || cargo build --quiet --features cli
PYTHONDONTWRITEBYTECODE=1 "$target/operations/bin/python" tests/operations.py "$program"
