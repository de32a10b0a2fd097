#!/bin/bash
# Runs inside the clean Debian of tests/deb.sh: the life of the package, from its installation to its end.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /srv
config=/etc/lockgate/lockgate.toml
state=/var/lib/lockgate

step() { echo "-- $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
holds() { "$@" || fail "does not hold: $*"; }
is_gone() { [ -z "$(find "$1" -maxdepth 0 2>/dev/null)" ] || fail "$1 is still there"; }
says() { grep -q -- "$2" <<<"$1" || fail "$2 is not in: $1"; }
# dpkg with what is to be said about changed settings, which nobody is asked for here.
dpkg_quietly() { dpkg "$@" >/srv/dpkg.log 2>&1 || { cat /srv/dpkg.log >&2; fail "dpkg $*"; }; }

ip link set lo up
# In this network alone, so that the user lockgate may open its ports, as the unit lets it.
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start

# serves PORT: starts the server as the unit does, and asks it.
serves() {
    setpriv --reuid lockgate --regid lockgate --clear-groups lockgate serve --config "$config" >/srv/serve.log 2>&1 &
    local server=$! answer
    answer=$(curl --silent --noproxy '*' --retry 60 --retry-delay 1 --retry-all-errors --max-time 60 \
        --cacert "$state/ca.pem" "https://localhost:$1/api/data") || { cat /srv/serve.log >&2; fail "no answer on port $1"; }
    says "$answer" '{'
    kill -TERM "$server"
    wait "$server" || fail "the server ended with $?: $(cat /srv/serve.log)"
}

step 'installed'
dpkg_quietly -i first.deb
says "$(dpkg -s lockgate)" 'Status: install ok installed'
holds test -z "$(dpkg -V lockgate)"
holds test "$(stat -c '%U:%G %a' "$state")" = 'lockgate:lockgate 700'
holds test "$(stat -c '%U %a' "$config")" = 'root 644'
holds test "$(getent passwd lockgate | cut -d : -f 6,7)" = "$state:/usr/sbin/nologin"
says "$(dpkg-query --show --showformat '${Conffiles}' lockgate)" "$config"
uid=$(id -u lockgate)
says "$(lockgate --version)" 'lockgate '
lockgate check --config "$config" >/srv/check.log 2>&1 || fail "check: $(cat /srv/check.log)"
# Each is where its reader looks for it.
for file in man/man1/lockgate.1.gz man/man1/lockgate-serve.1.gz man/man5/lockgate.toml.5.gz \
    bash-completion/completions/lockgate zsh/vendor-completions/_lockgate fish/vendor_completions.d/lockgate.fish \
    doc/lockgate/copyright doc/lockgate/changelog.Debian.gz doc/lockgate/changelog.gz; do
    dpkg -L lockgate | grep -qx "/usr/share/$file" || fail "/usr/share/$file is not in the package"
    # This Debian may leave out documentation.
    [[ $file != man/* ]] || [ ! -e "/usr/share/$file" ] || holds gzip -t "/usr/share/$file"
done
says "$(cat /usr/share/doc/lockgate/copyright)" 'Permission is hereby granted'
unit=$(dpkg -L lockgate | grep '/lockgate.service$') || fail 'there is no unit'
for name in lockgate.socket lockgate-http.socket; do
    dpkg -L lockgate | grep -q "/$name$" || fail "there is no $name"
done
# The unit starts what the package has.
says "$(cat "$unit")" "^ExecStart=/usr/bin/lockgate serve --config $config"
# Nothing listens before somebody has said so.
enabled=(multi-user.target.wants/lockgate.service sockets.target.wants/lockgate.socket sockets.target.wants/lockgate-http.socket)
enabled=("${enabled[@]/#//etc/systemd/system/}")
for link in "${enabled[@]}"; do is_gone "$link"; done
serves 443
ca=$(sha256sum "$state/ca.pem")

step 'upgraded, the settings as they were: the new ones come'
# What systemctl enable makes.
for link in "${enabled[@]}"; do
    mkdir -p "${link%/*}"
    ln -s "${unit%/*}/${link##*/}" "$link"
done
dpkg_quietly -i second.deb
says "$(cat "$config")" '# second'
says "$(dpkg -s lockgate)" 'Version: 9.0-1'
for link in "${enabled[@]}"; do holds test -L "$link"; done

step 'upgraded, the settings changed by the user: they stay, and the new ones are beside them'
sed -i 's/^https = .*/https = "127.0.0.1:9443"/; s/^http = .*/http = "off"/' "$config"
changed=$(sha256sum "$config")
# The default of a machine that nobody sits at.
dpkg_quietly --force-confdef --force-confold -i third.deb
holds test "$(sha256sum "$config")" = "$changed"
says "$(cat "$config.dpkg-dist")" '# third'
holds test "$(sha256sum "$state/ca.pem")" = "$ca"
holds test "$(id -u lockgate)" = "$uid"
holds test "$(stat -c '%U:%G %a' "$state")" = 'lockgate:lockgate 700'
serves 9443

step 'removed: settings, state and user stay'
dpkg_quietly -r lockgate
is_gone /usr/bin/lockgate
is_gone "$unit"
holds test "$(sha256sum "$config")" = "$changed"
holds test "$(sha256sum "$state/ca.pem")" = "$ca"
holds test "$(id -u lockgate)" = "$uid"

step 'installed again: with the settings and the authority of before'
dpkg_quietly --force-confdef --force-confold -i third.deb
holds test "$(sha256sum "$config")" = "$changed"
serves 9443
holds test "$(sha256sum "$state/ca.pem")" = "$ca"

step 'purged: settings, state and links are gone'
dpkg_quietly -P lockgate
is_gone /etc/lockgate
is_gone "$state"
for link in "${enabled[@]}"; do is_gone "$link"; done
# But for the user, which nobody else may become, and the logs.
left=$(find /etc /usr /var -xdev -iname '*lockgate*' ! -path '/var/log/*' ! -path '/var/cache/*')
[ -z "$left" ] || fail "left: $left"
holds test "$(id -u lockgate)" = "$uid"

step 'state on another disk, by a link: nothing of it is touched'
mkdir -m 0700 /srv/disk
chown lockgate: /srv/disk
ln -s /srv/disk "$state"
dpkg_quietly -i first.deb
holds test -L "$state"
serves 443
dpkg_quietly -P lockgate
is_gone "$state"
holds test -s /srv/disk/ca.pem

step 'purged after all that its scripts call has gone'
dpkg_quietly -i first.deb
dpkg_quietly -r lockgate
mv /usr/bin/deb-systemd-helper /usr/sbin/adduser /srv
dpkg_quietly -P lockgate
is_gone "$state"
mv /srv/deb-systemd-helper /usr/bin
mv /srv/adduser /usr/sbin

step 'an installation that was broken off goes on'
dpkg --unpack first.deb >/srv/dpkg.log 2>&1 || fail 'dpkg --unpack'
dpkg_quietly --configure -a
dpkg_quietly --configure -a
dpkg_quietly -P lockgate
echo 'the package was installed, upgraded, removed and purged, and served'
