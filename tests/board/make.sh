#!/usr/bin/env bash
# Makes what the virtual board needs (tests/board/main.rs): tests/board/make.sh PROGRAM, where PROGRAM is lockgate for armv7.
# It prints one line: the folder with `vmlinuz`, `initramfs` and `state.img`. Everything else goes to standard error.
#
# The kernel is Debian's for armhf (linux-image-armmp), unpacked into the folder and installed nowhere. Beside lockgate, the
# initramfs has busybox, libc, and the modules for virtio and ext4. The folder is board/ in cargo's target folder. A second
# call makes the initramfs alone again. It exits with 69 when a part cannot be had, and says which.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -eq 1 ] && [ -x "$1" ] || { echo 'usage: tests/board/make.sh PROGRAM, which is lockgate for armv7' >&2; exit 64; }
program=$1
PATH=$PATH:/usr/sbin:/sbin
cannot() { echo "tests/board/make.sh: $*" >&2; exit 69; }
mkdir -p "${CARGO_TARGET_DIR:-target}/board"
folder=$(cd "${CARGO_TARGET_DIR:-target}/board" && pwd)

tests/install.sh qemu-system-arm=qemu-system-arm arm-linux-gnueabihf-gcc=gcc-arm-linux-gnueabihf mkfs.ext4=e2fsprogs cpio=cpio curl=curl
[ -e /usr/arm-linux-gnueabihf/include/stdio.h ] || tests/install.sh libc-of-armhf=libc6-dev-armhf-cross
for needed in qemu-system-arm arm-linux-gnueabihf-gcc mkfs.ext4 cpio curl; do
    command -v "$needed" >/dev/null || cannot "$needed is missing"
done

# apt COMMAND…: runs an apt-get or apt-cache command for armhf. Its lists and downloads are in the folder, so that it needs no
# root, and the lists of this machine stay as they are.
apt() {
    local state=$folder/apt program=$1
    shift
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >>"$state/status"
    "$program" -oAPT::Architecture=armhf -oAPT::Architectures::=armhf -oAPT::Sandbox::User="$(id -un)" \
        -oDir::State="$state" -oDir::State::lists="$state/lists" -oDir::State::status="$state/status" \
        -oDir::Cache="$state/cache" -oAcquire::Languages=none -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

if [ ! -e "$folder/vmlinuz" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || cannot 'the kernel is a package of Debian, and there is no apt-get here'
    echo "unpacking a kernel for armhf into $folder" >&2
    # A list that cannot be had only matters if a package is then missing.
    apt apt-get update --quiet=2 >&2 || echo 'apt-get update is not complete; going on with the lists that there are' >&2
    kernel=$(apt apt-cache depends linux-image-armmp | sed -n 's/^ *Depends: \(linux-image-[0-9].*-armmp\)$/\1/p' | head -n 1)
    [ -n "$kernel" ] || cannot "this machine's package lists have no linux-image-armmp for armhf"
    rm -rf "$folder/root" && mkdir -p "$folder/root" "$folder/downloads"
    (cd "$folder/downloads" && apt apt-get download --quiet=2 "$kernel" busybox-static >&2) || cannot "apt-get could not download $kernel and busybox-static"
    for package in "$folder"/downloads/*.deb; do
        dpkg -x "$package" "$folder/root"
    done
    rm -rf "$folder/downloads" "$folder/apt"

    # In the order in which they are loaded. Some kernels have some of them built in, or in others.
    mkdir -p "$folder/modules"
    : >"$folder/modules/order"
    for module in virtio virtio_ring virtio_mmio virtio_blk failover net_failover virtio_net crc16 crc32c_generic mbcache jbd2 ext4; do
        path=$(find "$folder/root/lib/modules" -name "$module.ko*" | head -n 1)
        case $path in
        '') continue ;;
        *.xz) xz -dc "$path" >"$folder/modules/$module.ko" ;;
        *) cp "$path" "$folder/modules/$module.ko" ;;
        esac
        echo "$module.ko" >>"$folder/modules/order"
    done
    cp "$folder/root/bin/busybox" "$folder/busybox"
    # Last, because it says that the rest is complete.
    cp "$folder"/root/boot/vmlinuz-* "$folder/vmlinuz.new"
    rm -rf "$folder/root"
    mv "$folder/vmlinuz.new" "$folder/vmlinuz"
fi

root=$folder/initramfs.d
rm -rf "$root" && mkdir -p "$root"/{bin,dev,etc,lib,modules,proc,state,sys}
cp tests/board/init.sh "$root/init"
cp tests/board/lockgate.toml "$root/etc/"
cp "$folder"/modules/* "$root/modules/"
cp "$folder/busybox" "$root/bin/"
arm-linux-gnueabihf-strip -o "$root/bin/lockgate" "$program"
arm-linux-gnueabihf-gcc -static -s -O2 -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64 -o "$root/bin/set_clock" tests/board/set_clock.c
for library in $(arm-linux-gnueabihf-readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p') ld-linux-armhf.so.3; do
    cp "/usr/arm-linux-gnueabihf/lib/$library" "$root/lib/"
done
chmod +x "$root/init"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0) | gzip -6 >"$folder/initramfs"
ls -l "$root/bin" "$root/lib" | awk 'NF > 8 { print $5, $9 }' >&2

rm -f "$folder/state.img"
truncate -s 16M "$folder/state.img"
mkfs.ext4 -q -F "$folder/state.img"

echo "$folder"
