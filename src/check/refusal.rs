//! Why the handshake with a current client failed, and how to fix that, judged by the server's alert and by its answers to
//! other hellos. `Check` calls it.

use std::io;

use super::client::{alert_in, Failed};
use super::exchange::{Ask, Conversation};
use super::flight::{alert_name, Answer};
use super::hello::{Hello, Version, GROUPS_OF_TODAY, RARE_GROUPS};
use super::probes::Seen;
use super::rules;
use super::run::Run;
use super::secure::shown;
use super::suites;
use crate::finding::shell_word;
use crate::url::Host;

// RFC 8446 §6, RFC 6066 §3, RFC 7301 §3.2.
const HANDSHAKE_FAILURE: u8 = 40;
const ILLEGAL_PARAMETER: u8 = 47;
const PROTOCOL_VERSION: u8 = 70;
const INSUFFICIENT_SECURITY: u8 = 71;
const UNRECOGNIZED_NAME: u8 = 112;
pub(super) const NO_APPLICATION_PROTOCOL: u8 = 120;

/// What a current client needs and the server lacks.
enum Lack {
    Name,
    /// The server speaks only HTTP/2.
    Http1,
    Version,
    /// A common group for the key exchange. The group that the server accepts, if it is known.
    Group(u16),
    Cipher,
    /// Only the server's log says.
    Unknown,
}

/// Nothing arrived, neither TLS nor anything else. The probes are left out, because each would time out.
pub(super) fn silence(run: &mut Run<'_>, error: &io::Error, heard: usize) {
    if let Some(status) = plain_status(run) {
        let port = run.port;
        run.found(
            &rules::NO_TLS,
            format!("port {port} does not speak TLS: a plain HTTP request is answered with {status}"),
        );
        return;
    }
    let how = match (heard, error.kind()) {
        (1.., _) => "only half an answer to a TLS hello arrived".to_string(),
        (_, io::ErrorKind::TimedOut) => {
            let seconds = run.dialer.phase().as_secs_f32();
            format!("no answer to a TLS hello within {seconds} s")
        }
        (_, io::ErrorKind::UnexpectedEof) => {
            "no answer to a TLS hello, and the connection was closed".to_string()
        }
        _ => "no answer to a TLS hello, and the connection was reset".to_string(),
    };
    run.found(
        &rules::NOTHING_ANSWERED,
        format!("{how}; the server is hung, full, filtered, or expects the PROXY protocol"),
    );
}

/// The answer to plain HTTP where TLS gets none: small HTTP servers wait for the end of a line, which a hello may not have.
/// A 400 is the answer of a TLS server to plain HTTP.
fn plain_status(run: &mut Run<'_>) -> Option<u16> {
    run.dialer.hurry();
    let line = run.dial();
    run.dialer.take_time();
    let ask = Ask { method: "GET", path: &run.url.path, host: &run.url.authority(), fields: &[] };
    let reply = Conversation::new(line.ok()?).ask(&ask).ok()?;
    (reply.status != 400).then_some(reply.status)
}

/// The port speaks no TLS, or no version that a current client speaks.
pub(super) fn look(run: &mut Run<'_>, seen: &Seen, failed: &Failed) {
    let error = &failed.error;
    if !seen.is_tls {
        let what = match &seen.foreign {
            Some(bytes) if bytes.starts_with(b"HTTP/") => "it answers in plain HTTP".to_string(),
            Some(bytes) => format!("it answers {:?}", shown(&String::from_utf8_lossy(bytes))),
            None => return silence(run, error, failed.heard),
        };
        run.found(&rules::NO_TLS, format!("port {} does not speak TLS: {what}", run.port));
        return;
    }
    let alert = alert_in(error);
    let reason = match (alert, seen.refusal) {
        (Some(alert), _) => format!("the server refused with {}", alert_name(alert)),
        (None, Some((version, alert))) => {
            format!("{} was refused with {}", version.name(), alert_name(alert))
        }
        (None, None) => error.to_string(),
    };
    let lack = lack(run, seen, alert.or(seen.refusal.map(|(_, alert)| alert)));
    let accepted: Vec<&str> = seen.accepted.iter().map(|version| version.name()).collect();
    let accepted = match (&lack, &accepted[..]) {
        (Lack::Http1, _) => "it speaks only HTTP/2 (h2), and the client offered http/1.1".to_string(),
        (Lack::Group(group), _) => {
            format!(
                "it accepts none of the key exchange groups that clients offer, only {}",
                group_name(*group)
            )
        }
        (_, []) => "no version is accepted".to_string(),
        (_, versions) => format!("it accepts only {}", versions.join(", ")),
    };
    let fix = remedy(run, &lack);
    run.found_with(&rules::HANDSHAKE_FAILS, format!("{reason}; {accepted}"), fix);
}

fn lack(run: &mut Run<'_>, seen: &Seen, alert: Option<u8>) -> Lack {
    let is_of_today = |version: &Version| *version >= Version::Tls12;
    let accepts_today = seen.accepted.iter().any(is_of_today);
    match alert {
        Some(UNRECOGNIZED_NAME) => return Lack::Name,
        Some(NO_APPLICATION_PROTOCOL) => return Lack::Http1,
        Some(PROTOCOL_VERSION) if !accepts_today => return Lack::Version,
        _ => {}
    }
    if let Some(group) = seen.group.filter(|group| accepts_today && !GROUPS_OF_TODAY.contains(group)) {
        return Lack::Group(group);
    }
    // The server accepts TLS 1.3 before it looks for its certificate, so such an alert is about a later step.
    let is_of_choices = alert
        .map_or(true, |alert| [HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, INSUFFICIENT_SECURITY].contains(&alert));
    if accepts_today {
        return if is_of_choices { Lack::Cipher } else { Lack::Unknown };
    }
    if !seen.accepted.is_empty() {
        return Lack::Version;
    }
    match alert {
        Some(HANDSHAKE_FAILURE | ILLEGAL_PARAMETER | INSUFFICIENT_SECURITY) => {
            rare_group(run).map_or(Lack::Cipher, Lack::Group)
        }
        _ => Lack::Unknown,
    }
}

/// A group that the server accepts and that current clients do not offer.
fn rare_group(run: &mut Run<'_>) -> Option<u16> {
    let suites = suites::numbers(&[suites::TLS13]);
    let host = run.url.host.clone();
    let hello = Hello {
        version: Version::Tls13,
        suites: &suites,
        groups: &RARE_GROUPS,
        name: host.name(),
        protocols: run.protocols,
    };
    match run.offer(&hello) {
        Ok(Answer::Accepted(flight)) => flight.group,
        Ok(_) => None,
        Err(error) => {
            run.unknown("groups for the key exchange", &error);
            None
        }
    }
}

/// The remedy for this server, to paste.
fn remedy(run: &Run<'_>, lack: &Lack) -> String {
    let (host, port, path) = (&run.url.host, run.url.port, &run.url.path);
    let ca = run.ca_file.as_ref().map_or_else(String::new, |file| format!(" --ca {}", shell_word(file)));
    let name_of_it =
        |address: &str| format!("lockgate check https://NAME:{port}{path} --connect {address}{ca}");
    match lack {
        Lack::Name => match host {
            Host::Ip(address) => format!(
                "a client sends no name with an address; use a name of the server: {}
nginx: listen {port} ssl default_server; in one server block with a certificate (and no ssl_reject_handshake)",
                name_of_it(&address.to_string())
            ),
            Host::Name(name) => format!(
                "lockgate: give a pair whose certificate is for {name}: --cert FILE --key FILE
nginx: server_name {name}; in a server block with its ssl_certificate
Caddy: {name}:{port} {{ … }}
or ask by a name that the server has: {}",
                name_of_it(&run.dialer.address().map_or_else(|| "ADDRESS".to_string(), |to| to.ip().to_string()))
            ),
        },
        Lack::Http1 => "offer http/1.1 beside h2, because many clients of APIs speak nothing else
Node: http2.createSecureServer({ allowHTTP1: true, … })
Go: tls.Config{NextProtos: []string{\"h2\", \"http/1.1\"}}
HAProxy: bind … alpn h2,http/1.1"
            .to_string(),
        Lack::Version => rules::HANDSHAKE_FAILS.fix.to_string(),
        Lack::Group(_) => "nginx: ssl_ecdh_curve X25519:prime256v1:secp384r1;
Node: https.createServer({ ecdhCurve: 'auto', … })
OpenSSL: -groups X25519:P-256:P-384
(lockgate offers them by itself)"
            .to_string(),
        Lack::Cipher => "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(and a certificate with an ECDSA P-256 key, or an RSA key of 2048 bits or more)"
            .to_string(),
        Lack::Unknown => format!(
            "read the server's log about this handshake
Caddy and Go: they refuse so when they have no certificate for {host}"
        ),
    }
}

/// The name in the registry of TLS supported groups.
pub(super) fn group_name(group: u16) -> String {
    let name = match group {
        0x0016 => "secp256k1",
        0x0017 => "secp256r1",
        0x0018 => "secp384r1",
        0x0019 => "secp521r1",
        0x001a => "brainpoolP256r1",
        0x001b => "brainpoolP384r1",
        0x001c => "brainpoolP512r1",
        0x001d => "x25519",
        0x001e => "x448",
        0x001f => "brainpoolP256r1tls13",
        0x0020 => "brainpoolP384r1tls13",
        0x0021 => "brainpoolP512r1tls13",
        0x0100 => "ffdhe2048",
        0x0101 => "ffdhe3072",
        0x0102 => "ffdhe4096",
        0x0103 => "ffdhe6144",
        0x0104 => "ffdhe8192",
        0x11eb => "SecP256r1MLKEM768",
        0x11ec => "X25519MLKEM768",
        0x11ed => "SecP384r1MLKEM1024",
        number => return format!("group 0x{number:04x}"),
    };
    name.to_string()
}
