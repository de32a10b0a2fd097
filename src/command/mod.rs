//! The `lockgate` command: a server to try and to run, a tool for certificates, and checks. It knows only what every
//! embedding program knows, lockgate's public API; nothing but `main` knows it.

#[cfg(feature = "proxy")]
mod answers;
mod arguments;
#[cfg(feature = "acme")]
mod authority;
mod bounded;
mod cert;
#[cfg(any(feature = "check", feature = "scan"))]
mod check;
mod config;
mod demo;
mod exit;
mod failure;
mod given;
mod help;
#[cfg(feature = "operations")]
mod log_format;
mod log_writer;
mod logger;
#[cfg(any(test, feature = "manual"))]
mod manual;
mod option;
mod options;
mod parse;
mod place;
mod placing;
mod registry;
#[cfg(feature = "operations")]
mod reread;
#[cfg(feature = "proxy")]
mod route;
#[cfg(feature = "proxy")]
mod route_table;
mod serve;
mod serving;
#[cfg(feature = "operations")]
mod settings;
mod signals;
mod spec;
mod suggest;
mod terminal;
#[cfg(test)]
mod tests;
#[cfg(feature = "operations")]
mod ticket_keys;
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
    #[cfg(feature = "manual")]
    if line.get(1).is_some_and(|word| word == "manual") {
        return manual::run(COMMANDS, line.get(2)).map_or_else(Failure::report, |()| ExitCode::SUCCESS);
    }
    match parse::parse(COMMANDS, line).and_then(invoke) {
        Ok((code, on_loss)) => match terminal::lost() {
            Some(error) => Failure::new(on_loss, format!("stdout cannot be written: {error}")).report(),
            None => code,
        },
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

/// Does it. Returns the exit code, and the code for a stdout that has not taken all.
fn invoke(invocation: Invocation) -> Result<(ExitCode, Code), Failure> {
    match invocation {
        Invocation::Help(Topic::Everything) => say(&help::general(COMMANDS)),
        Invocation::Help(Topic::Group(word)) => say(&help::group(COMMANDS, &word)),
        Invocation::Help(Topic::Command(command)) => say(&help::of(command)),
        Invocation::Version => say(concat!("lockgate ", env!("CARGO_PKG_VERSION"))),
        #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
        Invocation::Run(command, mut arguments) => {
            #[cfg(feature = "operations")]
            {
                arguments.again = Some(again);
            }
            logger::start(&arguments).map_err(|error| {
                Failure::new(Code::Runtime, format!("the log cannot be started: {error}"))
            })?;
            #[cfg(feature = "operations")]
            arguments.misspelled.iter().for_each(|what| log::warn!("{what}"));
            // Where 1 and 2 say how bad the findings are, a lost report says nothing.
            let on_loss = match command.usage_code {
                Code::UsageOfReport => Code::NotChecked,
                _ => Code::Runtime,
            };
            return Ok(((command.run)(&arguments)?, on_loss));
        }
    }
    Ok((ExitCode::SUCCESS, Code::Runtime))
}

/// Reads the command line again, with the file and the environment, for a server that is told to.
#[cfg(feature = "operations")]
fn again() -> Result<Box<arguments::Arguments>, String> {
    match parse::parse(COMMANDS, std::env::args_os()) {
        Ok(Invocation::Run(_, arguments)) => Ok(arguments),
        // It was a command that runs, so it is one still.
        Ok(_) => Err("the command line is another".into()),
        Err(failure) => Err(failure.message),
    }
}
