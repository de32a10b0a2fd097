#!/usr/bin/env bash
# Installs servers that the proxy is tried in front of: waitress for Python into an environment of its own, target/waitress, and
# Express for Node into target/express. It never fails: a test that needs one says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh waitress waitress==3.0.2 || true
tests/install_node.sh express express 5.1.0
