//! What signals do: SIGINT and SIGTERM stop the server, a second one ends the program at once, and SIGHUP loads the
//! certificates again. One thread waits for them, from before the first file is opened, and sleeps until there is one.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate::Handle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::exit::Code;
use super::failure::Failure;

/// The signals, which a thread obeys from the start.
pub(super) struct Signals(Arc<Mutex<Stage>>);

/// How far the program is.
enum Stage {
    /// Files and ports are being opened. What is to be loaded again may have been read already.
    Opening {
        wants_reload: bool,
    },
    Serving(Handle),
    Stopping,
}

impl Signals {
    /// Obeys them from now on, in a thread of its own. Told to stop before there is a server, the program ends at once: nothing
    /// has begun that would have to be answered, and whatever is being waited for (a lock, a slow disk) may never come.
    pub(super) fn catch() -> Result<Signals, Failure> {
        let fault =
            |error: io::Error| Failure::new(Code::Runtime, format!("signals cannot be caught: {error}"));
        let mut caught = iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(fault)?;
        let stage = Arc::new(Mutex::new(Stage::Opening { wants_reload: false }));
        let shared = stage.clone();
        let thread = std::thread::Builder::new().name("lockgate-signals".into());
        thread.spawn(move || caught.forever().for_each(|signal| obey(signal, &shared))).map_err(fault)?;
        Ok(Signals(stage))
    }

    /// From now on they are for this server.
    pub(super) fn serve(self, handle: Handle) {
        let before = std::mem::replace(&mut *lock(&self.0), Stage::Serving(handle.clone()));
        if matches!(before, Stage::Opening { wants_reload: true }) {
            reload(&handle);
        }
    }
}

fn obey(signal: i32, shared: &Mutex<Stage>) {
    let mut stage = lock(shared);
    match (signal, &mut *stage) {
        (SIGHUP, Stage::Opening { wants_reload }) => *wants_reload = true,
        (SIGHUP, Stage::Serving(handle)) => {
            let handle = handle.clone();
            // It may take a while, and nobody else has to wait for it.
            drop(stage);
            reload(&handle);
        }
        (SIGHUP, Stage::Stopping) => {}
        (_, Stage::Opening { .. }) => {
            log::info!("stopping before anything is served");
            std::process::exit(0);
        }
        (_, Stage::Serving(handle)) => {
            log::info!("stopping; once more, and what is still open is cut");
            handle.stop();
            *stage = Stage::Stopping;
        }
        (_, Stage::Stopping) => {
            log::warn!("told to stop once more: what is still open is cut");
            std::process::exit(i32::from(Code::Runtime as u8));
        }
    }
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reload(handle: &Handle) {
    // What is wrong is in the log already, in its own words.
    if handle.reload().is_ok() {
        log::info!("certificates are loaded again, for new connections");
    }
}
