//! The exit codes that the command ends with, which scripts can tell apart. Knows nothing; every command names its own.

/// Why the command ended. The numbers above 2 are those of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Runtime = 1,
    Usage = 2,
    /// Of `check`, when nothing could be checked. Its 1 and 2 say how bad the findings are.
    NotChecked = 3,
    /// As `Usage`, of a command whose 1 and 2 say how bad the findings are.
    UsageOfReport = 64,
    PortInUse = 69,
    NotPermitted = 77,
    Configuration = 78,
}

/// Ends the program, once the log is written.
pub(super) fn now(code: u8) -> ! {
    log::logger().flush();
    std::process::exit(code.into())
}

/// An exit code as the help explains it.
pub(super) type Meaning = (u8, &'static str);

/// The exit codes of the commands that serve.
pub(super) const SERVING: &[Meaning] = &[
    (0, "stopped by SIGINT or SIGTERM; what was open after drain-timeout was cut, as the log says"),
    (Code::Runtime as u8, "failed while it ran, or told to stop twice"),
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
    (Code::Configuration as u8, "a certificate, a key or another file cannot be used, and is left as it is"),
];
