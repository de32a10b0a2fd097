//! The `lockgate` command: a server to try, and to run as it is. It knows only what every embedding program knows,
//! lockgate's public API; nothing knows it but `main`.

mod cert;
mod check;
mod config;
mod demo;
mod exit;
mod help;
mod options;
mod parse;
mod serve;
mod signals;
mod spec;
mod terminal;
mod value;

use std::process::ExitCode;

use exit::Failure;
use parse::{Topic, Wish};
use terminal::{say, start_log, tell};

/// Does what the command line says; the exit code tells how it went.
pub(crate) fn main() -> ExitCode {
    match parse::parse(std::env::args_os()).and_then(fulfil) {
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
