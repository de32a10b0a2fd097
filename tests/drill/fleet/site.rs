//! Where a fleet lives: its addresses, an authority with the certificates that it has signed, and a folder.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};

use crate::support_command::certificates::{Authority, Pair};

/// The HTTPS port of everything here.
pub const HTTPS: u16 = 8443;
/// The port of plain HTTP, which redirects.
pub const HTTP: u16 = 8080;
/// The port of `--admin`.
pub const ADMIN: u16 = 9090;

pub struct Site {
    pub authority: Authority,
    pub pair: Pair,
    /// A network of its own on the loopback, so that ports that were left are taken by nobody else.
    network: [u8; 3],
}

impl Site {
    pub fn new() -> Site {
        static FLEETS: AtomicU8 = AtomicU8::new(0);
        let authority = Authority::new();
        let pair = authority.pair("first");
        let process = std::process::id();
        let fleet = FLEETS.fetch_add(1, Ordering::Relaxed);
        // 127.64.0.0/10 has room for each of some thousand processes and 16 fleets of each.
        let network =
            [127, 64 + (process >> 8) as u8 % 64, (process as u8).wrapping_mul(16).wrapping_add(fleet % 16)];
        Site { authority, pair, network }
    }

    fn host(&self, last: u8) -> String {
        let [a, b, c] = self.network;
        format!("{a}.{b}.{c}.{last}")
    }

    pub fn node_host(&self, at: usize) -> String {
        self.host(at as u8 + 1)
    }

    pub fn node(&self, at: usize) -> SocketAddr {
        format!("{}:{HTTPS}", self.node_host(at)).parse().expect("an address")
    }

    pub fn front(&self) -> SocketAddr {
        format!("{}:{HTTPS}", self.host(100)).parse().expect("an address")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.authority.dir().join(name)
    }

    /// A file that a node has for itself.
    pub fn of_node(&self, at: usize, name: &str) -> PathBuf {
        self.path(&format!("node-{at}-{name}"))
    }

    /// Gives a node the certificate and its key.
    pub fn give_pair(&self, at: usize, pair: &Pair) {
        // The key first: until the other file is there too, the pair does not fit, and the node keeps what it has.
        for (from, name) in [(&pair.key, "key.pem"), (&pair.cert, "cert.pem")] {
            write(&self.of_node(at, name), &fs::read_to_string(from).expect("a pair"));
        }
    }

    /// What a client trusts, and the certificate that it shows, if it shows one. It keeps tickets.
    pub fn trust(&self, shown: Option<&Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate()).expect("the root is a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.3")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
                builder.with_client_auth_cert(vec![pair.der.clone()], key).expect("a pair")
            }
        };
        config.resumption = Resumption::in_memory_sessions(64);
        Arc::new(config)
    }
}

/// Writes a file that only its owner may read, as a whole.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("writing a file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::rename(new, path).expect("its name");
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of this drill are UTF-8")
}
