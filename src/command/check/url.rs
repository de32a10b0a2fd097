//! `lockgate check URL`: says in plain words whether the connection to an HTTPS API is secure. `connection` calls it.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use lockgate::check::{Check, Verdict};

use super::report;
use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::terminal::{is_dumb, say_json, say_painted, Paint};

pub(super) fn run(arguments: &Arguments, url: &str) -> Result<ExitCode, Failure> {
    let mut check = Check::new(url).http_port(arguments.http_port);
    if let Some(file) = &arguments.ca {
        check = check.ca_file(file);
    }
    if let (Some(cert), Some(key)) = (arguments.certs.first(), arguments.keys.first()) {
        check = check.client_pem_files(cert, key);
    }
    if let Some((address, port)) = arguments.connect {
        check = check.connect(address, port);
    }
    let is_watched = io::stderr().is_terminal() && !is_dumb();
    if is_watched {
        check = check.on_progress(Progress::default().shower());
    }
    let outcome = check.run();
    if is_watched {
        progress("");
    }
    let report = outcome?;
    if arguments.json {
        say_json(&format!("{:#}", report.to_json()));
    } else {
        say_painted(&report::text(&report, Paint::for_stdout()));
    }
    Ok(match report.verdict() {
        Verdict::Clean if !report.is_complete() => ExitCode::from(Code::NotChecked as u8),
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Warnings => ExitCode::from(1),
        // Errors, and what may come to be worse.
        _ => ExitCode::from(2),
    })
}

/// One line on stderr, written over at each step.
#[derive(Default)]
struct Progress {
    steps: Cell<u32>,
}

impl Progress {
    fn shower(self) -> impl Fn(&str) {
        move |step| {
            self.steps.set(self.steps.get() + 1);
            progress(&format!("{}: {step} …", self.steps.get()));
        }
    }
}

/// Writes over the last line (ECMA-48 EL).
fn progress(line: &str) {
    log::logger().flush();
    let mut stderr = io::stderr().lock();
    // When stderr is closed nobody can be told.
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}
