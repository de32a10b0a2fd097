//! Servers that ask for a client certificate: whether they refuse clients without one, or do not accept the given one.
//! `Check` and the HTTPS probes call it.

use std::io;

use super::client::{alert_in, Asked};
use super::exchange::{is_end, Reply};
use super::flight::alert_name;
use super::rules;
use super::run::Run;

/// Alerts about the client's certificate (RFC 8446 §6.2): bad, unsupported, revoked, expired, unknown, of an unknown
/// authority, access denied, not verified, required; and handshake_failure, from servers that give no reason.
const OF_CERTIFICATES: [u8; 10] = [40, 42, 43, 44, 45, 46, 48, 49, 51, 116];
/// Statuses for a missing certificate: 495 and 496 are nginx's own, which it sends as 400. 401 is not among them, because
/// it asks for HTTP credentials.
const TURNED_AWAY: [u16; 4] = [400, 403, 495, 496];

/// Whether a connection failed because of the client's certificate. If so, adds the finding.
pub(super) fn is_of_failure(run: &mut Run<'_>, asked: Asked, error: &io::Error) -> bool {
    let alert = alert_in(error);
    // The server may close before its alert is read, and the alert is lost.
    let is_end = is_end(error);
    let how = match alert {
        Some(alert) if OF_CERTIFICATES.contains(&alert) => format!("with {}", alert_name(alert)),
        None if is_end => "by closing the connection".to_string(),
        _ => return false,
    };
    say(run, asked, &how);
    true
}

/// The same for an answer in HTTP.
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
            run.unknown.push(
                "the answer over HTTPS: the server answers only clients with a certificate".to_string(),
            );
            run.found(
                &rules::CLIENT_CERTIFICATE_REQUIRED,
                format!("the server asks for a client certificate, and refuses a client without one ({how}); --cert and --key give one \
                     to this check"),
            );
        }
        Asked::Shown => run.found(
            &rules::CLIENT_CERTIFICATE_REFUSED,
            format!("the server does not accept the given client certificate, and refuses it {how}"),
        ),
    }
}
