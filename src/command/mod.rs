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
mod terminal;
mod value;

use std::process::ExitCode;

use args::{Topic, Wish};
use exit::Failure;
use terminal::{say, start_log, tell};

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
