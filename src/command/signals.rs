//! What signals do: SIGINT and SIGTERM stop the server, a second one ends the program at once, and SIGHUP loads the
//! certificates again. One thread waits for signals, from before the first file is opened.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate::Handle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::exit::{self, Code};
use super::failure::Failure;

/// The signals, which a thread obeys from the moment that they are caught.
pub(super) struct Signals(Arc<Mutex<Stage>>);

/// How far the program has come.
enum Stage {
    /// The program opens files and ports. It may have read already what a SIGHUP asks it to load again.
    Opening {
        wants_reload: bool,
    },
    Serving(Handle),
    Stopping,
}

impl Signals {
    /// Obeys signals from now on, in a thread of its own. Told to stop before there is a server, the program ends at once: no
    /// request has begun, and a lock or a slow disk that it waits for may never answer.
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

    /// From now on signals are for this server.
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
            // It may take a while, and the next signal does not wait for it.
            drop(stage);
            reload(&handle);
        }
        (SIGHUP, Stage::Stopping) => {}
        (_, Stage::Opening { .. }) => {
            log::info!("stopping before anything is served");
            exit::now(0);
        }
        (_, Stage::Serving(handle)) => {
            log::info!("stopping; a second signal cuts what is still open");
            handle.stop();
            *stage = Stage::Stopping;
        }
        (_, Stage::Stopping) => {
            log::warn!("told to stop a second time: what is still open is cut");
            exit::now(Code::Runtime as u8);
        }
    }
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reload(handle: &Handle) {
    // A fault is in the log already.
    if handle.reload().is_ok() {
        log::info!("certificates are loaded again, for new connections");
    }
}
