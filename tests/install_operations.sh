#!/usr/bin/env bash
# Installs what the check of the files for operators needs: programs, and a Python package in its own environment,
# target/operations. It never fails: the check says what is missing.
set -u
cd "$(dirname "$0")/.."

tests/install.sh haproxy=haproxy openssl=openssl
tests/install_python.sh operations kubernetes-validate==1.37.0 || true
