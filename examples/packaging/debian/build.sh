#!/usr/bin/env bash
# Makes the Debian package: examples/packaging/debian/build.sh, or `make deb`. It prints the path of the file. What it makes is in
# cargo's target folder: the command with all its parts, manual pages and completions, and the package in debian/.
#
#   MAINTAINER='Name <mail>'   who answers for the package; otherwise git's user
#   REVISION=1                 what follows the version of Cargo.toml; raise it when only the packaging has changed
#   BUILD=auditable            builds by cargo-auditable, which puts the list of crates into the program
#
# It needs the crate cargo-deb, which it installs if it is not there, and dpkg-shlibdeps (dpkg-dev).
set -euo pipefail
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
revision=${REVISION:-1}
maintainer=${MAINTAINER:-$(git config user.name) <$(git config user.email)>}
# Dates in the package are those of the sources, so that a build can be repeated.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

{
    cargo deb --version >/dev/null 2>&1 || cargo install --locked --debug cargo-deb
    tests/install.sh dpkg-shlibdeps=dpkg-dev
    if [ "${BUILD:-}" = auditable ]; then
        cargo auditable build --release --locked --features cli --bin lockgate
    else
        cargo build --release --locked --features cli --bin lockgate
    fi
    # cargo-deb reads these beside Cargo.toml.
    mkdir -p target/debian
    cargo build --locked --features cli,manual --bin lockgate
    rm -rf target/manual
    "$target/debug/lockgate" manual target/manual
    # The list of users' changes is CHANGELOG.md; this one is for the package.
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    {
        echo "lockgate ($version-$revision) unstable; urgency=medium"
        echo
        echo "  * Version $version. What is new in it: CHANGELOG.md."
        echo
        echo " -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
    } >target/debian/changelog
} >&2
cargo deb --no-build --no-strip --locked --features cli --maintainer "$maintainer" --deb-revision "$revision" "$@"
