//! The failure of a command: an exit code, and one line on stderr that says what is wrong and what would be right. Knows the
//! library's errors, and the options that set what they are about. Every command returns it.

use std::fmt;
use std::process::ExitCode;

use lockgate::internal::escape;
use lockgate::{AcmeFault, Error};
use serde_json::json;

use super::exit::Code;
use super::logger::tell_failure;
use super::options;
use super::place::Place;

/// An exit code and a message for the user.
#[derive(Debug)]
pub(super) struct Failure {
    pub code: Code,
    pub message: String,
    /// Whether stdout already has it instead of a report.
    pub is_in_report: bool,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { code, message, is_in_report: false }
    }

    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    /// The failure of a value that was given at this place.
    pub(super) fn at(place: &Place, what: fmt::Arguments<'_>) -> Failure {
        match place {
            Place::CommandLine(spelling) => Failure::usage(format!("{spelling}{what}")),
            Place::Environment(name) => {
                Failure::new(Code::Configuration, format!("the environment's {name}{what}"))
            }
            Place::File { path, line, name } => {
                Failure::new(Code::Configuration, format!("{}:{line}: {name}{what}", path.display()))
            }
        }
    }

    /// The failure as JSON, for a program that reads stdout.
    pub(super) fn to_json(&self) -> String {
        let error = escape::line(&self.message).to_string();
        format!("{:#}", json!({"error": error, "exit_code": self.code as u8}))
    }

    /// Writes the message to stderr, in one line even when names in it hold line ends.
    pub(super) fn report(self) -> ExitCode {
        tell_failure(&self.message);
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
            // Users know the setting by its option.
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
