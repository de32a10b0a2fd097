//! What signals do: SIGINT and SIGTERM stop the server, after its grace time if it has one, a further one ends that time or the
//! program at once, and SIGHUP loads the certificates again. One thread waits for signals, from before the first file is opened. It
//! reads no file, because that may never end: a reload has a thread of its own.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "operations")]
use lockgate::internal::reload_after;
use lockgate::Handle;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::arguments::Arguments;
use super::exit::{self, Code};
use super::failure::Failure;
#[cfg(feature = "operations")]
use super::reread::Reread;

/// The signals, which a thread obeys from the moment that they are caught.
pub(super) struct Signals(Arc<Shared>);

struct Shared {
    stage: Mutex<Stage>,
    /// How many reloads there are: one that runs, and one that begins when that has ended.
    reloads: AtomicU8,
    #[cfg(feature = "operations")]
    settings: Reread,
}

/// How far the program has come.
enum Stage {
    /// The program opens files and ports. It may have read already what a SIGHUP asks it to load again.
    Opening {
        wants_reload: bool,
    },
    Serving(Handle),
    /// It serves, and stops soon.
    #[cfg(feature = "operations")]
    Leaving(Handle),
    Stopping,
}

impl Signals {
    /// Obeys signals from now on, in a thread of its own. Told to stop before there is a server, the program ends at once: no
    /// request has begun, and a lock or a slow disk that it waits for may never answer.
    pub(super) fn catch(arguments: &Arguments) -> Result<Signals, Failure> {
        let _ = arguments;
        let fault =
            |error: io::Error| Failure::new(Code::Runtime, format!("signals cannot be caught: {error}"));
        let mut caught = iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(fault)?;
        let signals = Arc::new(Shared {
            stage: Mutex::new(Stage::Opening { wants_reload: false }),
            reloads: AtomicU8::new(0),
            #[cfg(feature = "operations")]
            settings: Reread::of(arguments),
        });
        let shared = signals.clone();
        let thread = std::thread::Builder::new().name("lockgate-signals".into());
        thread.spawn(move || caught.forever().for_each(|signal| obey(signal, &shared))).map_err(fault)?;
        Ok(Signals(signals))
    }

    /// From now on signals are for this server.
    pub(super) fn serve(self, handle: Handle) {
        let before = std::mem::replace(&mut *lock(&self.0.stage), Stage::Serving(handle.clone()));
        if matches!(before, Stage::Opening { wants_reload: true }) {
            self.0.reload(handle);
        }
    }
}

fn obey(signal: i32, shared: &Arc<Shared>) {
    let mut stage = lock(&shared.stage);
    match (signal, &mut *stage) {
        (SIGHUP, Stage::Opening { wants_reload }) => *wants_reload = true,
        (SIGHUP, Stage::Serving(handle)) => shared.reload(handle.clone()),
        (SIGHUP, Stage::Stopping) => {}
        (_, Stage::Opening { .. }) => {
            log::info!("stopping before anything is served");
            exit::now(0);
        }
        (_, Stage::Serving(handle)) => {
            #[cfg(feature = "operations")]
            if handle.stop_after_grace() {
                log::info!("not ready any more, and about to stop; a second signal stops at once");
                *stage = Stage::Leaving(handle.clone());
                return;
            }
            log::info!("stopping; a second signal cuts what is still open");
            handle.stop();
            *stage = Stage::Stopping;
        }
        #[cfg(feature = "operations")]
        (SIGHUP, Stage::Leaving(handle)) => shared.reload(handle.clone()),
        #[cfg(feature = "operations")]
        (_, Stage::Leaving(handle)) if !handle.is_stopping() => {
            log::info!("stopping; a third signal cuts what is still open");
            handle.stop();
            *stage = Stage::Stopping;
        }
        #[cfg(feature = "operations")]
        (_, Stage::Leaving(_)) => cut(),
        (_, Stage::Stopping) => cut(),
    }
}

fn cut() {
    log::warn!("told to stop a second time: what is still open is cut");
    exit::now(Code::Runtime as u8);
}

fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Begins a reload, on a thread of its own: a file may be on a disk that does not answer. If one runs, another begins when that has
    /// ended, because files may have changed since it read them. A third would find nothing that this one does not.
    fn reload(self: &Arc<Self>, handle: Handle) {
        let one_more = |reloads: u8| (reloads < 2).then_some(reloads + 1);
        if self.reloads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more) != Ok(0) {
            return;
        }
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("lockgate-reload".into());
        if let Err(error) = thread.spawn(move || shared.reload_all(&handle)) {
            self.reloads.store(0, Ordering::SeqCst);
            log::error!(
                "nothing is loaded again, because no thread can be started: {error}; send SIGHUP again"
            );
        }
    }

    fn reload_all(&self, handle: &Handle) {
        loop {
            self.reload_now(handle);
            if self.reloads.fetch_sub(1, Ordering::SeqCst) == 1 {
                return;
            }
        }
    }

    fn reload_now(&self, handle: &Handle) {
        #[cfg(feature = "operations")]
        let reloaded = reload_after(handle, &|| self.settings.read(handle));
        #[cfg(not(feature = "operations"))]
        let reloaded = handle.reload();
        // A fault is in the log already.
        if reloaded.is_ok() {
            log::info!("certificates are loaded again, for new connections");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Receiver, Sender};
    use std::time::Duration;

    use lockgate::{Error, Identity, IdentitySource, Router, Server};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Says that it is asked, and then waits until it may answer, as a file on a disk that is gone.
    struct Hangs {
        asked: Sender<()>,
        may_go_on: Mutex<Receiver<()>>,
        identity: Identity,
    }

    impl IdentitySource for Hangs {
        fn load(&self) -> Result<Identity, Error> {
            let _ = self.asked.send(());
            let _ = self.may_go_on.lock().unwrap().recv();
            Ok(self.identity.clone())
        }
    }

    #[test]
    fn a_signal_to_stop_waits_for_no_reload_and_reloads_do_not_pile_up() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let ((asked, is_asked), (go_on, may_go_on)) = (channel(), channel());
        go_on.send(()).unwrap();
        let source = Hangs { asked, may_go_on: Mutex::new(may_go_on), identity };
        let identity = Identity::from_source(source).unwrap();
        is_asked.recv().unwrap();
        let server = Server::builder(Router::new()).identity(identity).https("127.0.0.1:0").bind().unwrap();
        let handle = server.handle();
        let shared = Arc::new(Shared {
            stage: Mutex::new(Stage::Serving(handle.clone())),
            reloads: AtomicU8::new(0),
            #[cfg(feature = "operations")]
            settings: Reread::of(&Arguments::default()),
        });
        let (obeyed, all_obeyed) = channel();
        let signals = shared.clone();
        std::thread::spawn(move || {
            [SIGHUP, SIGHUP, SIGHUP, SIGHUP, SIGTERM].into_iter().for_each(|signal| obey(signal, &signals));
            obeyed.send(()).unwrap();
        });
        is_asked.recv_timeout(PATIENCE).unwrap();
        all_obeyed.recv_timeout(PATIENCE).unwrap();
        assert!(handle.is_stopping());
        // The one that runs, and one that was asked for meanwhile.
        go_on.send(()).unwrap();
        is_asked.recv_timeout(PATIENCE).unwrap();
        go_on.send(()).unwrap();
        let began = std::time::Instant::now();
        while shared.reloads.load(Ordering::SeqCst) > 0 {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        assert!(is_asked.try_recv().is_err(), "there was a third");
    }
}
