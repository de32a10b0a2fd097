#!/usr/bin/env bash
# Builds and tests with the oldest compilers: `make msrv`. The library and the command with 1.78, and everything with 1.85.
# rust-version in Cargo.toml is 1.75; 1.78 is the next compiler that Debian has (tests/toolchain.sh), and what the standard
# library has only since 1.76 or 1.77 is refused by clippy. The command is built from vendored sources, offline, as distributions
# do it. Exits with 69 when a compiler cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
tests=(--lib --test wire --test limits --test stop)

# A newer cargo gives --check-cfg to every compiler, and before 1.80 none knows it. This is that compiler, without it.
mkdir -p "$target/msrv"
without_check_cfg=$(cd "$target/msrv" && pwd)/without-check-cfg
cat >"$without_check_cfg" <<'END'
#!/usr/bin/env bash
arguments=()
while [ $# -gt 0 ]; do
    if [ "$1" = --check-cfg ]; then shift; else arguments+=("$1"); fi
    shift
done
exec "${arguments[@]}"
END
chmod +x "$without_check_cfg"
# Nobody debugs these, and each crate is compiled once.
export CARGO_PROFILE_DEV_DEBUG=false CARGO_INCREMENTAL=0
export RUSTC_WRAPPER=$without_check_cfg

# with VERSION COMMAND…: runs cargo with that compiler, in a target folder of its own.
with() {
    local version=$1 compiler
    shift
    compiler=$(tests/toolchain.sh "$version") || exit
    RUSTC=$compiler RUSTDOC=$(dirname "$compiler")/rustdoc CARGO_TARGET_DIR=$target/msrv/$version cargo "$@"
}

with 1.78 test --quiet --locked "${tests[@]}"
with 1.85 test --quiet --locked --all-features "${tests[@]}" --bins --test device --test compile_fail

# The command and the examples with 1.78, from vendored sources. They are in a copy, because cargo reads .cargo/config.toml from the
# folder it builds in.
# (With --quiet cargo does not print what belongs there.)
copy=$target/msrv/vendored
rm -rf "$copy"
mkdir -p "$copy/.cargo"
cp -r Cargo.toml Cargo.lock README.md SECURITY.md src tests examples "$copy"
if ! (cd "$copy" && cargo vendor --locked vendor >.cargo/config.toml 2>vendor.log); then
    cat "$copy/vendor.log" >&2
    exit 1
fi
compiler=$(tests/toolchain.sh 1.78)
compiler=$(realpath "$compiler")
(cd "$copy" && RUSTC=$compiler CARGO_HOME=$PWD/home CARGO_TARGET_DIR=built \
    cargo check --quiet --offline --locked --features cli,compression --lib --bins --examples)
rm -rf "$copy"
echo 'Rust 1.78 and 1.85 build it and pass its tests, and 1.78 builds it offline from vendored sources'
