//! The check of an HTTPS API: is the connection secure, and if not, what is wrong and how is it fixed? It needs the feature
//! `check`. `lockgate check` does this on the command line, and a device can check itself. [`Preflight`] checks the
//! settings of a server before it starts, and [`scan`](crate::scan) checks the code of clients.
//!
//! ```no_run
//! use lockgate::check::{Check, Verdict};
//!
//! # fn main() -> Result<(), lockgate::Error> {
//! let report = Check::new("https://device.local:8443/api/data").ca_file("certs/ca.pem").run()?;
//! if report.verdict() > Verdict::Clean {
//!     for finding in report.findings() {
//!         println!("{}: {}\n{}", finding.id(), finding.seen(), finding.fix());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! The check opens a few dozen connections ([`Report::connections`] says how many; never more than 48), one after the
//! other, each with a time limit. When the first connection gets no answer at all, the check ends. It sends well-formed TLS
//! hellos, for each version and each group of weak ciphers, and requests: GET for the URL's path, for its redirects within
//! the same server and for `/openapi.json`, HEAD, and on the plain port GET and one POST without a body to a path that no
//! server has. It sends nothing secret, and nothing unusual for a server. It reads up to 256 KiB of a body; a longer body,
//! or one that streams, is judged by that part.
//!
//! A server that asks for a client certificate gets that of [`Check::client_pem_files`]. Without one, the report has all
//! that can be seen, and [`Report::is_complete`] says whether the server refused the check.
//!
//! # Which authorities are trusted
//!
//! The check trusts Mozilla's authorities, which are compiled in and count as public; those of this machine's store
//! (`SSL_CERT_FILE`, or the usual places of Linux systems and the BSDs); and those of the given file ([`Check::ca_file`]).
//! It fetches nothing. Programs on this machine may trust others: Java, Node and Firefox have stores of their own.
//!
//! `src/check/FINDINGS.md` lists all kinds of findings with their long texts; [`explain`] returns one of them.

mod certificate;
mod client;
mod client_certificate;
mod exchange;
mod explain;
mod flight;
mod hello;
mod line;
mod links;
mod plain;
mod preflight;
mod probes;
mod refusal;
mod report;
mod rules;
mod run;
mod secure;
mod suites;
mod trust;

pub use crate::finding::Verdict;
pub use explain::{explain, Explanation};
pub use preflight::Preflight;
pub use report::{Report, JSON_SCHEMA, SCHEMA};

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Map;

use crate::error::Error;
use crate::tls::Identity;
use crate::url::{without_userinfo, Url};
use client::{Asked, Client, Own};
use line::Dialer;
use run::Run;
use trust::Roots;
#[doc(hidden)]
pub use trust::{hsts_protects, hsts_protects_by};

/// The time limit of one phase of a connection: connecting, a handshake, an answer.
const PHASE: Duration = Duration::from_secs(5);
/// The application protocol of an API's client.
const PROTOCOLS: &[&str] = &["http/1.1"];
/// The time limit of a whole check.
const WHOLE: Duration = Duration::from_secs(90);

/// A check of one URL, with its settings.
pub struct Check {
    url: String,
    ca_file: Option<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    public_roots_file: Option<PathBuf>,
    http_port: Option<u16>,
    connect: Option<(IpAddr, Option<u16>)>,
    phase: Duration,
    whole: Duration,
    progress: Box<dyn Fn(&str) + Send>,
}

impl Check {
    /// A check of `https://host[:port]/path`. A name in another script is converted to its `xn--` form. [`run`](Check::run)
    /// returns the error of an invalid URL.
    pub fn new(url: impl Into<String>) -> Check {
        Check {
            url: url.into(),
            ca_file: None,
            client_certificate: None,
            public_roots_file: None,
            http_port: Some(80),
            connect: None,
            phase: PHASE,
            whole: WHOLE,
            progress: Box::new(|_| {}),
        }
    }

    /// Also trusts the certificates in this PEM file, as authorities or as the server's own certificate.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Check {
        self.ca_file = Some(path.into());
        self
    }

    /// Sends this certificate to a server that asks for one. Both files are PEM, as for
    /// [`Identity::from_pem_files`](crate::Identity::from_pem_files). Defaults to none.
    pub fn client_pem_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Check {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Uses the authorities in this PEM file as the public ones, which every client has, in place of Mozilla's.
    pub fn public_roots_file(mut self, path: impl Into<PathBuf>) -> Check {
        self.public_roots_file = Some(path.into());
        self
    }

    /// The port for the check of plain HTTP; `None` leaves that check out. Defaults to 80.
    pub fn http_port(mut self, port: impl Into<Option<u16>>) -> Check {
        self.http_port = port.into();
        self
    }

    /// Connects to this address instead of looking up the host; with a port, to that one instead of the URL's.
    pub fn connect(mut self, address: IpAddr, port: impl Into<Option<u16>>) -> Check {
        self.connect = Some((address, port.into()));
        self
    }

    /// The time limit for connecting, for a handshake and for an answer. Defaults to 5 s.
    pub fn phase_timeout(mut self, time: Duration) -> Check {
        self.phase = time;
        self
    }

    /// The time limit of the whole check; [`Report::unknown`] lists what it could not find out by then. Defaults to 90 s.
    pub fn timeout(mut self, time: Duration) -> Check {
        self.whole = time;
        self
    }

    /// Calls this with a few words whenever a part of the check begins.
    pub fn on_progress(mut self, progress: impl Fn(&str) + Send + 'static) -> Check {
        self.progress = Box::new(progress);
        self
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// [`Error::Check`] when nothing can be checked: the URL is invalid, a file of authorities or of the client's
    /// certificate cannot be used, the host has no address, or nothing accepts connections there. Anything that goes wrong
    /// with a server that accepts connections is a finding.
    pub fn run(&self) -> Result<Report, Error> {
        let fault = |fault: String| Error::Check { what: without_userinfo(&self.url), fault };
        let url = Url::parse(&self.url).map_err(|what| {
            fault(format!("it {what}; give a URL such as https://device.local:8443/api/data"))
        })?;
        if !url.is_https {
            return Err(fault(format!(
                "it is plain HTTP, where nothing is secure; give the https:// URL, and --http-port {} to check this port as well",
                url.port
            )));
        }
        let roots = Roots::load(self.ca_file.as_deref(), self.public_roots_file.as_deref())
            .map_err(|(path, error)| fault(format!("{}: {error}", path.display())))?;
        let own = match &self.client_certificate {
            Some((certificate, key)) => {
                Some(Identity::of_client(certificate, key).map_err(|error| fault(error.to_string()))?)
            }
            None => None,
        };
        let now = crate::calendar::unix_now();
        let until = Instant::now() + self.whole;
        let (dialer, port) = self.dialer(&url, until).map_err(|error| {
            fault(format!("the address of {} cannot be found: {error}; give it with --connect", url.host))
        })?;
        let mut run = Run {
            port,
            protocols: PROTOCOLS,
            plain_port: self.http_port.filter(|&plain| plain != port),
            url,
            dialer,
            findings: Vec::new(),
            facts: Map::new(),
            unknown: Vec::new(),
            own: None,
            options: self.options(),
            ca_file: self.ca_file.clone(),
            client_file: self.client_certificate.as_ref().map(|(file, _)| file.clone()),
            is_complete: true,
            progress: &*self.progress,
        };
        look(&mut run, &roots, own, now).map_err(|error| {
            fault(format!("nothing accepts connections on port {port} of {}: {error}", run.url.host))
        })?;
        let found = std::mem::take(&mut run.findings);
        run.findings = found.into_iter().map(|finding| finding.filled(|fix| run.filled(fix))).collect();
        crate::finding::worst_first(&mut run.findings);
        Ok(Report {
            kind: report::Kind::Url,
            subject: run.url.to_string(),
            checked_at: now,
            findings: run.findings,
            facts: run.facts,
            unknown: run.unknown,
            connections: run.dialer.opened(),
            is_complete: run.is_complete,
            but: None,
        })
    }

    /// The options that a remedy repeats when it says to check again.
    fn options(&self) -> String {
        let mut options = String::new();
        match self.connect {
            Some((address, None)) => options.push_str(&format!(" --connect {address}")),
            Some((address, Some(port))) => {
                options.push_str(&format!(" --connect {}", SocketAddr::new(address, port)));
            }
            None => {}
        }
        match self.http_port {
            Some(80) => {}
            Some(port) => options.push_str(&format!(" --http-port {port}")),
            None => options.push_str(" --http-port off"),
        }
        options
    }

    fn dialer(&self, url: &Url, until: Instant) -> io::Result<(Dialer, u16)> {
        match self.connect {
            Some((address, port)) => {
                let port = port.unwrap_or(url.port);
                Ok((Dialer::to(vec![SocketAddr::new(address, port)], self.phase, until), port))
            }
            None => Ok((Dialer::resolve(&url.host.to_string(), url.port, self.phase, until)?, url.port)),
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("url", &self.url)
            .field("ca_file", &self.ca_file)
            .field("client_certificate", &self.client_certificate)
            .field("http_port", &self.http_port)
            .field("connect", &self.connect)
            .finish_non_exhaustive()
    }
}

/// The parts of the check, one after the other, with one connection at a time, because a small device may serve no more.
/// Fails only when there is no server at all.
fn look(run: &mut Run<'_>, roots: &Roots, own: Option<Own>, now: i64) -> io::Result<()> {
    (run.progress)("connecting");
    let line = run.dial()?;
    let address = run.dialer.address().map(|address| SocketAddr::new(address.ip(), run.port).to_string());
    run.facts.insert("address".to_string(), address.into());
    let client = Client::new(PROTOCOLS, own.clone())?;
    let host = run.url.host.clone();
    let is_tls = match client.connect(line, &host) {
        Ok((secured, handshake)) => {
            let served = certificate::look(run, roots, &handshake.chain, Some(&handshake), now);
            handshake_facts(run, &handshake);
            let asked = client.asked(&handshake);
            let (trusted_by, validity) = (served.trusted_by, served.validity);
            let context = secure::Context { client: &client, trusted_by, now, validity, asked };
            let answered = secure::look(run, &context, secured);
            if answered != secure::Answered::Away && asked == Some(Asked::NoneShown) {
                run.found(&rules::CLIENT_CERTIFICATE_ASKED, "the server asks for a client certificate");
            }
            // A client that is refused after the handshake has no session to resume.
            if matches!(answered, secure::Answered::Whole | secure::Answered::Cut) {
                resumption(run, &client, &handshake, answered);
            }
            by_address(run, &client, &handshake);
            other_kind(run, roots, &client, &handshake, now);
            probes::look(run, true);
            true
        }
        // Each further hello would time out too.
        Err(failed) if failed.is_silence() && failed.error.kind() == io::ErrorKind::TimedOut => {
            refusal::silence(run, &failed.error, failed.heard);
            false
        }
        Err(failed) => {
            let asked = client.asked(&failed.shown);
            let http_2 = http_2(run, own, &failed);
            let seen = probes::look(run, http_2.is_some() || !failed.shown.chain.is_empty());
            let (chain, handshake) = match &http_2 {
                Some(handshake) => (&handshake.chain, Some(handshake)),
                None if !failed.shown.chain.is_empty() => (&failed.shown.chain, Some(&failed.shown)),
                None => (&seen.chain, None),
            };
            if seen.is_tls {
                certificate::look(run, roots, chain, handshake, now);
                if let Some(handshake) = handshake {
                    other_kind(run, roots, &client, handshake, now);
                }
            }
            let is_of_certificate = asked.is_some_and(|asked| {
                run.fact("tls", "client_certificate", true);
                client_certificate::is_of_failure(run, asked, &failed.error)
            });
            if !is_of_certificate {
                refusal::look(run, &seen, &failed);
            }
            seen.is_tls
        }
    };
    if is_tls {
        plain::on_tls_port(run);
    }
    plain::look(run);
    Ok(())
}

/// The handshake with a server that speaks only HTTP/2. The check cannot look further.
fn http_2(run: &mut Run<'_>, own: Option<Own>, failed: &client::Failed) -> Option<client::Handshake> {
    if client::alert_in(&failed.error) != Some(refusal::NO_APPLICATION_PROTOCOL) {
        return None;
    }
    run.protocols = &["h2"];
    let host = run.url.host.clone();
    let client = Client::new(run.protocols, own).ok()?;
    let (_, handshake) = run.dial().ok().and_then(|line| client.connect(line, &host).ok())?;
    handshake_facts(run, &handshake);
    Some(handshake)
}

fn handshake_facts(run: &mut Run<'_>, handshake: &client::Handshake) {
    run.fact("tls", "version", handshake.version.clone());
    run.fact("tls", "cipher", handshake.suite.clone());
    run.fact("tls", "key_exchange", handshake.group.map(refusal::group_name));
    run.fact("tls", "alpn", handshake.protocol.clone());
    run.fact("tls", "client_certificate", handshake.wants_certificate);
    if handshake.protocol.is_none() {
        run.found(
            &rules::NO_APPLICATION_PROTOCOL,
            "the client offered http/1.1, and the server chose nothing",
        );
    }
}

/// A second handshake, which should resume the first.
fn resumption(run: &mut Run<'_>, client: &Client, first: &client::Handshake, answered: secure::Answered) {
    (run.progress)("resumption");
    let host = run.url.host.clone();
    match run.dial().and_then(|line| Ok(client.connect(line, &host)?)) {
        Ok((_, handshake)) => {
            if !handshake.is_resumed && answered == secure::Answered::Cut {
                run.unknown.push(
                    "resumption: the check ended the first connection in the middle of an answer".into(),
                );
            } else {
                run.fact("tls", "resumption", handshake.is_resumed);
            }
            if !handshake.is_resumed && answered == secure::Answered::Whole {
                run.found(&rules::NO_RESUMPTION, "a second connection got a new session");
                certificate::compare(run, &first.chain, &handshake.chain);
            }
        }
        Err(error) => run.unknown("resumption", &error),
    }
}

/// A handshake that accepts only signatures of the other kind of key, for which a server may have another certificate.
fn other_kind(run: &mut Run<'_>, roots: &Roots, client: &Client, first: &client::Handshake, now: i64) {
    let Some(kind) = certificate::kind(&first.chain) else { return };
    (run.progress)("a certificate of another kind");
    let host = run.url.host.clone();
    let connected =
        run.dial().and_then(|line| Ok(client.with_keys(kind.other(), run.protocols)?.connect(line, &host)));
    let handshake = match connected {
        Ok(Ok((_, handshake))) => handshake,
        Ok(Err(failed)) if !failed.shown.chain.is_empty() => failed.shown,
        // The server has no other certificate.
        Ok(Err(failed)) if client::alert_in(&failed.error).is_some() || failed.is_silence() => return,
        Ok(Err(failed)) => return run.unknown("a certificate of another kind", &failed.error),
        Err(error) => return run.unknown("a certificate of another kind", &error),
    };
    if certificate::kind(&handshake.chain) == Some(kind.other()) {
        certificate::look_at_other(run, roots, &handshake, now);
        certificate::compare(run, &first.chain, &handshake.chain);
    }
}

/// A handshake that sends no name.
fn by_address(run: &mut Run<'_>, client: &Client, first: &client::Handshake) {
    let host = run.url.host.clone();
    let Some(address) = run.dialer.address().filter(|_| host.name().is_some()) else { return };
    (run.progress)("a connection by address");
    let by_address = crate::url::Host::Ip(address.ip());
    let line = match run.dial() {
        Ok(line) => line,
        Err(error) => return run.unknown("a connection by address", &error),
    };
    let handshake = match client.connect(line, &by_address) {
        Ok((_, handshake)) => handshake,
        // The server has answered without a name, and now asks for a certificate.
        Err(failed) if !failed.shown.chain.is_empty() => failed.shown,
        Err(failed) => {
            let Some(alert) = client::alert_in(&failed.error) else {
                return run.unknown("a connection by address", &failed.error);
            };
            run.fact("tls", "without_name", false);
            let alert = flight::alert_name(alert);
            run.found(&rules::NAME_NEEDED, format!("a client that sends no name is refused with {alert}"));
            return;
        }
    };
    run.fact("tls", "without_name", true);
    if handshake.chain.first() != first.chain.first() {
        let seen = certificate::subject(&handshake.chain);
        run.found(&rules::OTHER_CERTIFICATE_WITHOUT_NAME, format!("without a name {seen} is served"));
        certificate::compare(run, &first.chain, &handshake.chain);
    }
}
