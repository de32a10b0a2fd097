#!/usr/bin/env bash
# Runs the checks and tests: tests/all.sh quick|slow. `make test` runs the quick ones, which need only debug builds; `make
# test-slow` the rest, which need release builds and minutes. At the end it lists what passed and how long it took, what
# failed, and what was left out and how to install it. With CI=true nothing may be left out.
set -uo pipefail
cd "$(dirname "$0")/.."

part=${1:-quick}
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
left_out=$target/left-out.txt
log=$target/test.log
: >"$left_out"
: >"$log"
passed=()
failed=()

# check NAME COMMAND…: runs it, and says how long it took; its outcome is told at the end.
check() {
    local name=$1 start=$SECONDS outcome
    shift
    echo "== $name"
    if "$@"; then outcome=passed; else outcome=FAILED; fi
    local took="$name ($((SECONDS - start)) s)"
    echo "== $outcome: $took"
    if [ "$outcome" = passed ]; then passed+=("$took"); else failed+=("$took"); fi
}

leave_out() { echo "left out: $1" >>"$left_out"; }

# Returns whether a component of the Rust toolchain is installed; tries to install it.
has_component() {
    cargo "$2" --version >/dev/null 2>&1 && return
    if command -v rustup >/dev/null && rustup component add "$1" >&2; then
        cargo "$2" --version >/dev/null 2>&1 && return
    fi
    leave_out "$3: needs $1 (rustup component add $1)"
    return 1
}

lint() { cargo clippy --quiet --all-targets "$@" -- -D warnings; }
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --features cli,compression; }
# The gateway is an example with tests of its own, which cargo builds in the place of the program.
tests() {
    cargo build --quiet --features cli,compression --example gateway &&
        cargo test --features cli,compression --no-fail-fast 2>&1 | tee "$log"
}
drills() {
    cargo build --quiet --release --features cli --example drill_server && cargo test --quiet --release --features cli --test drill 2>&1 | tee -a "$log"
}
tls_quality() { cargo test --quiet --release --features cli --test tls_quality --test check_agreement 2>&1 | tee -a "$log"; }
# The parts of the library and of the command, each without the others.
parts() {
    local features
    for features in device acme check handler-timeout proxy scan compression tls-parameters upgrade websocket post-quantum; do
        cargo clippy --quiet --lib --features "$features" -- -D warnings || return
    done
    # It adds an option, which the tests with `cli` have.
    cargo clippy --quiet --lib --bins --features serve,proxy -- -D warnings || return
    for features in serve serve,acme serve,check serve,scan; do
        cargo clippy --quiet --lib --bins --features "$features" -- -D warnings || return
        cargo test --quiet --features "$features" --bin lockgate 2>&1 | tee -a "$log" || return
    done
}
instructions() {
    cargo build --quiet --release --features cli &&
        cargo build --quiet --release --features cli,post-quantum --example bench_server --example instructions &&
        "$target/release/examples/instructions"
}
# X25519MLKEM768: its own tests, and those of what it changes.
post_quantum() {
    local with=(--quiet --features cli,post-quantum)
    cargo clippy "${with[@]}" --all-targets -- -D warnings &&
        cargo test "${with[@]}" --lib --test post_quantum --test check_net --test handshakes 2>&1 | tee -a "$log"
}
other_processor() { tests/cross.sh short 2>&1 | tee -a "$log"; }
# The benchmark is a workspace of its own. One test of it starts lockgate's example and
# what was written like it with others.
benchmark() {
    local workspace=(--quiet --manifest-path benches/Cargo.toml --target-dir "$target/bench/build")
    cargo clippy "${workspace[@]}" --workspace --all-targets -- -D warnings &&
        cargo build --quiet --features cli,compression --example gateway &&
        cargo build "${workspace[@]}" -p rouille-gateway &&
        cargo test "${workspace[@]}" -p driver -p axum-gateway 2>&1 | tee -a "$log"
}

quick() {
    tests/install.sh curl=curl openssl=openssl node=nodejs python3=python3 nginx=nginx-light haproxy=haproxy \
        chromium=chromium certutil=libnss3-tools faketime=faketime git=git gnutls-cli=gnutls-bin pebble=pebble
    tests/install_redbot.sh
    tests/install_openapi.sh
    tests/install_websockets.sh
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
    check 'recipes for firmware' tests/packaging.sh
}

# Of `make cross` only a short form is among these, and `make board` is not: they take an hour and some 8 minutes of CPU, for
# release builds and an emulator.
slow() {
    tests/install.sh curl=curl openssl=openssl python3=python3 nginx=nginx-light testssl=testssl.sh valgrind=valgrind \
        chromium=chromium certutil=libnss3-tools
    tests/install_sslyze.sh
    tests/install_pyopenssl.sh
    if has_component clippy clippy 'the features apart'; then check 'the features apart' parts; fi
    if has_component clippy clippy 'post-quantum key exchange'; then check 'post-quantum key exchange' post_quantum; fi
    if tests/toolchain.sh 1.78 >/dev/null && tests/toolchain.sh 1.85 >/dev/null; then
        check 'the oldest compilers' tests/msrv.sh
    else
        leave_out 'the oldest compilers: needs Rust 1.78 and 1.85; tests/toolchain.sh says why they cannot be had'
    fi
    if tests/toolchain.sh 1.85 armv7-unknown-linux-gnueabihf >/dev/null; then
        check 'a 32-bit ARM processor, in short' other_processor
    else
        leave_out 'a 32-bit ARM processor: needs Rust 1.85 for it; tests/toolchain.sh says why it cannot be had'
    fi
    check 'TLS quality' tls_quality
    check 'drills, in short' drills
    if [ "$(uname -m)" != x86_64 ]; then
        leave_out 'instructions a request, and sizes: what they are held to is for x86-64'
    else
        if command -v valgrind >/dev/null; then
            check 'instructions a request' instructions
        else
            leave_out 'instructions a request: needs valgrind'
        fi
        check sizes make --no-print-directory sizes
    fi
    if has_component clippy clippy 'lints of the benchmark'; then check 'the benchmark' benchmark; fi
    check 'fuzzing, 15 s a target' make --no-print-directory fuzz FUZZ_SECONDS=15
}

case $part in
quick | slow) "$part" ;;
*)
    echo 'usage: tests/all.sh quick|slow' >&2
    exit 64
    ;;
esac

echo
# cargo's own summaries, each under the name of its test program.
grep -E '^( +Running | +Doc-tests |test result: |test .* FAILED$)' "$log"
echo
[ "${#passed[@]}" -eq 0 ] || printf 'passed: %s\n' "${passed[@]}"
[ "${#failed[@]}" -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
if [ -s "$left_out" ]; then
    sort -u "$left_out"
else
    echo 'nothing was left out'
fi
[ "$part" = slow ] || echo 'what takes longer: make test-slow'

[ "${#failed[@]}" -eq 0 ] || exit 1
if [ "${CI:-}" = true ] && grep -q ': needs ' "$left_out"; then
    echo 'nothing may be left out here' >&2
    exit 1
fi
