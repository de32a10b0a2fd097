//! Servers that ask for a client certificate: whether they turn away who has none, or whose they do not take. `Check` and the
//! HTTPS probes call it.

use std::io;

use super::client::{alert_in, Asked};
use super::exchange::{is_end, Reply};
use super::flight::alert_name;
use super::rules;
use super::run::Run;

/// Alerts that say so (RFC 8446 §6.2): bad, unsupported, revoked, expired, unknown, of an unknown authority, access denied,
/// not verified, required; and, of servers that say no more, handshake_failure.
const OF_CERTIFICATES: [u8; 10] = [40, 42, 43, 44, 45, 46, 48, 49, 51, 116];
/// What servers answer in HTTP where a certificate is missing: 495 and 496 are nginx's own, which it sends as 400. 401 asks for
/// credentials of HTTP.
const TURNED_AWAY: [u16; 4] = [400, 403, 495, 496];

/// Whether a connection that failed did so for the client's certificate, and if so, says it.
pub(super) fn is_of_failure(run: &mut Run<'_>, asked: Asked, error: &io::Error) -> bool {
    let alert = alert_in(error);
    // The server may be gone before its alert is read, and the alert with it.
    let is_end = is_end(error);
    let how = match alert {
        Some(alert) if OF_CERTIFICATES.contains(&alert) => format!("with {}", alert_name(alert)),
        None if is_end => "by closing the connection".to_string(),
        _ => return false,
    };
    say(run, asked, &how);
    true
}

/// The same of an answer in HTTP.
pub(super) fn is_of_answer(run: &mut Run<'_>, asked: Asked, reply: &Reply) -> bool {
    let is_of_it = match asked {
        Asked::NoneShown => TURNED_AWAY.contains(&reply.status),
        Asked::Shown => {
            let body = String::from_utf8_lossy(&reply.body).to_ascii_lowercase();
            matches!(reply.status, 400 | 495 | 496) && body.contains("certificate")
        }
    };
    if is_of_it {
        say(run, asked, &format!("with {}", reply.status));
    }
    is_of_it
}

fn say(run: &mut Run<'_>, asked: Asked, how: &str) {
    match asked {
        Asked::NoneShown => {
            run.is_complete = false;
            run.unknown.push("the answer over HTTPS: it is for clients with a certificate".to_string());
            run.found(
                &rules::CLIENT_CERTIFICATE_REQUIRED,
                format!("the server asks for a client certificate, and turns away who shows none ({how}); --cert and --key give one \
                     to this check"),
            );
        }
        Asked::Shown => run.found(
            &rules::CLIENT_CERTIFICATE_REFUSED,
            format!(
                "the server does not take the client certificate that was given, and turns it away {how}"
            ),
        ),
    }
}
