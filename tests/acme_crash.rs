//! The command is killed at every step of an ACME order, and its next start continues the order. A proxy in front of Pebble
//! knows the step and kills the command.

mod support_acme;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use support_acme::https;
use support_acme::pebble::{Options, Pebble};

/// When to kill: on the way to a path that begins so, or on the way back.
#[derive(Clone, Copy, Debug)]
enum When {
    BeforeItArrives(&'static str),
    BeforeTheAnswerArrives(&'static str),
}

/// Forwards to Pebble.
struct Proxy {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    knife: Option<When>,
    victim: Option<Child>,
}

impl Proxy {
    fn start(pebble: &Pebble) -> Proxy {
        let shared = Arc::<Mutex<Shared>>::default();
        let (port, ca) = (pebble.port, pebble.authority.ca.clone());
        let knife = shared.clone();
        let port = https::serve(&pebble.authority.pair("proxy"), move |request| {
            // The command that sends this request is stored as the victim by then.
            let mut shared = knife.lock().unwrap();
            if matches!(shared.knife, Some(When::BeforeItArrives(path)) if request.path.starts_with(path)) {
                shared.kill();
                return Vec::new();
            }
            let answer = https::exchange(port, &ca, &request.raw).unwrap();
            if matches!(shared.knife, Some(When::BeforeTheAnswerArrives(path)) if request.path.starts_with(path))
            {
                shared.kill();
                return Vec::new();
            }
            answer
        });
        Proxy { port, shared }
    }

    /// Runs the command until it is killed at that moment.
    fn kill(&self, mut command: Command, when: When) {
        let mut shared = self.shared.lock().unwrap();
        shared.knife = Some(when);
        shared.victim = Some(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        // Its end closes its stderr. An earlier wait would reap it before the test can kill it.
        let mut stderr = shared.victim.as_mut().unwrap().stderr.take().unwrap();
        drop(shared);
        let mut log = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut log).unwrap();
        let status = self.shared.lock().unwrap().victim.take().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{when:?}: {status}\n{log}");
    }
}

impl Shared {
    fn kill(&mut self) {
        self.knife = None;
        // SIGKILL.
        self.victim.as_mut().unwrap().kill().unwrap();
    }
}

fn obtain(pebble: &Pebble, proxy: &Proxy, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.args(["cert", "obtain", "--accept-terms", "--name", "a.example.org"]);
    command.args(["--acme", &format!("https://localhost:{}/dir", proxy.port)]);
    command.arg("--acme-ca").arg(&pebble.authority.ca).arg("--state").arg(state);
    command.args(["--http", &format!("127.0.0.1:{}", pebble.http_port)]);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

#[test]
fn an_order_goes_on_after_a_kill_at_any_step_and_is_never_made_twice() {
    let Some(pebble) = Pebble::start("ACME and crashes", Options::default()) else { return };
    let proxy = Proxy::start(&pebble);
    for (step, when) in [
        When::BeforeItArrives("/authZ/"),
        When::BeforeItArrives("/chalZ/"),
        When::BeforeItArrives("/finalize-order/"),
        When::BeforeTheAnswerArrives("/finalize-order/"),
        When::BeforeItArrives("/certZ/"),
        When::BeforeTheAnswerArrives("/certZ/"),
    ]
    .into_iter()
    .enumerate()
    {
        let state = TempDir::new().unwrap();
        proxy.kill(obtain(&pebble, &proxy, state.path()), when);
        let Output { status, stdout, stderr } = obtain(&pebble, &proxy, state.path()).output().unwrap();
        let log = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{when:?}: {status}\n{log}\n{}", pebble.log());
        assert!(String::from_utf8_lossy(&stdout).starts_with("certificate for a.example.org\n"), "{when:?}");
        assert!(log.contains("is taken up again"), "{when:?}: {log}");
        assert_eq!(pebble.orders(), step + 1, "{when:?}");
    }
}

#[test]
fn an_order_whose_answer_was_lost_is_not_followed_by_another_at_once() {
    let Some(pebble) = Pebble::start("ACME and lost orders", Options::default()) else { return };
    let proxy = Proxy::start(&pebble);
    let state = TempDir::new().unwrap();
    proxy.kill(obtain(&pebble, &proxy, state.path()), When::BeforeTheAnswerArrives("/order-plz"));
    for _ in 0..3 {
        let Output { status, stderr, .. } = obtain(&pebble, &proxy, state.path()).output().unwrap();
        let message = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{message}");
        assert!(message.contains("the last order was made a moment ago"), "{message}");
    }
    assert_eq!(pebble.orders(), 1);
}
