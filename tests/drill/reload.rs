//! Certificates replaced again and again under load: no request fails, and each new connection gets the new certificate.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{kill_process, Signal};
use rustls::pki_types::CertificateDer;

use crate::client::Tls;
use crate::load::WellBehaved;
use crate::server::Server;
use crate::{Size, Verdict};

const CLIENTS: usize = 8;
/// Every so many swaps nobody tells the server.
const UNTOLD_EVERY: usize = 10;
/// From the swap to the first connection with the new certificate, at most.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn drill(_: Size) -> Verdict {
    const SWAPS: usize = 200;
    let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("a certificate");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| folder.path().join(name);
    release(&authority, &path("0"));
    symlink("0", path("now")).expect("a link");
    let (certificate, key) = (path("now").join("cert.pem"), path("now").join("key.pem"));
    let server = Server::command_as(&certificate, &key, authority.der().clone());

    let clients: Vec<_> = (0..CLIENTS).map(|_| WellBehaved::start(&server.target)).collect();
    let mut faults = Vec::new();
    let (mut told, mut untold) = (Duration::ZERO, Duration::ZERO);
    for number in 1..=SWAPS {
        let new = release(&authority, &path(&number.to_string()));
        symlink(number.to_string(), path("next")).expect("a link");
        fs::rename(path("next"), path("now")).expect("the link is exchanged");
        let began = Instant::now();
        let longest = if number % UNTOLD_EVERY == 0 {
            &mut untold
        } else {
            kill_process(server.pid(), Signal::HUP).expect("the server runs");
            &mut told
        };
        while !server.target.tls().is_ok_and(|tls| has_certificate(&tls, &new)) {
            if began.elapsed() > PATIENCE {
                faults.push(format!("swap {number} was not taken up"));
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        *longest = (*longest).max(began.elapsed());
    }
    let mut requests = 0;
    for client in clients {
        let seen = client.stop();
        requests += seen.requests();
        faults.extend(seen.failures);
    }
    let figures = format!(
        "{SWAPS} certificates while {CLIENTS} clients sent {requests} requests, {} failed; taken up within {told:.0?} of \
         a signal, {untold:.0?} without one",
        faults.len()
    );
    Verdict { figures, faults }
}

/// A folder with a new pair in it.
fn release(authority: &CertifiedIssuer<'static, KeyPair>, folder: &Path) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_string()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    fs::create_dir(folder).expect("a folder");
    fs::write(folder.join("cert.pem"), certificate.pem()).expect("writing the certificate");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("writing the key");
    certificate.der().clone()
}

fn has_certificate(tls: &Tls, certificate: &CertificateDer<'static>) -> bool {
    tls.conn.peer_certificates().and_then(|chain| chain.first()) == Some(certificate)
}
