#!/usr/bin/env bash
# Installs WebSocket clients: of Python into an environment of their own, target/websockets, and of Node into target/ws. It never
# fails: a test that needs one says so.
set -u
cd "$(dirname "$0")/.."

tests/install_python.sh websockets websockets==16.1 websocket-client==1.9.2 || true
tests/install_node.sh ws ws 8.23.0
