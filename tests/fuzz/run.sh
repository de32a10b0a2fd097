#!/usr/bin/env bash
# Fuzzes each target, or those that are named, for FUZZ_SECONDS (300): usage: tests/fuzz/run.sh [TARGET…], or only builds them all:
# tests/fuzz/run.sh --build
# Begins with tests/fuzz/corpus and with what earlier runs have found, which is kept beside what is built.
# All run under the address sanitizer, so that faults of memory show too, where the toolchain brings its runtime: the usual
# ones for Linux on x86-64 and ARM64 do. FUZZ_SANITIZER=none leaves it out, and is about twice as fast.
set -uo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-300}
sanitizer=${FUZZ_SANITIZER:-address}
if [ "$sanitizer" = address ]; then
    # The option is for nightly toolchains; but a stable one understands it, and this asks for it by name.
    export RUSTC_BOOTSTRAP=1
    if ! compgen -G "$(rustc --print target-libdir)/librustc-*_rt.asan.a" >/dev/null; then
        echo 'without the address sanitizer: this toolchain does not bring its runtime (librustc-*_rt.asan.a)' >&2
        sanitizer=none
    fi
fi
# The sanitizer would look for leaks once more at the end, and finds the threads that are just begun then.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
build=${CARGO_TARGET_DIR:-target}/fuzz
options=(--fuzz-dir tests/fuzz --sanitizer "$sanitizer" --target-dir "$build")
part=run
[ "${1:-}" != --build ] || { part=build; shift; }
[ "$#" -gt 0 ] || set -- head response chunked target router range if_none_match accept_encoding proxy_header json multipart event socket pem certificate post_quantum connection exchange parked

if ! cargo fuzz build "${options[@]}"; then
    echo 'the fuzz targets do not build (libFuzzer needs a C++ compiler, c++)' >&2
    exit 1
fi
[ "$part" = run ] || exit 0
# Private keys are never kept in a repository, so a good pair for the target pem is made here.
if command -v openssl >/dev/null; then
    mkdir -p "$build/corpus/pem"
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout - -out - >"$build/corpus/pem/good" 2>/dev/null)
fi

# fuzz TARGET: runs it, and says how it ended.
fuzz() {
    local target=$1 found crashes log before status runs new covered
    found=$build/corpus/$target
    crashes=tests/fuzz/artifacts/$target
    log=$build/$target.log
    mkdir -p "$found" "$crashes"
    before=$(ls "$crashes")
    # To look for leaks the sanitizer would have to trace the process, which containers forbid.
    cargo fuzz run "${options[@]}" "$target" "$found" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=30 -rss_limit_mb=1024 -print_final_stats=1 \
        -dict=tests/fuzz/head.dict -detect_leaks=0 >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    new=$(sed -n 's/^stat::new_units_added: *//p' "$log")
    covered=$(grep -oE ' cov: [0-9]+' "$log" | tail -n 1)
    if [ "$status" -eq 0 ]; then
        echo "$target: ${runs:-?} runs, ${new:-?} new units,${covered:- cov: ?}, no fault"
        return
    fi
    tail -n 60 "$log"
    echo "$target: FAILED after ${runs:-?} runs (all of it: $log)"
    for input in $(comm -13 <(echo "$before") <(ls "$crashes")); do
        echo "the input:  $crashes/$input"
        echo "once more:  cargo fuzz run ${options[*]} $target $crashes/$input"
        echo "smaller:    cargo fuzz tmin ${options[*]} $target $crashes/$input"
    done
    return 1
}

# Each target uses one core.
failed=0
while [ "$#" -gt 0 ]; do
    running=()
    for target in "${@:1:$(nproc)}"; do
        fuzz "$target" &
        running+=($!)
    done
    shift "${#running[@]}"
    for process in "${running[@]}"; do
        wait "$process" || failed=1
    done
done
exit "$failed"
