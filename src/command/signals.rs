//! What signals do: SIGINT and SIGTERM stop the server, a second one ends the program at once, and SIGHUP loads the
//! certificates again. One thread waits for them, and sleeps until there is one.

use std::io;

use lockgate::Handle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::exit::{Code, Failure};

/// Signals that are caught, and kept until somebody obeys them.
pub(super) struct Signals(iterator::Signals);

impl Signals {
    /// Catches them from now on, so that none is lost while the server is being opened.
    pub(super) fn catch() -> Result<Signals, Failure> {
        iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map(Signals)
            .map_err(|error| Failure::new(Code::Runtime, format!("signals cannot be caught: {error}")))
    }

    /// Obeys them, in a thread of its own.
    pub(super) fn obey(mut self, handle: Handle) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("lockgate-signals".into());
        thread.spawn(move || {
            let mut is_stopping = false;
            for signal in self.0.forever() {
                match signal {
                    SIGHUP => reload(&handle),
                    _ if is_stopping => {
                        log::warn!("told to stop once more: what is still open is cut");
                        std::process::exit(i32::from(Code::Runtime as u8));
                    }
                    _ => {
                        log::info!("stopping; once more, and what is still open is cut");
                        is_stopping = true;
                        handle.stop();
                    }
                }
            }
        })?;
        Ok(())
    }
}

fn reload(handle: &Handle) {
    // What is wrong is in the log already, in its own words.
    if handle.reload().is_ok() {
        log::info!("certificates are loaded again, for new connections");
    }
}
