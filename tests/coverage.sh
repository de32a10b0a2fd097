#!/usr/bin/env bash
# Shows how many lines of a folder of src the unit tests alone run: tests/coverage.sh [PATH], by default src/server. It
# needs llvm-profdata and llvm-cov as new as the compiler's LLVM: those of the toolchain (rustup component add llvm-tools),
# or others in the folder LLVM_TOOLS. Its builds have a folder of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${LLVM_TOOLS:-$(dirname "$(rustc --print target-libdir)")/bin}
if ! [ -x "$tools/llvm-cov" ]; then
    echo "there is no llvm-cov in $tools: rustup component add llvm-tools, or set LLVM_TOOLS" >&2
    exit 69
fi
target=${CARGO_TARGET_DIR:-target}/coverage
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Of lockgate only, and in a form that is read without zlib as well.
flags=(-C instrument-coverage -C llvm-args=-enable-name-compression=false)
# Build scripts and macros write no profile then.
LLVM_PROFILE_FILE=/dev/null cargo rustc --quiet --lib --profile test --features cli --target-dir "$target" \
    --message-format json-render-diagnostics -- "${flags[@]}" >"$work/messages"
program=$(grep -o '"executable":"[^"]*"' "$work/messages" | tail -n 1 | cut -d '"' -f 4)
LLVM_PROFILE_FILE=$work/%p.profraw "$program" --quiet >&2
"$tools/llvm-profdata" merge --sparse "$work"/*.profraw --output "$work/profile"
"$tools/llvm-cov" export --format=lcov --instr-profile="$work/profile" "$program" >"$work/lcov"
python3 tests/coverage.py "$work/lcov" "${1:-src/server}"
