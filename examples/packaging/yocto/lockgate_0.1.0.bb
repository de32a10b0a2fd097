SUMMARY = "HTTPS for small appliances"
DESCRIPTION = "Serves a JSON API over HTTPS with a certificate that the device makes and renews itself, or that an authority gives."
SECTION = "net"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=880b146964bf13353737a87c93842398"

# Set this to where your copy is kept, and SRCREV to the commit that you ship.
LOCKGATE_GIT ?= "git://git.example.com/lockgate.git;protocol=https;branch=main"

SRC_URI = "\
    ${LOCKGATE_GIT};destsuffix=${BP} \
    file://lockgate.init \
    file://lockgate.service \
    file://lockgate.toml \
"
SRCREV = "0000000000000000000000000000000000000000"

S = "${UNPACKDIR}/${BP}"

# The crates of Cargo.lock with their checksums, which `bitbake -c update_crates lockgate` writes.
include lockgate-crates.inc

inherit cargo cargo-update-recipe-crates systemd update-rc.d useradd

PACKAGECONFIG ??= "acme check"
PACKAGECONFIG[acme] = "--features acme"
PACKAGECONFIG[check] = "--features check"
PACKAGECONFIG[scan] = "--features scan"

CARGO_BUILD_FLAGS += "--bin lockgate --features serve"

# Symbols go to the -dbg package, and the tool that looks for stripped programs is content.
export CARGO_PROFILE_RELEASE_STRIP = "none"

SYSTEMD_SERVICE:${PN} = "lockgate.service"
INITSCRIPT_NAME = "lockgate"
INITSCRIPT_PARAMS = "defaults 80 20"

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --home-dir ${localstatedir}/lib/lockgate --no-create-home --shell /bin/false --user-group lockgate"

do_install:append() {
    install -d ${D}${sysconfdir}
    install -m 0644 ${UNPACKDIR}/lockgate.toml ${D}${sysconfdir}/lockgate.toml
    install -d -m 0700 -o lockgate -g lockgate ${D}${localstatedir}/lib/lockgate
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -d ${D}${systemd_system_unitdir}
        install -m 0644 ${UNPACKDIR}/lockgate.service ${D}${systemd_system_unitdir}/lockgate.service
    else
        install -d ${D}${sysconfdir}/init.d
        install -m 0755 ${UNPACKDIR}/lockgate.init ${D}${sysconfdir}/init.d/lockgate
    fi
}

# systemd gives the right to ports 443 and 80; without it the program has it.
PACKAGE_WRITE_DEPS += "${@bb.utils.contains('DISTRO_FEATURES', 'systemd', '', 'libcap-native', d)}"

pkg_postinst:${PN}() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'false', 'true', d)}; then
        setcap cap_net_bind_service=+ep $D${bindir}/lockgate
    fi
}

CONFFILES:${PN} = "${sysconfdir}/lockgate.toml"
