#!/usr/bin/env bash
# Installs REDbot into its own environment, target/redbot. It never fails: the test that needs REDbot says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh redbot redbot==2.7.1 || true
