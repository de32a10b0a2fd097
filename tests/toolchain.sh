#!/usr/bin/env bash
# Brings an older Rust compiler, and the standard library for other processors, beside the compiler that is installed:
# tests/toolchain.sh VERSION [TARGET…]. It prints one line: the path of a rustc for cargo's RUSTC, with rustdoc beside it for
# RUSTDOC. They link for each target with the right linker. Everything else goes to standard error.
#
#   RUSTC=$(tests/toolchain.sh 1.85 armv7-unknown-linux-gnueabihf) cargo build --target armv7-unknown-linux-gnueabihf
#
# On Debian 12 it takes the compilers from Debian's packages (rustc-web): 1.85 for x86-64, i686, armv7, aarch64, powerpc64le
# and s390x, 1.96 for x86-64 and aarch64, and from Debian 11 1.78. It unpacks them, and the libraries that they need, into a
# folder, and installs no compiler. Elsewhere it asks rustup for that version. Linkers, the targets' libc and qemu are
# installed with apt-get where that is possible (tests/install.sh).
#
# The version "installed" is the compiler that is there, and rustup brings the standard libraries: that is how those for musl come,
# which Debian has not. That compiler is not wrapped, so the caller tells cargo the linkers.
#
# The folder is toolchains/ in cargo's target folder, or LOCKGATE_TOOLCHAINS; a second call does nothing. 0.4 GB each for
# the compiler, 0.1 to 0.2 GB for a target. It exits with 69 when a part cannot be had, and says which and why.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || { echo 'usage: tests/toolchain.sh VERSION [TARGET…], for example 1.85 aarch64-unknown-linux-gnu' >&2; exit 64; }
version=$1
shift
target_folder=${CARGO_TARGET_DIR:-target}
mkdir -p "${LOCKGATE_TOOLCHAINS:-$target_folder/toolchains}"
folder=$(cd "${LOCKGATE_TOOLCHAINS:-$target_folder/toolchains}" && pwd)/$version
host=$(rustc -vV | sed -n 's/^host: //p')

say() { echo "$@" >&2; }
cannot() { say "tests/toolchain.sh: $*"; exit 69; }

# Debian's name of the processor of a target.
debian_name() {
    case $1 in
    x86_64-unknown-linux-gnu) echo amd64 ;;
    i686-unknown-linux-gnu) echo i386 ;;
    aarch64-unknown-linux-gnu) echo arm64 ;;
    armv7-unknown-linux-gnueabihf) echo armhf ;;
    powerpc64le-unknown-linux-gnu) echo ppc64el ;;
    s390x-unknown-linux-gnu) echo s390x ;;
    *) return 1 ;;
    esac
}

# The prefix of the cross tools of a target, and the name under which Debian has its libc.
tools() {
    case $1 in
    i686-unknown-linux-gnu) echo i686-linux-gnu i386 ;;
    aarch64-unknown-linux-gnu) echo aarch64-linux-gnu arm64 ;;
    armv7-unknown-linux-gnueabihf) echo arm-linux-gnueabihf armhf ;;
    powerpc64le-unknown-linux-gnu) echo powerpc64le-linux-gnu ppc64el ;;
    s390x-unknown-linux-gnu) echo s390x-linux-gnu s390x ;;
    *) return 1 ;;
    esac
}

# A target whose programs have musl in them, which Rust brings. Only C code needs a compiler that knows it.
is_musl() { [[ $1 = *-linux-musl* ]]; }

# apt NAME COMMAND…: runs an apt-get or apt-cache command for that processor. Lists and downloads are in a folder of their
# own, so that it needs no root, and the lists of this machine stay as they are.
apt() {
    local name=$1 state=$folder/apt/$1 program=$2
    local older=()
    [ ! -d "$state/sources.list.d" ] || older=(-oDir::Etc::SourceList=/dev/null -oDir::Etc::SourceParts="$state/sources.list.d")
    shift 2
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >>"$state/status"
    "$program" -oAPT::Architecture="$name" -oAPT::Architectures::="$name" -oAPT::Sandbox::User="$(id -un)" \
        -oDir::State="$state" -oDir::State::lists="$state/lists" -oDir::State::status="$state/status" \
        -oDir::Cache="$state/cache" "${older[@]}" -oAcquire::Languages=none -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}

# Brings the lists of packages for that processor. A list that cannot be had only matters if a package is then missing.
lists() { apt "$1" apt-get update --quiet=2 >&2 || say "apt-get update is not complete for $1; going on with the lists that there are"; }

# release NAME PACKAGE: the newest release of that version that Debian has of a package, such as 1.85.0+dfsg3-1~deb12u3.
release() { apt "$1" apt-cache madison "$2" | awk -F' *[|] *' -v version="$version" 'index($2, version ".") == 1 { print $2; exit }'; }

# unpack NAME PACKAGE…: downloads the packages and unpacks them over the compiler.
unpack() {
    local name=$1 downloads=$folder/apt/$1/downloads package
    shift
    mkdir -p "$downloads" "$folder/root"
    (cd "$downloads" && apt "$name" apt-get download --quiet=2 "$@" >&2) || cannot "apt-get could not download $*"
    for package in "$downloads"/*.deb; do
        dpkg -x "$package" "$folder/root"
        rm "$package"
    done
}

# Takes packages from Debian 11 in place of Debian 12, from the same servers.
look_in_older() {
    local parts=$folder/apt/$1/sources.list.d file
    mkdir -p "$parts"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ ! -e "$file" ] || sed 's/bookworm/bullseye/g' "$file" >"$parts/$(basename "$file")"
    done
    lists "$1"
}

# The compiler itself, from Debian.
compiler_from_debian() {
    local name=$1 release llvm others
    release=$(release "$name" rustc-web)
    if [ -z "$release" ]; then
        look_in_older "$name"
        release=$(release "$name" rustc-web)
        [ -n "$release" ] || return 1
    fi
    say "unpacking rustc $release into $folder"
    unpack "$name" rustc-web="$release" libstd-rust-web-dev="$release" "libstd-rust-web-$version=$release"
    llvm=$(apt "$name" apt-cache depends "libstd-rust-web-$version=$release" | sed -n 's/^ *Depends: \(libllvm[0-9]*\)$/\1/p')
    unpack "$name" "$llvm"
    if LD_LIBRARY_PATH=$(libraries) ldd "$folder"/root/usr/lib/*/libLLVM*.so* | grep 'not found' >&2; then
        # Everything that LLVM needs, but libc and what belongs to gcc, which rustc cannot link without.
        mapfile -t others < <(apt "$name" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
            --no-replaces --no-enhances "$llvm" | grep -E '^[a-z0-9]' | grep -vE "^(libc6|libgcc-s1|libcrypt1|libstdc\\+\\+6|gcc-.*|$llvm)$")
        unpack "$name" "${others[@]}"
    fi
    rm -rf "$folder/root/usr/share"
}

# The folders of the libraries of a compiler from Debian.
libraries() { find "$folder/root" -name '*.so*' -not -path '*/rustlib/*' -printf '%h\n' | sort -u | paste -sd:; }

# The standard library of a target, from Debian.
target_from_debian() {
    local name release
    name=$(debian_name "$1") || cannot "no package is known that has the standard library for $1; with rustup: rustup target add $1"
    lists "$name"
    release=$(release "$name" libstd-rust-web-dev)
    [ -n "$release" ] || cannot "this machine's Debian has no standard library of Rust $version for $1 (libstd-rust-web-dev:$name)"
    say "unpacking the standard library of $release for $1"
    unpack "$name" libstd-rust-web-dev="$release"
    rm -rf "$folder/root/usr/share" "$folder/apt/$name"
}

# Says that a program cannot be had, for a target that needs it.
needs() { cannot "$1 needs $2; on Debian: apt-get install $3"; }

# The linker, libc and, for other processors than this one, qemu of a target.
linker_of() {
    local names prefix libc
    [ "$1" != "$host" ] || return 0
    if is_musl "$1"; then
        [ "${1%%-*}" = "${host%%-*}" ] || cannot "no C compiler is known for $1"
        tests/install.sh musl-gcc=musl-tools
        command -v musl-gcc >/dev/null || needs "$1" 'a C compiler' musl-tools
        return 0
    fi
    read -r prefix libc < <(tools "$1") || cannot "no linker is known for $1"
    local packages=(gcc-${prefix} "libc6-dev-$libc-cross")
    if ! command -v "$prefix-gcc" >/dev/null || [ ! -e "/usr/$prefix/include/stdio.h" ]; then
        tests/install.sh "libc-of-$libc=${packages[*]}"
        command -v "$prefix-gcc" >/dev/null && [ -e "/usr/$prefix/include/stdio.h" ] || needs "$1" "a linker and a libc" "${packages[*]}"
    fi
    if [ "$libc" = i386 ]; then
        # A processor of x86-64 runs these programs itself; they need their loader.
        if [ ! -e /lib/ld-linux.so.2 ]; then
            tests/install.sh loader-of-i386="libc6-i386 lib32gcc-s1"
            [ -e /lib/ld-linux.so.2 ] || needs "$1" 'its loader' 'libc6-i386 lib32gcc-s1'
        fi
    else
        tests/install.sh qemu-arm-static=qemu-user-static
    fi
}

if [ "$version" = installed ]; then
    command -v rustup >/dev/null || cannot 'there is no rustup to bring standard libraries for the installed compiler'
    for target; do
        rustup target add "$target" >&2 || cannot "rustup has no standard library of the installed compiler for $target"
        linker_of "$target"
    done
    rustup which rustc
    exit
fi

if [ ! -e "$folder/bin/rustc" ]; then
    mkdir -p "$folder/bin"
    name=$(debian_name "$host" || true)
    if [ -n "$name" ] && command -v apt-get dpkg >/dev/null && lists "$name" && compiler_from_debian "$name"; then
        rm -rf "$folder/apt/$name"
        home=$folder/root/usr
        libraries="export LD_LIBRARY_PATH='$(libraries)'"
        echo debian >"$folder/source"
    elif command -v rustup >/dev/null && rustup toolchain install "$version" --profile minimal >&2; then
        home=$(cd "$(dirname "$(rustup which --toolchain "$version" rustc)")/.." && pwd)
        libraries=:
        echo rustup >"$folder/source"
    else
        cannot "Rust $version is neither in this machine's Debian packages (rustc-web, of Debian 12) nor to be had from rustup"
    fi
    for program in rustdoc rustc; do
        cat >"$folder/bin/$program.new" <<END
#!/bin/sh
# Written by tests/toolchain.sh: $program $version, with the linker of the target that it is called for.
home="$home"
$libraries
linker=
for argument; do
    case \$argument in
    i686-unknown-linux-gnu | --target=i686-unknown-linux-gnu) linker=i686-linux-gnu-gcc ;;
    aarch64-unknown-linux-gnu | --target=aarch64-unknown-linux-gnu) linker=aarch64-linux-gnu-gcc ;;
    armv7-unknown-linux-gnueabihf | --target=armv7-unknown-linux-gnueabihf) linker=arm-linux-gnueabihf-gcc ;;
    powerpc64le-unknown-linux-gnu | --target=powerpc64le-unknown-linux-gnu) linker=powerpc64le-linux-gnu-gcc ;;
    s390x-unknown-linux-gnu | --target=s390x-unknown-linux-gnu) linker=s390x-linux-gnu-gcc ;;
    esac
done
exec "\$home/bin/$program" \${linker:+-Clinker=\$linker} "\$@"
END
        chmod +x "$folder/bin/$program.new"
        # Last and at once: that it is there says that the compiler is complete.
        mv "$folder/bin/$program.new" "$folder/bin/$program"
    done
fi

for target; do
    if [ "$(cat "$folder/source")" = rustup ]; then
        rustup target add --toolchain "$version" "$target" >&2 || cannot "rustup has no standard library of Rust $version for $target"
    elif ! ls "$folder/root/usr/lib/rustlib/$target"/lib/libstd-*.rlib >/dev/null 2>&1; then
        target_from_debian "$target"
    fi
    linker_of "$target"
done

echo "$folder/bin/rustc"
