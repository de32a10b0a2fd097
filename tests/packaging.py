"""The checks of tests/packaging.sh, which installs what they need. Each function is a check; its name is what holds."""

import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "examples/packaging"
YOCTO = PACKAGING / "yocto"
BUILDROOT = PACKAGING / "buildroot"
OPENWRT = PACKAGING / "openwrt/lockgate"
DEBIAN = PACKAGING / "debian"
LOCKGATE = Path(sys.argv[1]).resolve()
TOOLS = Path(sys.executable).parent
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())
VERSION = CARGO["package"]["version"]
RECIPE = YOCTO / f"lockgate_{VERSION}.bb"
# Advice that is not for a recipe without a home of its own, and the list of crates, which bitbake writes.
SUPPRESSED = [
    "oelint.var.bbclassextend",
    "oelint.var.mandatoryvar.HOMEPAGE",
    "oelint.var.suggestedvar.BUGTRACKER",
    "oelint.var.suggestedvar.CVE_PRODUCT",
    "oelint.file.includenotfound",
    "oelint.file.requireinclude",
]
# Longer than anything here takes.
SAFETY = 300


def run(*command, **further):
    """Runs a program, which must succeed; what it wrote to stdout."""
    command = [str(word) for word in command]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SAFETY, **further)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def digest(kind):
    return hashlib.new(kind, (ROOT / "LICENSE").read_bytes()).hexdigest()


def make_variables(makefile, names, *stubs):
    """What make says of a package's variables, with stubs in the place of the build system."""
    shown = "".join(f"$(info {name}=$({name}))\n" for name in names)
    text = "\n".join([*stubs, f"include {makefile}", shown, "all: ;"])
    told = run("make", "--no-print-directory", "-f", "-", "all", input=text)
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def recipe():
    """The recipe as bitbake's parser reads it, with empty classes in the place of those of OpenEmbedded-Core."""
    # A package of another part of bitbake, which the parser names and does not use.
    for name in ["hashserv", "hashserv.client"]:
        sys.modules.setdefault(name, types.ModuleType(name))
    import bb.data
    import bb.parse
    import bb.siggen

    with tempfile.TemporaryDirectory() as layer:
        classes = Path(layer) / "classes"
        classes.mkdir()
        for line in RECIPE.read_text().splitlines():
            for name in line.split()[1:] if line.startswith("inherit ") else []:
                (classes / f"{name}.bbclass").write_text("")
        (classes / "base.bbclass").write_text("")
        shutil.copytree(YOCTO, Path(layer) / "recipe")
        data = bb.data.init()
        values = {
            "BBPATH": layer,
            "BP": "${PN}-${PV}",
            "PN": "lockgate",
            "PV": VERSION,
            "TOPDIR": layer,
            "FILE_LAYERNAME": "test",
            # The classes are those for recipes.
            "__bbclasstype": "recipe",
            "DISTRO_FEATURES": "systemd",
            "bindir": "/usr/bin",
            "sysconfdir": "/etc",
            "localstatedir": "/var",
            "UNPACKDIR": "/unpacked",
            "CARGO_BUILD_FLAGS": "--frozen",
        }
        for name, value in values.items():
            data.setVar(name, value)
        bb.parse.siggen = bb.siggen.init(data)
        read = bb.parse.handle(str(Path(layer) / "recipe" / RECIPE.name), data)
        return read.get("", data) if isinstance(read, dict) else data


def features(text):
    return set(re.split(r"[\s,]+", text.strip().strip('"')))


def the_version_is_that_of_the_crate():
    assert RECIPE.is_file(), f"{RECIPE.name} is missing"
    assert len(list(YOCTO.glob("*.bb"))) == 1
    told = make_variables(OPENWRT / "Makefile", ["PKG_VERSION"], *OPENWRT_STUBS)
    assert told["PKG_VERSION"] == VERSION
    told = make_variables(BUILDROOT / "package/lockgate/lockgate.mk", ["LOCKGATE_VERSION"])
    assert told["LOCKGATE_VERSION"] == VERSION


OPENWRT_STUBS = ["TOPDIR := /nowhere", "INCLUDE_DIR := /nowhere", "/nowhere/%.mk: ;"]


def the_license_is_the_file_that_the_recipes_name():
    assert CARGO["package"]["license"] == "MIT"
    assert f"file://LICENSE;md5={digest('md5')}" in RECIPE.read_text()
    assert f"sha256  {digest('sha256')}  LICENSE" in (BUILDROOT / "package/lockgate/lockgate.hash").read_text()


def the_copies_of_a_file_are_the_same():
    for ours, theirs in [("init", "S60lockgate"), ("service", "lockgate.service"), ("toml", "lockgate.toml")]:
        copies = (YOCTO / f"files/lockgate.{ours}", BUILDROOT / "package/lockgate" / theirs)
        first, second = (copy.read_bytes() for copy in copies)
        assert first == second, f"{copies[0]} and {copies[1]} differ"


def bitbake_reads_the_recipe():
    data = recipe()
    assert data.getVar("LICENSE") == "MIT"
    assert data.getVar("S") == f"/unpacked/lockgate-{VERSION}"
    assert f"destsuffix=lockgate-{VERSION}" in data.getVar("SRC_URI")
    for name in re.findall(r"file://(\S+)", data.getVar("SRC_URI")):
        assert (YOCTO / "files" / name).is_file(), f"{name} is missing"
    flags = data.getVar("CARGO_BUILD_FLAGS")
    assert flags == "--frozen --bin lockgate --features serve", flags
    configs = data.getVarFlags("PACKAGECONFIG") or {}
    named = {name: value for name, value in configs.items() if name in CARGO["features"]}
    assert set(data.getVar("PACKAGECONFIG").split()) <= set(named), configs
    assert all(value == f"--features {name}" for name, value in named.items()), named
    assert "setcap" in data.getVar("pkg_postinst:lockgate")
    install = data.getVar("do_install:append") or data.getVar("do_install")
    assert "/etc/lockgate.toml" in install and "/var/lib/lockgate" in install, install


def oelint_finds_nothing_in_the_recipe():
    hidden = [word for name in SUPPRESSED for word in ("--suppress", name)]
    for release in ["scarthgap", "wrynose"]:
        run(TOOLS / "oelint-adv", "--nobackup", "--quiet", "--release", release, *hidden, RECIPE)


def buildroot_reads_the_package():
    names = ["LOCKGATE_CARGO_BUILD_OPTS", "LOCKGATE_FEATURES", "LOCKGATE_USERS", "LOCKGATE_PERMISSIONS"]
    makefile = BUILDROOT / "package/lockgate/lockgate.mk"
    chosen = ["BR2_PACKAGE_LOCKGATE_ACME = y", "BR2_PACKAGE_LOCKGATE_CHECK = y"]
    told = make_variables(makefile, names, *chosen)
    assert features(told["LOCKGATE_FEATURES"]) == {"serve", "acme", "check"} <= set(CARGO["features"])
    assert told["LOCKGATE_CARGO_BUILD_OPTS"] == '--bin lockgate --features "serve acme check"'
    assert features(make_variables(makefile, names)["LOCKGATE_FEATURES"]) == {"serve"}
    assert "/var/lib/lockgate" in told["LOCKGATE_USERS"]


def kconfig_reads_the_menu():
    import kconfiglib

    with tempfile.TemporaryDirectory() as around:
        top = Path(around) / "Config.in"
        top.write_text(
            "config BR2_PACKAGE_HOST_RUSTC_TARGET_ARCH_SUPPORTS\n\tdef_bool y\n"
            "config BR2_USE_MMU\n\tdef_bool y\nconfig BR2_PACKAGE_HOST_RUSTC\n\tbool\n"
            f'source "{BUILDROOT}/Config.in"\n'
        )
        os.environ["BR2_EXTERNAL_LOCKGATE_PATH"] = str(BUILDROOT)
        menu = kconfiglib.Kconfig(str(top))
        assert not menu.warnings, menu.warnings
        menu.syms["BR2_PACKAGE_LOCKGATE"].set_value("y")
        for name in ["HOST_RUSTC", "LOCKGATE_ACME", "LOCKGATE_CHECK"]:
            assert menu.syms[f"BR2_PACKAGE_{name}"].str_value == "y", name


def openwrt_reads_the_package():
    told = make_variables(OPENWRT / "Makefile", ["RUST_PKG_FEATURES", "PKG_LICENSE"], *OPENWRT_STUBS)
    assert features(told["RUST_PKG_FEATURES"]) <= set(CARGO["features"])
    text = (OPENWRT / "Makefile").read_text()
    for name in re.findall(r"\./(files/\S+)", text):
        assert (OPENWRT / name).is_file(), name
    # As rust-package.mk of the feed calls them.
    for macro in ["RustBinPackage", "BuildPackage"]:
        assert f"$(eval $(call {macro},lockgate))" in text


def shells_read_the_scripts():
    init, procd = YOCTO / "files/lockgate.init", OPENWRT / "files/lockgate.init"
    for script in [init, procd]:
        run("sh", "-n", script)
        run("busybox", "sh", "-n", script)
    run("shellcheck", init)
    # Its shell is OpenWrt's, which knows `local`; its variables are for rc.common.
    run("shellcheck", "--shell=sh", "--exclude=SC1008,SC2034,SC3043", procd)


def the_scripts_of_the_packages_are_sound():
    scripts = [DEBIAN / name for name in ["build.sh", "postinst", "prerm", "postrm"]]
    scripts += [PACKAGING / "static.sh", PACKAGING / "container/build.sh"]
    # What is in single quotes is for another shell; BUILDAH is several words.
    run("shellcheck", "--exclude=SC2086,SC2016", *scripts)
    for script in scripts:
        assert os.access(script, os.X_OK), f"{script} cannot be run"


def the_debian_package_has_what_it_names():
    package = CARGO["package"]["metadata"]["deb"]
    assets = {source: into for source, into, mode in package["assets"]}
    for source in assets:
        # What build.sh makes is in target.
        assert source.startswith("target/") or list(ROOT.glob(source)), f"{source} is missing"
    assert set(package["features"]) <= set(CARGO["features"])
    settings = DEBIAN / "lockgate.toml"
    into = assets[str(settings.relative_to(ROOT))]
    assert package["conf-files"] == [f"/{into}lockgate.toml"]
    unit = (PACKAGING / "systemd/lockgate.service").read_text()
    exec_start = re.search(r"(?m)^ExecStart=/usr/bin/lockgate (.*)$", unit)[1]
    assert exec_start == f"serve --config {package['conf-files'][0]}", exec_start
    known = set(re.findall(r"(?m)^\s+(?:-\w, )?--([a-z-]+)", run(LOCKGATE, "serve", "--help")))
    assert set(tomllib.loads(settings.read_text())) <= known
    offered = re.findall(r"(?m)^#\s*([a-z-]+) = ", settings.read_text())
    assert offered and set(offered) <= known, offered


def the_container_starts_what_the_command_knows():
    text = (PACKAGING / "container/Containerfile").read_text()
    command = json.loads(re.search(r"(?m)^CMD (.*)$", text)[1])
    known = set(re.findall(r"(?m)^\s+(?:-\w, )?(--[a-z-]+)", run(LOCKGATE, "serve", "--help")))
    assert command[0] == "serve" and {word for word in command if word.startswith("-")} <= known, command
    user = re.search(r"(?m)^USER (\d+):(\d+)$", text)
    assert user and "0" not in user.groups(), "it runs as root"
    assert f"--chown={user[1]}:{user[2]}" in text, "the state is somebody else's"
    ports = set(re.search(r"(?m)^EXPOSE (.*)$", text)[1].split())
    assert ports == {command[command.index(name) + 1] for name in ["--https", "--http"]}
    assert all(int(port) >= 1024 for port in ports)


def the_settings_in_the_readme_are_those_of_the_command():
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```", (PACKAGING / "README.md").read_text())
    assert blocks
    text = (PACKAGING / "container/Containerfile").read_text()
    command = json.loads(re.search(r"(?m)^CMD (.*)$", text)[1])
    with tempfile.TemporaryDirectory() as place:
        for block in blocks:
            file = Path(place) / "lockgate.toml"
            file.write_text(block)
            run(LOCKGATE, "config", "show", "--config", file)
            said = tomllib.loads(block)
            # As the image's own command line, which they replace.
            for name in ["https", "http", "public-port"]:
                assert str(said[name]).split(":")[-1] == command[command.index(f"--{name}") + 1], name


def systemd_takes_the_unit():
    if not shutil.which("systemd-analyze"):
        print("  left out: needs systemd-analyze")
        return
    with tempfile.TemporaryDirectory() as place:
        unit = Path(place) / "lockgate.service"
        text = (YOCTO / "files/lockgate.service").read_text()
        unit.write_text(text.replace("/usr/bin/lockgate", str(LOCKGATE)))
        said = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        assert said.returncode == 0 and "lockgate.service" not in said.stderr, said.stderr
        told = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
        exposure = float(re.search(r"exposure level for \S+ (\d+\.\d+)", told)[1])
        assert exposure <= 1.5, told


def every_option_in_the_files_is_one_of_the_command():
    known = set(re.findall(r"(?m)^\s+(?:-\w, )?--([a-z-]+)", run(LOCKGATE, "serve", "--help")))
    settings = tomllib.loads((YOCTO / "files/lockgate.toml").read_text())
    assert set(settings) <= known, settings
    script = (OPENWRT / "files/lockgate.init").read_text()
    used = re.findall(r"(?<!\S)--([a-z-]+)", script)
    assert {"device", "state", "https", "http", "name"} == set(used) <= known, used
    config = (OPENWRT / "files/lockgate.config").read_text()
    assert {"https", "http", "state", "name"} <= set(re.findall(r"(?:option|list) (\w+)", config))
    exec_start = re.search(r"(?m)^ExecStart=/usr/bin/lockgate (.*)$", (YOCTO / "files/lockgate.service").read_text())[1]
    assert exec_start == "serve --config /etc/lockgate.toml"


def the_init_script_starts_reloads_and_stops_the_command():
    if os.geteuid() != 0:
        print("  left out: needs root")
        return
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        place.chmod(0o755)
        state = place / "state"
        state.mkdir(mode=0o700)
        shutil.chown(state, "nobody", "nogroup")
        program, config, log = place / "lockgate", place / "lockgate.toml", place / "log"
        shutil.copy(LOCKGATE, program)
        settings = (YOCTO / "files/lockgate.toml").read_text()
        settings = settings.replace("/var/lib/lockgate", str(state)).replace('"[::]:80"', '"off"')
        config.write_text(settings.replace("[::]:443", "127.0.0.1:0"))
        # syslog's place is taken by a file.
        logger = place / "logger"
        logger.write_text(f"#!/bin/sh\ncat >>{log}\n")
        logger.chmod(0o755)
        script = (YOCTO / "files/lockgate.init").read_text()
        for ours, here in [
            ("/var/run/$DAEMON", f"{place}/$DAEMON"),
            ("/usr/bin/$DAEMON", f"{place}/$DAEMON"),
            ("/etc/lockgate.toml", str(config)),
            ('--chuid "$DAEMON"', "--chuid nobody"),
        ]:
            assert ours in script, ours
            script = script.replace(ours, here)
        (place / "init").write_text(script)
        paths = f"{place}:/usr/sbin:/sbin:{os.environ['PATH']}"
        for shell in [["sh"], ["busybox", "sh"]]:
            call = lambda word: run(*shell, place / "init", word, env={"PATH": paths})
            log.write_text("")
            assert call("start") == "Starting lockgate: OK\n"
            try:
                assert call("start") == "Starting lockgate: OK\n", "a second start does no harm"
                address = await_line(log, r"https://localhost:(\d+)")
                answer = run("curl", "--silent", "--fail", "--noproxy", "*", "--cacert", state / "ca.pem", f"https://localhost:{address}/api/data")
                assert "Secure data over HTTPS" in answer, answer
                pid = int((place / "lockgate.pid").read_text())
                owner = os.stat(f"/proc/{pid}").st_uid
                assert owner == pwd.getpwnam("nobody").pw_uid, f"it runs as {owner}"
                assert call("reload") == "Reloading lockgate: OK\n"
                await_line(log, "certificates are loaded again")
            finally:
                stopped = call("stop")
            assert stopped == "Stopping lockgate: OK\n"
            await_line(log, "stopped")
            assert "GET /api/data 200" in log.read_text(), "the access log is in syslog"
            assert not (place / "lockgate.pid").exists()


def await_line(log, pattern):
    """The first group of the pattern, once a line of the log has it."""
    until = time.monotonic() + SAFETY
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1] if found.groups() else found[0]
        time.sleep(0.02)
    raise AssertionError(f"{pattern!r} is not in the log:\n{log.read_text()}")


def cargo_vendors_what_the_recipes_build_offline():
    """As each build system does: the crates are beside the sources, and cargo asks nobody."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        environment = os.environ | {"CARGO_NET_OFFLINE": "true"}
        source = run("cargo", "vendor", "--locked", place / "vendor", cwd=ROOT)
        (place / "config.toml").write_text(source)
        empty = environment | {"CARGO_HOME": str(place)}
        told = run("cargo", "metadata", "--frozen", "--format-version=1", "--features=cli", cwd=ROOT, env=empty)
        assert str(place / "vendor") in told, "the crates do not come from the vendored folder"


CHECKS = [
    the_version_is_that_of_the_crate,
    the_license_is_the_file_that_the_recipes_name,
    the_copies_of_a_file_are_the_same,
    bitbake_reads_the_recipe,
    oelint_finds_nothing_in_the_recipe,
    buildroot_reads_the_package,
    kconfig_reads_the_menu,
    openwrt_reads_the_package,
    shells_read_the_scripts,
    the_scripts_of_the_packages_are_sound,
    the_debian_package_has_what_it_names,
    the_container_starts_what_the_command_knows,
    the_settings_in_the_readme_are_those_of_the_command,
    systemd_takes_the_unit,
    every_option_in_the_files_is_one_of_the_command,
    the_init_script_starts_reloads_and_stops_the_command,
    cargo_vendors_what_the_recipes_build_offline,
]


def main():
    failed = 0
    for check in CHECKS:
        begun = time.monotonic()
        try:
            check()
            outcome = "ok"
        except Exception as error:  # Also a tool that is missing.
            failed += 1
            outcome = f"FAILED: {type(error).__name__}: {error}"
        print(f"{check.__name__.replace('_', ' ')}: {outcome} ({time.monotonic() - begun:.1f} s)")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
