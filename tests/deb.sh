#!/usr/bin/env bash
# Tests the Debian package: `make deb-test`, or tests/deb.sh PACKAGE of one that is there. lintian reads it, and a clean Debian 12
# (debootstrap, minbase, kept in target/deb/) installs, upgrades, removes and purges it; the server that it installed answers curl
# there. No systemd runs in it, as in an image that is being built. Needs root, for chroot; half a minute once the Debian is there.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cannot() { echo "left out: the Debian package: $*" | tee -a "$target/left-out.txt"; exit 0; }

tests/install.sh debootstrap=debootstrap lintian=lintian unshare=util-linux dpkg-deb=dpkg
[ "$(id -u)" -eq 0 ] || cannot 'needs root'
for program in debootstrap lintian unshare dpkg-deb; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || cannot "needs $program (tests/install.sh)"
done
package=${1:-$(examples/packaging/debian/build.sh)}

# A reader of packages. Its warnings are shown, its errors end this.
lintian --allow-root --fail-on error "$package" || { echo 'FAILED: lintian' >&2; exit 1; }

mkdir -p "$target/deb"
work=$(cd "$target/deb" && pwd)
if [ ! -e "$work/bookworm.tar" ]; then
    rm -rf "$work/bookworm"
    debootstrap --variant=minbase --include=curl,iproute2 bookworm "$work/bookworm" >"$work/debootstrap.log" ||
        { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    rm -rf "$work"/bookworm/var/cache/apt/archives/*.deb "$work"/bookworm/var/lib/apt/lists/*
    tar -C "$work/bookworm" -cf "$work/bookworm.tar.new" .
    mv "$work/bookworm.tar.new" "$work/bookworm.tar"
    rm -rf "$work/bookworm"
fi
root=$(mktemp -d "$work/root.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$work/bookworm.tar"

# later NAME VERSION: the same package, of that version, with a line more in its settings.
later() {
    local folder=$root/srv/$1
    dpkg-deb -R "$package" "$folder"
    sed -i "s/^Version: .*/Version: $2/" "$folder/DEBIAN/control"
    echo "# $1" >>"$folder/etc/lockgate/lockgate.toml"
    (cd "$folder" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb -Zgzip -z1 -b "$folder" "$root/srv/$1.deb" >/dev/null
    rm -r "$folder"
}
cp "$package" "$root/srv/first.deb"
later second 9.0-1
later third 9.1-1
cp tests/deb/inside.sh "$root/srv/inside.sh"

# A network and processes of its own: ports 443 and 80 are free there, and nothing is left running.
unshare --net --pid --mount --fork --kill-child -- sh -ec '
    mount -t proc proc "$1/proc"
    exec chroot "$1" /bin/bash /srv/inside.sh
' sh "$root"
