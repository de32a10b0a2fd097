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
mod log_writer;
mod logger;
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

use std::ffi::OsString;
use std::process::ExitCode;

use exit::Code;
use failure::Failure;
use parse::{Invocation, Topic};
use registry::COMMANDS;
use terminal::{say, say_json};

/// Does what the command line says; the exit code tells how it went.
pub(crate) fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let wants_json = line.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let _flushed = Flushed;
    match parse::parse(COMMANDS, line).and_then(invoke) {
        Ok(code) => code,
        Err(failure) => {
            if wants_json && !failure.is_in_report {
                say_json(&failure.to_json());
            }
            failure.report()
        }
    }
}

/// Writes the last lines of the log when it is dropped, also by a panic.
struct Flushed;

impl Drop for Flushed {
    fn drop(&mut self) {
        log::logger().flush();
    }
}

fn invoke(invocation: Invocation) -> Result<ExitCode, Failure> {
    match invocation {
        Invocation::Help(Topic::Everything) => say(&help::general(COMMANDS)),
        Invocation::Help(Topic::Group(word)) => say(&help::group(COMMANDS, &word)),
        Invocation::Help(Topic::Command(command)) => say(&help::of(command)),
        Invocation::Version => say(concat!("lockgate ", env!("CARGO_PKG_VERSION"))),
        Invocation::Run(command, arguments) => {
            logger::start(&arguments).map_err(|error| {
                Failure::new(Code::Runtime, format!("the log cannot be started: {error}"))
            })?;
            return (command.run)(&arguments);
        }
    }
    Ok(ExitCode::SUCCESS)
}
