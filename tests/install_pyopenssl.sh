#!/usr/bin/env bash
# Installs pyOpenSSL into its own environment, target/pyopenssl. It brings an OpenSSL that has ML-KEM (3.5 or later), which
# Debian's has not. It never fails: the test that needs it says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh pyopenssl pyOpenSSL==26.4.0 || true
