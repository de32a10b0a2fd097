#!/usr/bin/env bash
# Builds the command as a static program, which needs no other file to run: examples/packaging/static.sh, or `make static`. It prints
# the path. musl is its libc, for this machine's kind of processor. FEATURES=cli chooses the parts of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
triple=$(uname -m)-unknown-linux-musl
{
    # Rust's own musl and linker; ring alone is compiled by musl-gcc.
    tests/toolchain.sh installed "$triple"
    cargo build --release --locked --features "${FEATURES:-cli}" --bin lockgate --target "$triple"
} >&2
echo "$target/$triple/release/lockgate"
