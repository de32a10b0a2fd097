//! Programs that play the client. Where one is missing, the test that needs it is left out and says so; in CI it fails.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A program and the Debian package that it comes in.
pub struct Peer {
    program: &'static str,
    package: &'static str,
}

pub const CURL: Peer = Peer { program: "curl", package: "curl" };
pub const NODE: Peer = Peer { program: "node", package: "nodejs" };
pub const OPENSSL: Peer = Peer { program: "openssl", package: "openssl" };
pub const PYTHON: Peer = Peer { program: "python3", package: "python3" };

impl Peer {
    /// The program, to be run with these arguments; `None` when it is missing, which is then noted.
    pub fn command(&self, test: &str, arguments: &[&str]) -> Option<Command> {
        let Peer { program, package } = self;
        if is_there(program) {
            let mut command = Command::new(program);
            // What a user has configured for the program is none of the test's business.
            for (name, _) in env::vars_os() {
                let lower = name.to_string_lossy().to_ascii_lowercase();
                if lower.ends_with("_proxy")
                    || ["node_", "curl_", "ssl_"].iter().any(|of| lower.starts_with(of))
                {
                    command.env_remove(name);
                }
            }
            command.args(arguments);
            return Some(command);
        }
        let note = format!("{test}: needs {program} (apt-get install {package})");
        assert!(
            env::var_os("CI").is_none_or(|value| value != "true"),
            "nothing may be left out here: {note}"
        );
        leave_out(&note);
        None
    }
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| {
        let file = dir.join(program).metadata();
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// Notes a test that cannot be done on this machine, for the end of `make test`.
pub fn leave_out(note: &str) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let line = format!("left out: {note}\n");
    eprint!("{line}");
    let mut file = OpenOptions::new().create(true).append(true).open(target.join("left-out.txt")).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
