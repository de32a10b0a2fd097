//! A server in this process whose certificate comes from an ACME server, and a wait for that certificate.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate::{Acme, Handle, Identity, IdentityEvent, Request, Router, Running, Server};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};

use super::{https, SAFETY};

pub struct Serving {
    pub https: SocketAddr,
    pub http: Option<SocketAddr>,
    pub handle: Handle,
    running: Option<Running>,
    told: Receiver<Result<Identity, (String, Duration)>>,
}

impl Serving {
    pub fn start(acme: Acme, https: u16, http: u16) -> Serving {
        let (sender, told) = mpsc::channel();
        let sender = Mutex::new(sender);
        let server = Server::builder(Router::new().get("/", |_| "here"))
            .identity(Identity::acme(acme).unwrap())
            .https(format!("127.0.0.1:{https}"))
            .redirect_http(format!("127.0.0.1:{http}"))
            // Its paths are around those of challenges.
            .http_router(Router::new().get("/.well-known/{*path}", |_: &mut Request| "in clear"))
            .on_identity_event(move |event| {
                let told = match event {
                    IdentityEvent::Renewed { identity } => Ok((*identity).clone()),
                    IdentityEvent::Failed { error, retry_in, .. } => Err((error.to_string(), *retry_in)),
                    _ => return,
                };
                // Nobody listens at the end of a test.
                let _ = sender.lock().unwrap().send(told);
            })
            .bind()
            .unwrap();
        let (https, http) = (server.local_addr(), server.redirect_addr());
        let running = server.spawn().unwrap();
        Serving { https, http, handle: running.handle(), running: Some(running), told }
    }

    /// Waits until another certificate is in use.
    #[track_caller]
    pub fn renewed(&self) -> Identity {
        self.told.recv_timeout(SAFETY).unwrap().unwrap()
    }

    /// Waits until an attempt has failed: why, and how long until the next.
    #[track_caller]
    pub fn failed(&self) -> (String, Duration) {
        self.told.recv_timeout(SAFETY).unwrap().unwrap_err()
    }

    /// The certificate that a client sees that trusts this root and asks for this name.
    pub fn seen(
        &self,
        root: &CertificateDer<'static>,
        name: &'static str,
    ) -> Result<CertificateDer<'static>, String> {
        let config = Arc::new(https::trusting(std::slice::from_ref(root)));
        let tcp = std::net::TcpStream::connect(self.https).unwrap();
        tcp.set_read_timeout(Some(SAFETY)).unwrap();
        let client = ClientConnection::new(config, ServerName::try_from(name).unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        }
        Ok(stream.conn.peer_certificates().unwrap()[0].clone().into_owned())
    }

    pub fn stop(mut self) {
        self.handle.stop();
        self.running.take().unwrap().join().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.stop();
    }
}
