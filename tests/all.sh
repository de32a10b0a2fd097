#!/usr/bin/env bash
# Runs the checks and tests: tests/all.sh quick|slow. `make test` runs the quick ones, which need only debug builds; `make
# test-slow` the rest, which need release builds and minutes. At the end it lists what passed and how long it took, what
# failed, and what was left out and how to install it. With CI=true nothing may be left out.
set -uo pipefail
cd "$(dirname "$0")/.."

part=${1:-quick}
target=${CARGO_TARGET_DIR:-target}
left_out=$target/left-out.txt
# What is told at the end, kept for who runs both parts.
summary=$target/summary-$part.txt
# The outcome and the log of each group, and the output of those that run beside another.
groups=$target/groups
mkdir -p "$target"
rm -rf "$groups" "$summary"
mkdir "$groups"
: >"$left_out"
: >"$target/test.log"
: >"$groups/outcomes"
# There everything is built once, so what makes the next build quicker only takes time.
[ "${CI:-}" != true ] || export CARGO_INCREMENTAL=0

# Builds that lack room fail with errors that tell of it late, and programs under test with errors that do not.
free=$(df --output=avail -BG "$target" 2>/dev/null | tail -1 | tr -dc 0-9)
[ "${free:-99}" -ge 10 ] || echo "$free GiB are free where $target is; all tests together need 10." | tee -a "$target/test.log" >&2

# check NAME COMMAND…: runs it, and says how long it took; its outcome is told at the end. What the command writes to $log is
# listed there too.
check() {
    local name=$1 start=$SECONDS outcome=passed
    shift
    log=$(mktemp "$groups/log.XXXXXX")
    [ -z "$is_beside" ] || echo "== beside this: $name" >&3
    echo "== $name"
    in_time "$@" || outcome=FAILED
    local took="$outcome: $name ($((SECONDS - start)) s)"
    echo "== $took"
    echo "$took" >>"$groups/outcomes"
    cat "$log" >>"$target/test.log"
    rm "$log"
}
is_beside=''

# in_time COMMAND…: runs it. In CI it has 20 minutes, so that a command that hangs is told by its name, and the others still run.
in_time() {
    if [ "${CI:-}" != true ]; then
        "$@"
        return
    fi
    local command watch outcome=0
    # Each in a process group of its own, which ends as a whole.
    set -m
    "$@" </dev/null &
    command=$!
    {
        sleep 1200
        echo '== not done within 1200 s, and ended'
        kill -- -"$command"
    } &
    watch=$!
    set +m
    wait "$command" || outcome=$?
    kill -- -"$watch" 2>/dev/null
    wait "$watch" 2>/dev/null
    return "$outcome"
}

leave_out() { echo "left out: $1" >>"$left_out"; }

# two_at_a_time FUNCTION…: runs these, two at a time where there are two cores: much of a build is one thread, and much of a test
# waits. The first one runs here, where it is seen. What runs beside is kept, and shown when what is here has ended.
two_at_a_time() {
    second=''
    rm -rf "$groups"/taken.* "$groups/nothing-is-here"
    mkdir "$groups/taken.1"
    if [ "$(nproc 2>/dev/null || echo 1)" -gt 1 ]; then
        # In a process group of its own, which ends with this script.
        set -m
        run_beside "$@" </dev/null &
        second=$!
        set +m
        trap 'kill -- -"$second" 2>/dev/null' EXIT
    fi
    "$1"
    show
    run_remaining "$@"
    : >"$groups/nothing-is-here"
    show
    if [ -n "$second" ]; then
        wait "$second" || echo 'FAILED: what ran beside another group has not come to its end' >>"$groups/outcomes"
        trap - EXIT
        show
    fi
}

run_beside() {
    exec 3>&1
    is_beside=yes
    run_remaining "$@"
    exit 0
}

# Runs those that nobody has taken yet.
run_remaining() {
    local number=0 run
    for run; do
        number=$((number + 1))
        mkdir "$groups/taken.$number" 2>/dev/null || continue
        if [ -n "$is_beside" ]; then
            "$run" >"$groups/output.$number" 2>&1
            mv "$groups/output.$number" "$groups/whole.$number"
            [ -e "$groups/nothing-is-here" ] || continue
        else
            "$run"
        fi
        show
    done
}

# Shows the output of what has ended beside this, once.
show() {
    local output
    for output in "$groups"/whole.*; do
        mv "$output" "$groups/shown" 2>/dev/null && cat "$groups/shown"
    done
    return 0
}

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
# With the features that the tests have. `parts` reads the library and the command with others.
lints() {
    [ -n "$clippy" ] || return 0
    check lints lint --features cli,compression
    check 'lints of the library alone' lint
}
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --features cli,compression; }
documentation() { check documentation docs; }
# The gateway is an example with tests of its own, which cargo builds in the place of the program.
build_tests() {
    cargo build --quiet --features cli,compression --example gateway &&
        cargo test --quiet --features cli,compression --no-run
}
programs() { check "the tests' programs" build_tests; }
run_tests() { cargo test --features cli,compression --no-fail-fast 2>&1 | tee "$log"; }
tests() { check tests run_tests; }
# With the command as the tests have it: another build in its place would disturb those that run beside this.
recipes() { check 'recipes for firmware' tests/packaging.sh "$target/debug/lockgate"; }
operations() { check 'files for operators' tests/operations.sh "$target/debug/lockgate"; }

install_for_quick() {
    tests/install.sh curl=curl openssl=openssl node=nodejs python3=python3 nginx=nginx-light haproxy=haproxy \
        chromium=chromium certutil=libnss3-tools faketime=faketime git=git goaccess=goaccess gnutls-cli=gnutls-bin pebble=pebble setcap=libcap2-bin
    tests/install_redbot.sh
    tests/install_openapi.sh
    tests/install_websockets.sh
    tests/install_backends.sh
    tests/install_packaging.sh
    tests/install_promtool.sh
    tests/install_operations.sh
}

quick() {
    if has_component rustfmt fmt formatting; then
        check formatting cargo fmt --check
        check "the benchmark's formatting" cargo fmt --check --all --manifest-path benches/Cargo.toml
    fi
    clippy=''
    has_component clippy clippy lints && clippy=yes
    two_at_a_time programs install_for_quick
    two_at_a_time tests lints documentation recipes operations
}

install_for_slow() {
    tests/install.sh curl=curl openssl=openssl python3=python3 nginx=nginx-light testssl=testssl.sh valgrind=valgrind \
        chromium=chromium certutil=libnss3-tools c++=g++ go=golang-go \
        man=man-db mandoc=mandoc zsh=zsh fish=fish
    tests/install_sslyze.sh
    tests/install_pyopenssl.sh
    tests/toolchain.sh 1.78 >/dev/null
    tests/toolchain.sh 1.85 armv7-unknown-linux-gnueabihf >/dev/null
}

# Nothing that needs the release build runs beside this, because for a moment the command with less stands in its place.
sizes() {
    if [ "$(uname -m)" = x86_64 ]; then
        check sizes make --no-print-directory sizes
    else
        leave_out 'instructions a request, and sizes: what they are held to is for x86-64'
    fi
}

# What the drills and the count of instructions need, but for the command, which `sizes` has built. Only the servers are release
# builds: what drives them is built in a moment from what the tests have built.
releases() {
    check 'release builds' build_releases
    instructions
}
build_releases() {
    cargo build --quiet --release --features cli &&
        cargo build --quiet --release --features cli,post-quantum --example drill_server --example bench_server --example instructions &&
        cargo test --quiet --features cli,compression --test drill --no-run
}

# What valgrind counts does not depend on what runs beside it.
instructions() {
    if [ "$(uname -m)" != x86_64 ]; then return; fi
    if command -v valgrind >/dev/null; then
        check 'instructions a request' "$target/release/examples/instructions"
    else
        leave_out 'instructions a request: needs valgrind'
    fi
}

oldest_compilers() {
    if tests/toolchain.sh 1.78 >/dev/null && tests/toolchain.sh 1.85 >/dev/null; then
        check 'the oldest compilers' tests/msrv.sh
    else
        leave_out 'the oldest compilers: needs Rust 1.78 and 1.85; tests/toolchain.sh says why they cannot be had'
    fi
}

other_processor() {
    if tests/toolchain.sh 1.85 armv7-unknown-linux-gnueabihf >/dev/null; then
        check 'a 32-bit ARM processor, in short' run_other_processor
    else
        leave_out 'a 32-bit ARM processor: needs Rust 1.85 for it; tests/toolchain.sh says why it cannot be had'
    fi
}
run_other_processor() { tests/cross.sh short 2>&1 | tee "$log"; }

install_and_features() {
    install_for_slow
    if [ -n "$clippy" ]; then check 'the features apart' parts; fi
    if [ -n "$clippy" ]; then check 'post-quantum key exchange' post_quantum; fi
    check 'manual pages and completions' tests/manual.sh
    check 'Go behind the proxy' go_backends
}
# The parts of the library and of the command, each without the others.
parts() {
    local features
    for features in device acme check handler-timeout operations proxy scan compression tls-parameters upgrade websocket post-quantum; do
        cargo clippy --quiet --lib --features "$features" -- -D warnings || return
    done
    # Without the tests, which are those of `cli,compression`.
    for features in serve,proxy cli; do
        cargo clippy --quiet --lib --bins --features "$features" -- -D warnings || return
    done
    for features in serve serve,acme serve,check serve,scan; do
        cargo clippy --quiet --lib --bins --features "$features" -- -D warnings || return
        cargo test --quiet --features "$features" --bin lockgate 2>&1 | tee -a "$log" || return
    done
}
# X25519MLKEM768: its own tests, and those of what it changes.
post_quantum() {
    local with=(--quiet --features cli,post-quantum) tests=(--lib --test post_quantum --test check_net --test handshakes)
    # The second line reads the unit tests.
    cargo clippy "${with[@]}" "${tests[@]}" --bins --examples -- -D warnings &&
        cargo clippy "${with[@]}" --lib --bins --profile test -- -D warnings &&
        cargo test "${with[@]}" "${tests[@]}" 2>&1 | tee "$log"
}
# Go takes most of a minute to install, so what needs it is not among the quick tests.
go_backends() { cargo test --quiet --features cli,compression --test proxy -- --ignored 2>&1 | tee "$log"; }

# The benchmark is a workspace of its own. One test of it starts lockgate's example and
# what was written like it with others.
benchmark() {
    if [ -n "$clippy" ]; then check 'the benchmark' test_benchmark; fi
}
test_benchmark() {
    local workspace=(--quiet --manifest-path benches/Cargo.toml --target-dir "$target/bench/build")
    cargo clippy "${workspace[@]}" --workspace --all-targets -- -D warnings &&
        cargo build --quiet --features cli,compression --example gateway &&
        cargo build "${workspace[@]}" -p rouille-gateway &&
        cargo test "${workspace[@]}" -p driver -p axum-gateway 2>&1 | tee "$log"
}

fuzz_programs() { check 'programs to fuzz' make --no-print-directory fuzz-programs; }

tls_quality() { check 'TLS quality' run_tls_quality; }
run_tls_quality() { make --no-print-directory tls-quality 2>&1 | tee "$log"; }

run_drills() {
    LOCKGATE_BUILT=$target/release cargo test --quiet --features cli,compression --test drill 2>&1 | tee "$log"
}

# Of `make cross` only a short form is among these, and `make board` is not: they take an hour and some 8 minutes of CPU, for
# release builds and an emulator.
slow() {
    clippy=''
    has_component clippy clippy 'the features apart, post-quantum key exchange and the benchmark' && clippy=yes
    # Those that build in one folder are apart, because they would wait for each other.
    two_at_a_time sizes install_and_features
    two_at_a_time oldest_compilers releases tls_quality other_processor fuzz_programs benchmark
    # What is measured here must have the machine for itself.
    check 'drills, in short' run_drills
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
grep -E '^( +Running | +Doc-tests |test result: |test .* FAILED$)' "$target/test.log"
echo
{
    grep '^passed: ' "$groups/outcomes"
    grep '^FAILED: ' "$groups/outcomes"
    if [ -s "$left_out" ]; then
        sort -u "$left_out"
    else
        echo 'nothing was left out'
    fi
    echo "in all: $SECONDS s"
} | tee "$summary"
[ "$part" = slow ] || echo 'what takes longer: make test-slow'

! grep -q '^FAILED: ' "$groups/outcomes" || exit 1
if [ "${CI:-}" = true ] && grep -q ': needs ' "$left_out"; then
    echo 'nothing may be left out here' >&2
    exit 1
fi
