//! Runs a program with another time (faketime).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outcome;
use super::peers::FAKETIME;

/// A clock for programs that are started with it: it stands where the file says.
pub struct Clock {
    library: String,
    pub file: PathBuf,
}

impl Clock {
    /// `None` without faketime.
    pub fn at(test: &str, dir: &Path, time: &str) -> Option<Clock> {
        // Where the library lies is known to the program.
        let faketime = FAKETIME.command(test, &["-f", "+0d", "sh", "-c", "echo $LD_PRELOAD"])?;
        let (code, library, errors) = outcome(faketime, b"");
        assert_eq!(code, 0, "{errors}");
        let clock = Clock { library: library.trim().to_string(), file: dir.join("clock") };
        clock.set(time);
        Some(clock)
    }

    pub fn set(&self, time: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, time).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    pub fn wear(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        // Timers run on: a clock that is set does not turn them.
        command
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        command
    }
}
