#!/usr/bin/env bash
# Builds the container image lockgate:VERSION by buildah: examples/packaging/container/build.sh [PROGRAM], or `make container`. The
# program is static; without one, it is built. Further words for buildah stand in BUILDAH, such as --root for a storage elsewhere.
set -euo pipefail
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
program=${1:-$(examples/packaging/static.sh)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
tests/install.sh buildah=buildah
rm -rf "$target/container"
mkdir -p "$target/container/state"
mkdir -m 0700 "$target/container/state/lockgate"
cp "$program" "$target/container/lockgate"
# It runs nothing in the image, so no isolation and no privilege is needed. shellcheck disable=SC2086
buildah ${BUILDAH:-} build --isolation chroot --timestamp "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" \
    --file examples/packaging/container/Containerfile --tag "lockgate:$version" "$target/container"
