#!/usr/bin/env bash
# What is looked at before a release: `make release-checks`. Not part of `make test`, because it builds the command as a static
# program and installs tools from crates.io, minutes of each.
#
#   deny       cargo-deny holds deny.toml: licences, crates that are not wanted, and that all come from the registry
#   advisories the same against a copy of the advisory database (github.com/rustsec/advisory-db), a folder with its git repository:
#              ADVISORY_DB=FOLDER. Without one they are left out
#   sbom       the CycloneDX file is made, and its schema holds
#   static     the static program serves in a folder with nothing but itself
#   container  buildah makes the image, and the program in it runs as its user
#   auditable  the list of crates in a program of cargo-auditable has all of the SBOM
#
# tests/release.sh [PART…] for some of them. STATIC=PROGRAM is a static program that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${CARGO_TARGET_DIR:-target}/release-checks"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
work=$target/release-checks
left_out=()
static=${STATIC:-}

# tool NAME: installs a part of cargo that is missing. It only starts other programs, so it is built quickly in place of well.
tool() { cargo "$1" --version >/dev/null 2>&1 || cargo install --locked --debug "cargo-$1"; }
need_static() { [ -n "$static" ] || static=$(examples/packaging/static.sh); }
fail() { echo "FAILED: $*" >&2; exit 1; }

deny() {
    tool deny
    cargo deny --locked check licenses bans sources
}

advisories() {
    if [ -z "${ADVISORY_DB:-}" ]; then
        left_out+=('advisories: no copy of the database (ADVISORY_DB)')
        return
    fi
    tool deny
    # It looks for the database in a folder whose name it makes of the address.
    rm -rf "$work/advisories"
    mkdir -p "$work/advisories"
    git clone --quiet "$ADVISORY_DB" "$work/advisories/advisory-db-3157b0e258782691"
    echo "advisories up to $(git -C "$ADVISORY_DB" log -1 --format=%cs)"
    sed "s#^\[advisories\]#&\ndb-path = \"$work/advisories\"#" deny.toml >"$work/deny.toml"
    cargo deny --locked --offline --config "$work/deny.toml" check advisories
}

sbom() {
    tool cyclonedx
    python3 examples/packaging/sbom.py "$target/lockgate.cdx.json"
    tests/install_python.sh sbom 'cyclonedx-python-lib[json-validation]==11.5.0'
    "$target/sbom/bin/python" - "$target/lockgate.cdx.json" <<'END'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())
assert fault is None, fault
END
    echo 'the SBOM keeps its schema, CycloneDX 1.5'
}

# serves ROOT PROGRAM: starts it in that root, where nothing else is, and asks it.
serves() {
    local root=$1 log=$work/serve.log server port answer
    mkdir -p "$root/state"
    chown 65532:65532 "$root/state"
    chmod 700 "$root/state"
    # The shell that starts the program makes this file, and may do so later than it is read here.
    : >"$log"
    chroot --userspec=65532:65532 "$root" "$2" serve --device --state /state --https 127.0.0.1:0 --http off >"$log" 2>&1 &
    server=$!
    # The log says the port, once it listens.
    for _ in $(seq 600); do
        port=$(sed -n 's#.*https://localhost:\([0-9]*\).*#\1#p' "$log" | head -n 1)
        [ -z "$port" ] || break
        kill -0 "$server" 2>/dev/null || { cat "$log" >&2; fail "$2 has ended"; }
        sleep 0.05
    done
    answer=$(curl --silent --show-error --fail --noproxy '*' --cacert "$root/state/ca.pem" "https://localhost:$port/api/data") ||
        { cat "$log" >&2; fail "$2 does not answer"; }
    kill -TERM "$server"
    wait "$server" || fail "$2 ended with $?"
    echo "answered: $answer"
}

static() {
    need_static
    local root=$work/empty
    ! ldd "$static" 2>/dev/null | grep '=>' || fail "$static needs libraries"
    rm -rf "$root"
    mkdir -p "$root"
    cp "$static" "$root/lockgate"
    serves "$root" /lockgate
    echo "static: $(stat -c %s "$static") bytes"
}

container() {
    tests/install.sh buildah=buildah
    if ! command -v buildah >/dev/null; then
        left_out+=('container: needs buildah')
        return
    fi
    need_static
    local storage=(--storage-driver vfs --root "$work/containers" --runroot "$work/containers-run") id root
    rm -rf "$work/containers" "$work/containers-run"
    BUILDAH="${storage[*]}" examples/packaging/container/build.sh "$static"
    id=$(buildah "${storage[@]}" from "lockgate:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)")
    [ "$(buildah "${storage[@]}" inspect --format '{{.OCIv1.Config.User}}' "$id")" = 65532:65532 ] || fail 'it runs as another user'
    root=$(buildah "${storage[@]}" mount "$id")
    [ "$(cd "$root" && find . -type f)" = ./lockgate ] || fail "more than the program is in it: $(cd "$root" && find .)"
    [ "$(stat -c '%u:%g %a' "$root/var/lib/lockgate")" = '65532:65532 700' ] || fail 'the state is not its own'
    serves "$root" /lockgate
    buildah "${storage[@]}" rm "$id" >/dev/null
    rm -rf "$work/containers" "$work/containers-run"
}

auditable() {
    tool auditable
    local plain=$target/release/lockgate program=$work/auditable/release/lockgate
    CARGO_TARGET_DIR=$work/auditable cargo auditable build --quiet --release --locked --features cli --bin lockgate
    tests/install.sh objcopy=binutils
    objcopy --dump-section .dep-v0="$work/crates.z" "$program" "$work/ignored"
    python3 - "$work/crates.z" "$target/lockgate.cdx.json" <<'END'
import json, sys, zlib
inside = json.loads(zlib.decompress(open(sys.argv[1], "rb").read()))["packages"]
inside = {(crate["name"], crate["version"]) for crate in inside}
listed = {(part["name"], part["version"]) for part in json.load(open(sys.argv[2]))["components"]}
# Not the other way: like cargo-cyclonedx it lists what features that are off would bring.
assert listed <= inside, f"in the SBOM, and not in the program's list: {sorted(listed - inside)}"
print(f"auditable: {len(inside)} crates in the program's list")
END
    [ ! -e "$plain" ] || echo "auditable: $(stat -c %s "$program") bytes, without $(stat -c %s "$plain")"
}

parts=("$@")
[ $# -gt 0 ] || parts=(deny advisories sbom static container auditable)
for part in "${parts[@]}"; do
    case $part in
    deny | advisories | sbom | static | container | auditable)
        echo "== $part"
        "$part"
        ;;
    *)
        echo 'usage: tests/release.sh [deny|advisories|sbom|static|container|auditable]…' >&2
        exit 64
        ;;
    esac
done
for what in "${left_out[@]}"; do echo "left out: $what"; done
