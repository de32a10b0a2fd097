#!/usr/bin/env bash
# Installs openapi-spec-validator into its own environment, target/openapi. It never fails: the test that needs it says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh openapi openapi-spec-validator==0.9.0 || true
