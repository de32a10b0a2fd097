//! The `lockgate` command: a server to try and to run, a tool for certificates, and checks. It knows only what every
//! embedding program knows, lockgate's public API; nothing but `main` knows it.

mod arguments;
#[cfg(feature = "acme")]
mod authority;
mod cert;
#[cfg(any(feature = "check", feature = "scan"))]
mod check;
mod config;
mod demo;
mod exit;
mod failure;
mod help;
mod option;
mod options;
mod parse;
mod registry;
mod serve;
mod serving;
mod signals;
mod spec;
mod suggest;
mod terminal;
#[cfg(test)]
mod tests;
mod value;

use std::process::ExitCode;

use failure::Failure;
use parse::{Invocation, Topic};
use registry::COMMANDS;
use terminal::{say, start_log};

/// Does what the command line says; the exit code tells how it went.
pub(crate) fn main() -> ExitCode {
    match parse::parse(COMMANDS, std::env::args_os()).and_then(invoke) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn invoke(invocation: Invocation) -> Result<ExitCode, Failure> {
    match invocation {
        Invocation::Help(Topic::Everything) => say(&help::general(COMMANDS)),
        Invocation::Help(Topic::Group(word)) => say(&help::group(COMMANDS, &word)),
        Invocation::Help(Topic::Command(command)) => say(&help::of(command)),
        Invocation::Version => say(concat!("lockgate ", env!("CARGO_PKG_VERSION"))),
        Invocation::Run(command, arguments) => {
            start_log(&arguments);
            return (command.run)(&arguments);
        }
    }
    Ok(ExitCode::SUCCESS)
}
