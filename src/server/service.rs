//! What a server has of the service manager that runs it, and shares with other servers: passed sockets, whom it tells how it does,
//! and a file of keys. Values of the builder, which `service_settings` fills; `builder` opens the server with them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use super::notify::Notify;
use crate::error::Error;
use crate::listen;
use crate::operations::service_manager::ServiceManager;
use crate::tls::{Live, SharedKeys};

#[derive(Debug, Default)]
pub(super) struct Service {
    pub ticket_keys: Option<PathBuf>,
    pub https: Option<TcpListener>,
    pub notifies: bool,
    /// In place of the one of the environment, which all tests share.
    #[cfg(test)]
    pub manager: Option<ServiceManager>,
}

impl Service {
    /// The listener for HTTPS, its address, and whether it was passed.
    pub(super) fn listener(&mut self, address: &str) -> Result<(TcpListener, SocketAddr, bool), Error> {
        match self.https.take() {
            Some(listener) => passed(listener, "https_listener").map(|(it, address)| (it, address, true)),
            None => listen::open("HTTPS", "https", address).map(|(it, address)| (it, address, false)),
        }
    }

    pub(super) fn share_keys(&self, tls: &Live) -> Result<(), Error> {
        match &self.ticket_keys {
            Some(file) => tls.replace_shared_keys(SharedKeys::load(file)?),
            None => Ok(()),
        }
    }

    pub(super) fn notify(&mut self, https: SocketAddr) -> Notify {
        #[cfg(test)]
        if let Some(manager) = self.manager.take() {
            return Notify::new(Some(manager), https);
        }
        Notify::new(if self.notifies { ServiceManager::from_env() } else { None }, https)
    }
}

/// A passed socket and its address.
pub(super) fn passed(
    listener: TcpListener,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), Error> {
    match listen::check_passed(&listener) {
        Ok(address) => Ok((listener, address)),
        Err(what) => Err(Error::Setting { setting, fault: format!("the socket {what}") }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::{Identity, Limits, Request, Router, Running, Server};

    const PATIENCE: Duration = Duration::from_secs(60);
    const PERIOD: Duration = Duration::from_millis(60);

    /// What a service manager hears of a server that it wants to hear progress of.
    struct Heard(UnixDatagram);

    impl Heard {
        fn next(&self) -> Option<String> {
            let mut message = [0; 512];
            match self.0.recv(&mut message) {
                Ok(length) => Some(String::from_utf8(message[..length].to_vec()).unwrap()),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                    None
                }
            }
        }

        /// The next message that is not about the watchdog.
        fn state(&self) -> String {
            self.0.set_read_timeout(Some(PATIENCE)).unwrap();
            loop {
                match self.next().expect("the server says nothing").as_str() {
                    "WATCHDOG=1" => {}
                    state => return state.to_string(),
                }
            }
        }

        fn progress(&self) {
            self.0.set_read_timeout(Some(PATIENCE)).unwrap();
            for _ in 0..5 {
                assert_eq!(self.next().as_deref(), Some("WATCHDOG=1"));
            }
        }

        /// What comes until nothing has come for many periods; more than there can be would be no end.
        fn rest(&self) -> Vec<String> {
            self.0.set_read_timeout(Some(20 * PERIOD)).unwrap();
            std::iter::from_fn(|| self.next()).take(1000).collect()
        }
    }

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn the_service_manager_hears_of_each_step_and_of_progress_unless_the_poller_is_stuck() {
        let dir = tempfile::tempdir().unwrap();
        let heard = Heard(UnixDatagram::bind(dir.path().join("notify")).unwrap());
        let (enter, entered) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let left = std::sync::Mutex::new(left);
        let router = Router::new().get("/", move |_: &mut Request| {
            enter.send(()).unwrap();
            // Until the test is over.
            let _ = left.lock().unwrap().recv();
            "hello"
        });
        let limits = Limits { workers: 1, reserve_workers: 0, ..Limits::default() };
        let mut builder = Server::builder(router).https("127.0.0.1:0").identity(identity()).limits(limits);
        builder = builder.ready_grace(Duration::from_secs(3600));
        builder.service.manager = Some(ServiceManager::at(&dir.path().join("notify"), Some(PERIOD)));
        let server = builder.bind().unwrap();
        let (address, shared) = (server.local_addr(), server.shared.clone());
        let running: Running = server.spawn().unwrap();
        assert_eq!(heard.state(), format!("READY=1\nSTATUS=serving HTTPS on {address}"));
        heard.progress();

        // The only worker is inside a handler.
        let trusted = running.handle().identity();
        let client = std::thread::spawn(move || {
            let mut stream = crate::server::tests::connect(address, &trusted);
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        entered.recv_timeout(PATIENCE).unwrap();
        heard.progress();
        // Whatever holds the lock for ever: nothing is served any more. Some messages may be on their way.
        let places = shared.poller.lock();
        assert!(heard.rest().iter().all(|message| message == "WATCHDOG=1"));
        assert!(heard.rest().is_empty());
        drop(places);
        heard.progress();

        running.handle().reload().unwrap();
        assert!(heard.state().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(heard.state(), format!("READY=1\nSTATUS=serving HTTPS on {address}"));
        // A service manager would end a server that says nothing for as long as its grace time.
        assert!(running.handle().stop_after_grace());
        let leaving = heard.state();
        assert!(
            leaving.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=3615000000\nSTATUS=not ready"),
            "{leaving}"
        );
        running.handle().stop();
        let stopping = heard.state();
        assert!(
            stopping.starts_with(
                "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=stopping; open connections: 1"
            ),
            "{stopping}"
        );
        // It is no reload any more.
        running.handle().reload().unwrap();
        leave.send(()).unwrap();
        assert!(client.join().unwrap().ends_with("hello"));
        running.join().unwrap();
        let rest = heard.rest();
        assert!(rest.iter().all(|message| message == "WATCHDOG=1"), "{rest:?}");
    }

    #[test]
    fn what_waits_at_a_passed_socket_is_left_to_the_next_server() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let router = || Router::new().get("/", |_: &mut Request| "hello");
        let identity = identity();
        let serve = || {
            let builder = Server::builder(router()).identity(identity.clone());
            let server = builder.https_listener(socket.try_clone().unwrap()).bind().unwrap();
            assert_eq!(server.local_addr(), address);
            server
        };
        // It is told to stop before it has accepted anything.
        let first = serve();
        first.handle().stop();
        let client = TcpStream::connect(address).unwrap();
        first.run().unwrap();
        let second = serve().spawn().unwrap();
        let mut stream = crate::server::tests::over(client, &identity);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        second.handle().stop();
        second.join().unwrap();
        assert!(TcpStream::connect(address).is_ok(), "the socket is still open");
    }

    #[test]
    fn what_is_no_listener_is_refused_with_the_setting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = || {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            TcpListener::from(std::os::fd::OwnedFd::from(stream))
        };
        let builder = || Server::builder(Router::new()).identity(identity());
        let refused = builder().https_listener(connected()).bind().unwrap_err().to_string();
        assert!(refused.starts_with("https_listener: the socket does not listen"), "{refused}");
        let refused =
            builder().https("127.0.0.1:0").redirect_listener(connected()).bind().unwrap_err().to_string();
        assert!(refused.starts_with("redirect_listener: the socket does not listen"), "{refused}");
    }
}
