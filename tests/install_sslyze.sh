#!/usr/bin/env bash
# Installs sslyze into its own environment, target/sslyze. It never fails: the test that needs sslyze says so.
set -u
cd "$(dirname "$0")/.."

# This version contains the version of Mozilla's recommendations that the test compares with.
tests/install_python.sh sslyze sslyze==6.3.1 || true
