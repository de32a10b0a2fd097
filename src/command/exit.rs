//! How the command ends when it does not end well: an exit code that scripts can tell apart, and one line on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use lockgate::workshop::escape;
use lockgate::{AcmeFault, Error};

use super::options;

/// Why the command ended. The numbers above 2 are those of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Runtime = 1,
    Usage = 2,
    /// Of `check`, whose 1 and 2 say how bad is what it has found.
    NotChecked = 3,
    /// As `Usage`, of a command that says something else by 1 and 2: how bad is what it has found.
    UsageOfReport = 64,
    PortInUse = 69,
    NotPermitted = 77,
    Configuration = 78,
}

/// An exit code as the help explains it.
pub(super) type Meaning = (u8, &'static str);

/// The exit codes of the commands that serve.
pub(super) const SERVING: &[Meaning] = &[
    (0, "stopped by SIGINT or SIGTERM, all requests answered"),
    (Code::Runtime as u8, "failed while it ran, or was told twice to stop"),
    (Code::Usage as u8, "the command line is wrong"),
    (Code::PortInUse as u8, "another program has the port"),
    (Code::NotPermitted as u8, "this user may not open the port"),
    (Code::Configuration as u8, "the certificate, its key, a limit or a setting cannot be used"),
];

/// The exit codes of the commands that write files and end.
pub(super) const WRITING: &[Meaning] = &[
    (0, "done"),
    (Code::Runtime as u8, "a file cannot be written"),
    (Code::Usage as u8, "the command line is wrong"),
    (Code::Configuration as u8, "a certificate, a key or another file cannot be used, and stays as it is"),
];

/// A code and what to tell the user.
#[derive(Debug)]
pub(super) struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { code, message }
    }

    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    /// Tells the user, in one line whatever the names in it hold.
    pub(super) fn report(self) -> ExitCode {
        // Who has closed stderr cannot be told; the exit code still says it.
        let _ = writeln!(io::stderr(), "lockgate: {}", escape::line(&self.message));
        ExitCode::from(self.code as u8)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match &error {
            _ if error.is_address_in_use() => Code::PortInUse,
            _ if error.is_permission_denied() => Code::NotPermitted,
            Error::Check { .. } => Code::NotChecked,
            Error::Identity { .. } | Error::Device { .. } | Error::Setting { .. } | Error::Route { .. } => {
                Code::Configuration
            }
            Error::Acme { fault: AcmeFault::TermsNotAccepted { .. }, .. } => Code::Configuration,
            _ => Code::Runtime,
        };
        let message = match &error {
            Error::Listen { listener: "HTTP", .. } => {
                format!("{error}; or serve without redirects: --http off")
            }
            // The setting under the name it has here.
            Error::Setting { setting, fault } => match options::named_as_setting(setting) {
                Some(option) => format!("--{}: {fault}", option.name),
                None => error.to_string(),
            },
            _ => error.to_string(),
        };
        Failure::new(code, message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use lockgate::IdentityFault;

    use super::*;

    fn listen(listener: &'static str, kind: ErrorKind) -> Error {
        Error::Listen { listener, address: "[::]:80".into(), source: kind.into() }
    }

    #[test]
    fn each_error_has_its_exit_code_and_a_way_out() {
        let setting = |setting| Error::Setting { setting, fault: "is wrong".into() };
        let cases = [
            (listen("HTTPS", ErrorKind::AddrInUse), 69, "another program has this port"),
            (listen("HTTP", ErrorKind::AddrInUse), 69, "--http off"),
            (listen("HTTP", ErrorKind::PermissionDenied), 77, "CAP_NET_BIND_SERVICE"),
            (listen("HTTP", ErrorKind::PermissionDenied), 77, "--http off"),
            (listen("HTTPS", ErrorKind::AddrNotAvailable), 1, "does not have this address"),
            (setting("idle_timeout"), 78, "--idle-timeout: is wrong"),
            (setting("identity"), 78, "identity: is wrong"),
            (
                Error::Identity { file: Some("cert.pem".into()), fault: IdentityFault::Missing },
                78,
                "cert.pem: there is no such file",
            ),
            (Error::Route { route: "GET x".into(), fault: "is wrong" }, 78, "GET x"),
            (Error::Io { doing: "waiting", source: ErrorKind::Other.into() }, 1, "waiting"),
        ];
        for (error, code, part) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.code as u8, code, "{}", failure.message);
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        let https = Failure::from(listen("HTTPS", ErrorKind::AddrInUse));
        assert!(!https.message.contains("--http off"), "{}", https.message);
    }
}
