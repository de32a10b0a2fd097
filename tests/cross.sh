#!/usr/bin/env bash
# Builds lockgate for other processors and tests it there: tests/cross.sh short|full|sizes [NAME…], with the names armv7, aarch64,
# i686, s390x and musl, or all but musl. The tests are built for the other processor. armv7, aarch64 and s390x run under qemu's user
# emulation; i686 is run by an x86-64 processor itself, against the real kernel, and so is musl, which is x86-64 with the other
# libc. Programs that the tests talk to, such as curl and openssl, are this machine's own.
#
# full   builds the whole command too, as a release, and says how large it is; then the unit tests and the tests of the wire,
#        limits, reload, device and stop. s390x, which is big-endian, runs the unit tests.
# sizes  says how large the programs of `make sizes` are, built by the installed compiler, as those of x86-64 are.
# short  what CI runs: armv7, with those unit tests in which the size of a number, its bytes or the time could matter
#        (rooms_in_short), and the command, which must answer a verified request.
#
# tests/cross-left-out.txt names the tests that cannot run so, and why. The compiler is Rust 1.85, which tests/toolchain.sh brings,
# or what CROSS_RUST says; for musl it is the installed one, and CROSS_RUST=installed takes that everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { echo 'usage: tests/cross.sh short|full|sizes [armv7|aarch64|i686|musl|s390x]…' >&2; exit 64; }
part=${1:-}
shift || true
case $part in
short) names=(armv7) ;;
full) names=(armv7 aarch64 i686 s390x) ;;
sizes) names=(armv7 aarch64) ;;
*) usage ;;
esac
[ $# -eq 0 ] || names=("$@")

# Where numbers have other sizes or another order of bytes, or where the time or the memory is counted. The short form tests these
# parts alone, and leaves out what tries very many inputs, because an emulator is slow.
rooms_in_short='accept|calendar|device|escape|http|limits|live|log_limiter|operations|proxy|router|server::(buffers|clock|deadline|pace|rate|schedule|scheduler|timers)|tls|url|wake_list|web'
many_inputs='::properties::|damaged|no_text_is_a_panic|the_pointer_leads_to'
# Each crate of lockgate is compiled once.
export CARGO_INCREMENTAL=0
mkdir -p "${CARGO_TARGET_DIR:-target}/cross"
builds=$(cd "${CARGO_TARGET_DIR:-target}/cross" && pwd)
results=$builds/results.txt
: >"$results"
status=0

# Sets target, libc (where the target's libraries are) and emulator, which is empty when this processor runs the programs.
describe() {
    libc='' emulator='' version=${CROSS_RUST:-1.85}
    [ "$part" != sizes ] || version=${CROSS_RUST:-installed}
    case $1 in
    armv7) target=armv7-unknown-linux-gnueabihf libc=/usr/arm-linux-gnueabihf emulator=qemu-arm-static ;;
    aarch64) target=aarch64-unknown-linux-gnu libc=/usr/aarch64-linux-gnu emulator=qemu-aarch64-static ;;
    s390x) target=s390x-unknown-linux-gnu libc=/usr/s390x-linux-gnu emulator=qemu-s390x-static ;;
    i686) target=i686-unknown-linux-gnu ;;
    musl) target=$(uname -m)-unknown-linux-musl version=installed ;;
    *) usage ;;
    esac
    if [ "$1" = musl ] || [ "$target" = "$(uname -m)-unknown-linux-gnu" ] || { [ "$1" = i686 ] && [ "$(uname -m)" = x86_64 ]; }; then
        emulator=''
    elif [ -z "$emulator" ]; then
        echo "$1 is not run on this machine: its own processor is not of x86-64" >&2
        return 1
    fi
}

# The prefix of the target's C compiler.
tools() {
    local prefix=${target/-unknown/}
    echo "${prefix/armv7/arm}"
}

# Sets the linker. The compilers that tests/toolchain.sh unpacks know theirs, and with musl Rust's own linker is enough.
set_linker() {
    local variable=CARGO_TARGET_${target^^}_LINKER
    [ "$version" != installed ] || [ "$1" = musl ] || export "${variable//-/_}=$(tools)-gcc"
}

# The programs to test on that processor, for cargo.
programs() {
    echo --lib
    case $part-$1 in
    short-*) echo --test stop ;;
    full-s390x) ;;
    full-*) echo --test wire --test stop --test limits --test reload --test device ;;
    esac
}

# In the place of the command, a script that starts it under the emulator: the tests start it by its path. Where they give it
# another time by faketime, it gets that from a library of its own processor.
stand_in() {
    local clock=$builds/$target/clock.so
    "$(tools)-gcc" -O1 -shared -fPIC -o "$clock" tests/cross_clock.c
    # echo takes -E for an option of its own.
    local preload=env
    [ -z "$emulator" ] || preload=-E
    mv "$command" "$command.elf"
    cat >"$command" <<END
#!/bin/sh
clock=
[ -z "\$LD_PRELOAD" ] || { unset LD_PRELOAD; clock=$clock; }
exec ${emulator:+$emulator -L $libc} \${clock:+$preload LD_PRELOAD=\$clock} $command.elf "\$@"
END
    chmod +x "$command"
}
put_back() { [ ! -e "${command:-}.elf" ] || mv "$command.elf" "$command"; }
trap put_back EXIT

# left_out NAME PROGRAM: the tests of a program that are left out on that processor.
left_out() {
    local kinds="$1 everywhere"
    [ -z "$emulator" ] || kinds="$kinds qemu"
    awk -v kinds="$kinds" -v program="$2" '
        !/^#/ && NF { split(kinds, k, " "); for (i in k) if ($1 == k[i] && $2 == program) print $3 }' tests/cross-left-out.txt
}

# run NAME PROGRAM FILE: runs the tests of a program, without those that are left out.
run() {
    local name=$1 program=$2 file=$3 runner=() skipped=() only=() test output start=$SECONDS
    [ -z "$emulator" ] || runner=("$emulator" -L "$libc")
    local known
    known=$("${runner[@]}" "$file" --list | sed -n 's/: test$//p')
    while read -r test; do
        if ! grep -qxF "$test" <<<"$known"; then
            echo "tests/cross-left-out.txt names $program $test, which is not there" >&2
            status=1
        fi
        skipped+=(--skip "$test")
    done < <(left_out "$name" "$program")
    [ "$part" = full ] || mapfile -t only < <(grep -E "^($rooms_in_short)::" <<<"$known" | grep -vE "$many_inputs")
    # As cargo says it, so that tests/all.sh lists it with the results of the other tests.
    echo "     Running $program on $name"
    output=$builds/output.txt
    "${runner[@]}" "$file" --exact "${skipped[@]}" "${only[@]}" 2>&1 | tee "$output" | grep -vE '^test .* \.\.\. ok$|^$|^running ' || true
    local summary
    summary=$(sed -n 's/^test result: //p' "$output")
    if ! grep -q '^ok\.' <<<"$summary"; then
        status=1
    fi
    echo "$name: $program: ${summary:-ended without a result}; left out by name: $((${#skipped[@]} / 2)); $((SECONDS - start)) s" >>"$results"
}

# answers NAME: the command serves as a device, and curl verifies its answer with the CA that it has made.
answers() {
    local state=$builds/$target/state port='' answer='' server
    rm -rf "$state" && mkdir "$state"
    echo "     Running the command on $1"
    # The shell that starts the command makes its files, and may do so later than they are read here.
    : >"$state/out"
    "$command" serve --device --state "$state" --https 127.0.0.1:0 --http off >"$state/out" 2>"$state/log" &
    server=$!
    while kill -0 "$server" 2>/dev/null; do
        port=$(sed -n 's,.* running on https://localhost:\([0-9]*\).*,\1,p' "$state/out")
        [ -z "$port" ] || break
        sleep 0.1
    done
    answer=$(curl --silent --show-error --noproxy '*' --cacert "$state/ca.pem" "https://localhost:$port/api/data") || true
    kill "$server" 2>/dev/null || true
    if wait "$server" && [ "$answer" = '{"message":"Secure data over HTTPS"}' ]; then
        echo "$1: the command makes its certificate, answers a verified request and stops" >>"$results"
    else
        echo "$1: the command did not answer, but: $answer; $(tail -n 3 "$state/log")" >>"$results"
        status=1
    fi
}

# sizes NAME: the smallest program, the command with serve alone and the whole one. The last two have the same path.
sizes() {
    local programs=$builds/$target
    cargo build --quiet --profile small --example smallest --target "$target" --target-dir "$builds"
    size "$1: smallest" "$programs/small/examples/smallest"
    cargo build --quiet --release --target "$target" --target-dir "$builds" --features serve
    size "$1: lockgate with serve alone" "$programs/release/lockgate"
    cargo build --quiet --release "${cargo[@]}"
    size "$1: lockgate with cli" "$programs/release/lockgate"
}
size() { echo "$1: $(stat -c %s "$2") bytes" | tee -a "$results"; }

for name in "${names[@]}"; do
    describe "$name" || { echo "$name: left out" >>"$results"; continue; }
    if ! RUSTC=$(tests/toolchain.sh "$version" "$target"); then
        echo "$name: left out, because its compiler or libraries cannot be had (see above)" >>"$results"
        [ "${CI:-}" != true ] || status=1
        continue
    fi
    export RUSTC
    set_linker "$name"
    cargo=(--target "$target" --target-dir "$builds" --features "$([ "$part" = short ] && echo serve,operations,proxy || echo cli)")
    if [ "$part" = sizes ]; then
        sizes "$name"
        continue
    fi
    if [ "$part" = full ] && [ "$name" != s390x ]; then
        cargo build --quiet --release "${cargo[@]}"
        echo "$name: the whole command: $(stat -c %s "$builds/$target/release/lockgate") bytes" >>"$results"
        # It prints words. shellcheck disable=SC2046
        echo "$name: memory: $(tests/cross_memory.py "$builds/$target/release/lockgate" $emulator $libc)" >>"$results"
    fi
    # Without lines of the sources in backtraces, which take a quarter of the time to build. Optimized code of ring's makes
    # the emulated handshakes five times as quick.
    # Not tee /dev/stderr, which empties the file that standard error may be.
    # programs prints words. shellcheck disable=SC2046
    built=$(cargo test --no-run "${cargo[@]}" --config profile.dev.debug=0 --config profile.dev.package.ring.opt-level=3 \
        $(programs "$name") 2>&1 | tee >(cat >&2) | sed -nE 's/^ +Executable (unittests )?([^ ]+) \((.*)\)$/\2 \3/p')
    command=$builds/$target/debug/lockgate
    [ "$name" = musl ] || [ ! -e "$command" ] || stand_in
    while read -r source file; do
        program=$(basename "$source" .rs)
        [ "$program" != main ] || program=$(basename "$(dirname "$source")")
        run "$name" "$program" "$file"
    done <<<"$built"
    [ "$part" = full ] || answers "$name"
    put_back
done

echo
cat "$results"
exit "$status"
