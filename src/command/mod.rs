//! The `lockgate` command: a server to try, and to run as it is. It knows only what every embedding program knows,
//! lockgate's public API; nothing knows it but `main`.

mod acme;
mod args;
mod cert_ca;
mod cert_csr;
mod cert_install;
mod cert_show;
mod check;
mod check_before;
mod check_report;
mod check_sarif;
mod check_source;
mod check_url;
mod check_url_report;
mod commands;
mod config;
mod demo;
mod demo_certs;
mod exit;
mod help;
mod options;
mod placing;
mod serve;
mod signals;
mod value;

use std::io::{self, Write};
use std::process::ExitCode;

use args::{Arguments, Topic, Wish};
use exit::Failure;

/// Does what the command line says; the exit code tells how it went.
pub(crate) fn main() -> ExitCode {
    match args::parse(std::env::args_os()).and_then(fulfil) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn fulfil(wish: Wish) -> Result<ExitCode, Failure> {
    match wish {
        Wish::Help(Topic::Everything) => say(&help::general()),
        Wish::Help(Topic::Group(word)) => say(&help::group(&word)),
        Wish::Help(Topic::Command(command)) => say(&help::of(command)),
        Wish::Version => say(concat!("lockgate ", env!("CARGO_PKG_VERSION"))),
        Wish::Run(command, arguments) => {
            start_log(&arguments);
            return (command.spec().run)(&arguments);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to stdout. That nobody reads it (a closed pipe) is no reason to stop serving.
fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        log::debug!("stdout is closed: {error}");
    }
}

/// Writes to stderr, for people, beside what stdout holds for programs.
fn tell(text: &str) {
    if let Err(error) = writeln!(io::stderr(), "{text}") {
        log::debug!("stderr is closed: {error}");
    }
}

/// `RUST_LOG` says what is logged; when it is not set, `-v` and `-q` do.
fn start_log(arguments: &Arguments) {
    let level = match arguments.verbosity {
        ..=-3 => "off",
        -2 => "error",
        -1 => "warn",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    let environment = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(environment).init();
}
