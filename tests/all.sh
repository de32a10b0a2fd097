#!/usr/bin/env bash
# Every check and test there is, for `make test`; then what passed, what failed, and what was left out and how to get it.
# With CI=true nothing may be left out.
set -uo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
left_out=$target/left-out.txt
log=$target/test.log
: >"$left_out"
: >"$log"
passed=()
failed=()

# check NAME COMMAND…: runs it; its outcome is told at the end.
check() {
    local name=$1
    shift
    echo "== $name"
    if "$@"; then passed+=("$name"); else failed+=("$name"); fi
}

# Says of a component of the Rust toolchain whether it is there; installs it if it can.
has_component() {
    cargo "$2" --version >/dev/null 2>&1 && return
    if command -v rustup >/dev/null && rustup component add "$1" >&2; then
        cargo "$2" --version >/dev/null 2>&1 && return
    fi
    echo "left out: $3: needs $1 (rustup component add $1)" >>"$left_out"
    return 1
}

tests() { cargo test --features cli --no-fail-fast 2>&1 | tee "$log"; }
drills() {
    cargo build --quiet --release --features cli --example drill_server && cargo test --quiet --release --features cli --test drill 2>&1 | tee -a "$log"
}
tls_quality() { cargo test --quiet --release --features cli --test tls_quality --test check_agreement 2>&1 | tee -a "$log"; }
instructions() {
    cargo build --quiet --release --features cli --example bench_server && cargo test --quiet --release --features cli --test instructions
}
# The benchmark is a workspace of its own, and costs minutes to build.
benchmark() {
    local workspace=(--quiet --manifest-path benches/Cargo.toml --target-dir "$target/bench/build")
    cargo clippy "${workspace[@]}" --all-targets -- -D warnings && cargo test "${workspace[@]}" -p driver 2>&1 | tee -a "$log"
}
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --features cli; }
# Costs minutes, most of them to build; so elsewhere than in CI only where the fuzzer has been installed.
fuzzing() { make --no-print-directory fuzz FUZZ_SECONDS=20; }
lint() { cargo clippy --quiet --all-targets "$@" -- -D warnings; }

tests/install.sh curl=curl openssl=openssl node=nodejs python3=python3 nginx=nginx-light haproxy=haproxy testssl=testssl.sh \
    chromium=chromium certutil=libnss3-tools faketime=faketime git=git gnutls-cli=gnutls-bin \
    pebble=pebble valgrind=valgrind
tests/install_sslyze.sh

if has_component rustfmt fmt formatting; then
    check formatting cargo fmt --check
    check "the benchmark's formatting" cargo fmt --check --all --manifest-path benches/Cargo.toml
fi
if has_component clippy clippy lints; then
    check lints lint --features cli
    check 'lints of the library alone' lint
fi
check documentation docs
check tests tests
check 'TLS quality' tls_quality
check 'drills, in short' drills
if [ "$(uname -m)" != x86_64 ]; then
    echo "left out: instructions a request: the budget is for x86-64" >>"$left_out"
elif command -v valgrind >/dev/null; then
    check 'instructions a request' instructions
else
    echo 'left out: instructions a request: needs valgrind' >>"$left_out"
fi
# Costs two more builds of everything.
if [ "$(uname -m)" != x86_64 ]; then
    echo "left out: sizes: the most that they may be is for x86-64" >>"$left_out"
elif [ "${CI:-}" = true ] || [ -d "$target/small" ]; then
    check sizes make --no-print-directory sizes
else
    echo 'left out: sizes: make sizes, or in CI' >>"$left_out"
fi
if [ "${CI:-}" = true ] || [ -d "$target/bench/build" ]; then
    check 'the benchmark' benchmark
else
    echo 'left out: lints and tests of the benchmark: built by make bench, or in CI' >>"$left_out"
fi
if [ "${CI:-}" = true ] || cargo fuzz --version >/dev/null 2>&1; then
    check 'fuzzing, 20 s a target' fuzzing
else
    echo 'left out: fuzzing: needs cargo-fuzz (cargo install --locked cargo-fuzz)' >>"$left_out"
fi

echo
# cargo's own summaries, each under the name of what was run.
grep -E '^( +Running | +Doc-tests |test result: |test .* FAILED$)' "$log"
echo
[ "${#passed[@]}" -eq 0 ] || printf 'passed: %s\n' "${passed[@]}"
[ "${#failed[@]}" -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
if [ -s "$left_out" ]; then
    sort -u "$left_out"
else
    echo 'nothing was left out'
fi

[ "${#failed[@]}" -eq 0 ] || exit 1
if [ "${CI:-}" = true ] && grep -q ': needs ' "$left_out"; then
    echo 'nothing may be left out here' >&2
    exit 1
fi
