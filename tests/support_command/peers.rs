//! Programs that act as clients. Where one is missing, its test is left out and says so; in CI it fails.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program and the Debian package that it comes in.
pub struct Peer {
    program: &'static str,
    package: &'static str,
}

pub const CADDY: Peer = Peer { program: "caddy", package: "caddy" };
pub const CC: Peer = Peer { program: "cc", package: "gcc" };
pub const CERTUTIL: Peer = Peer { program: "certutil", package: "libnss3-tools" };
const CHROMIUM: Peer = Peer { program: "chromium", package: "chromium" };
pub const CURL: Peer = Peer { program: "curl", package: "curl" };
pub const FAKETIME: Peer = Peer { program: "faketime", package: "faketime" };
pub const GIT: Peer = Peer { program: "git", package: "git" };
pub const GO: Peer = Peer { program: "go", package: "golang-go" };
pub const GOACCESS: Peer = Peer { program: "goaccess", package: "goaccess" };
pub const GNUTLS: Peer = Peer { program: "gnutls-cli", package: "gnutls-bin" };
pub const HAPROXY: Peer = Peer { program: "haproxy", package: "haproxy" };
pub const NGINX: Peer = Peer { program: "nginx", package: "nginx-light" };
pub const NODE: Peer = Peer { program: "node", package: "nodejs" };
pub const OPENSSL: Peer = Peer { program: "openssl", package: "openssl" };
pub const PYTHON: Peer = Peer { program: "python3", package: "python3" };
pub const SETCAP: Peer = Peer { program: "setcap", package: "libcap2-bin" };
pub const TESTSSL: Peer = Peer { program: "testssl", package: "testssl.sh" };

pub const UNSHARE: Peer = Peer { program: "unshare", package: "util-linux" };

impl Peer {
    /// The program, to be run with these arguments; `None` when it is missing, which is then noted.
    pub fn command(&self, test: &str, arguments: &[&str]) -> Option<Command> {
        let there = self.command_if_there(arguments);
        if there.is_none() {
            let Peer { program, package } = self;
            miss(&format!("{test}: needs {program} (apt-get install {package})"));
        }
        there
    }

    /// The same for one that is a further witness only: it may be missing anywhere, without a word.
    pub fn command_if_there(&self, arguments: &[&str]) -> Option<Command> {
        find(self.program).map(|path| undisturbed(&path, arguments))
    }
}

/// Chromium without a window. Its profile is in `home`. Every name and address is `address` to it, so nobody else is ever asked.
pub fn chromium(test: &str, home: &Path, address: &str, arguments: &[&str]) -> Option<Command> {
    let rules = format!("--host-resolver-rules=MAP * {address}");
    let profile = format!("--user-data-dir={}", home.join("profile").display());
    let mut all = vec![
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &rules,
        &profile,
    ];
    all.extend(arguments);
    let mut command = CHROMIUM.command(test, &all)?;
    command.env("HOME", home);
    Some(command)
}

/// sslyze, from the environment that it is installed into; `None` when it is missing, which is then noted.
pub fn sslyze(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("sslyze", test, &[&["-m", "sslyze"], arguments].concat())
}

/// REDbot, the same way.
pub fn redbot(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("redbot", test, &[&["-m", "redbot.cli"], arguments].concat())
}

/// promtool, from the folder that it is put into, or where it is installed.
pub fn promtool(test: &str, arguments: &[&str]) -> Option<Command> {
    let there = target().join("promtool/bin/promtool");
    let program = Some(there).filter(|there| there.exists()).or_else(|| find("promtool"));
    if program.is_none() {
        miss(&format!("{test}: needs promtool ({})", script_for("promtool")));
    }
    program.map(|program| undisturbed(&program, arguments))
}

/// openapi-spec-validator, the same way as REDbot.
pub fn openapi_validator(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("openapi", test, &[&["-m", "openapi_spec_validator"], arguments].concat())
}

/// Python with pyOpenSSL, which brings an OpenSSL that is newer than Debian's: it has ML-KEM.
pub fn pyopenssl(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("pyopenssl", test, arguments)
}

/// Python with websockets and websocket-client, the same way.
pub fn python_websockets(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("websockets", test, arguments)
}

/// Python with waitress, the same way.
pub fn waitress(test: &str, arguments: &[&str]) -> Option<Command> {
    python_with("waitress", test, arguments)
}

/// Node with ws, from the folder that it is installed into.
pub fn node_ws(test: &str, arguments: &[&str]) -> Option<Command> {
    node_with("ws", test, arguments)
}

/// Node with Express, the same way.
pub fn node_express(test: &str, arguments: &[&str]) -> Option<Command> {
    node_with("express", test, arguments)
}

fn node_with(package: &str, test: &str, arguments: &[&str]) -> Option<Command> {
    let home = target().join(package).join("node_modules");
    if !home.join(package).exists() {
        miss(&format!("{test}: needs {package} ({})", script_for(package)));
        return None;
    }
    let mut node = NODE.command(test, arguments)?;
    node.env("NODE_PATH", home);
    Some(node)
}

fn python_with(name: &str, test: &str, arguments: &[&str]) -> Option<Command> {
    let python = target().join(name).join("bin/python");
    if !python.exists() {
        miss(&format!("{test}: needs {name} ({})", script_for(name)));
        return None;
    }
    Some(undisturbed(&python, arguments))
}

/// The script that installs it.
fn script_for(name: &str) -> String {
    match name {
        "ws" => "tests/install_websockets.sh".to_string(),
        "express" | "waitress" => "tests/install_backends.sh".to_string(),
        name => format!("tests/install_{name}.sh"),
    }
}

/// What a user has configured for a program is none of the test's business.
fn undisturbed(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let lower = name.to_string_lossy().to_ascii_lowercase();
        if lower.ends_with("_proxy") || ["node_", "curl_", "ssl_"].iter().any(|of| lower.starts_with(of)) {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn miss(note: &str) {
    assert!(env::var_os("CI").map_or(true, |value| value != "true"), "nothing may be left out here: {note}");
    leave_out(note);
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers live in sbin, which is not in every user's PATH.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// Notes a test that cannot be done on this machine, for the end of `make test`.
pub fn leave_out(note: &str) {
    let line = format!("left out: {note}\n");
    eprint!("{line}");
    let mut file = OpenOptions::new().create(true).append(true).open(target().join("left-out.txt")).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}
