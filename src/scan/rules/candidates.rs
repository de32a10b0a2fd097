//! What the address itself and the bytes before it say about an `http://`: the kind of its host, and whether it may be a
//! finding.
//!
//! Knows bytes, hosts and names, not tokens. Called by `search` for every `http://`; `urls` and `evidence` continue with
//! it.

use super::keys::key_says;
use crate::scan::findings::{
    Explanation, PLAIN_HTTP_BUILT_URL, PLAIN_HTTP_LOCAL_URL, PLAIN_HTTP_NAMED_HOST, PLAIN_HTTP_URL,
};
use crate::scan::hosts::{classify, parse, Host, Url};
use crate::scan::names::{is_a_mirror, is_a_name};
use crate::scan::place::{contains, is_of_name};

/// What the address itself says about an `http://`.
pub(in crate::scan) struct Candidate<'a> {
    pub url: Url<'a>,
    pub host: String,
    pub kind: &'static Explanation,
}

/// Reads the `http://` at `at`; `None` when its host alone shows that it is not a mistake. It needs no tokens, so most
/// files never go through the lexer.
pub(in crate::scan) fn candidate<'a>(bytes: &'a [u8], at: usize, hosts: &[String]) -> Option<Candidate<'a>> {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied().unwrap_or(b' ');
    if before.is_ascii_alphanumeric()
        || b"+-.{/".contains(&before)
            && default_of(&bytes[at.saturating_sub(MOST_OF_A_DEFAULT)..at]).is_none()
    {
        return None;
    }
    let text = bytes.get(at..)?;
    let url = parse(text);
    let host = String::from_utf8_lossy(url.host).to_ascii_lowercase();
    if url.is_built || url.host.is_empty() {
        return (!says_loopback(&host) && !is_for_people_to_fill_in(text)).then_some(Candidate {
            url,
            host,
            kind: &PLAIN_HTTP_BUILT_URL,
        });
    }
    let is_in_brackets = text.get("http://".len()) == Some(&b'[');
    if is_in_brackets && host.parse::<std::net::Ipv6Addr>().is_err() && !host.contains('%') {
        return None;
    }
    if hosts.contains(&host) {
        return Some(Candidate { url, host, kind: &PLAIN_HTTP_NAMED_HOST });
    }
    let kind = match classify(&host) {
        Host::Loopback | Host::Nobody => return None,
        Host::Local => &PLAIN_HTTP_LOCAL_URL,
        Host::Public => &PLAIN_HTTP_URL,
    };
    let path = String::from_utf8_lossy(url.path).replace('\\', "");
    let is_exempt = is_a_name(&host, &path) || is_a_mirror(&host, &path) && !is_of_a_key(bytes, at, &path);
    (!is_exempt).then_some(Candidate { url, host, kind })
}

/// How many bytes before an address may contain the variable of which it is the default: `${NAME:-`.
const MOST_OF_A_DEFAULT: usize = 80;

/// The text before a `${NAME:-` whose default the address is.
pub(super) fn default_of(before: &[u8]) -> Option<&[u8]> {
    let name = [&b":-"[..], b":=", b"-", b"=", b":"].iter().find_map(|mark| before.strip_suffix(*mark))?;
    let length = name
        .iter()
        .rev()
        .take_while(|byte| is_of_name(**byte) && **byte != b'$' || b".-".contains(byte))
        .count();
    let outside = name[..name.len() - length].strip_suffix(b"${")?;
    (length > 0 && !key_says(&name[name.len() - length..]).is_no_address_anywhere()).then_some(outside)
}

/// The text before a value, without a `${NAME:-` whose default the value is.
pub(super) fn without_default(before: &[u8]) -> &[u8] {
    default_of(before).unwrap_or(before)
}

fn says_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "::1"].iter().any(|name| {
        // `localhost.${DOMAIN}` is another machine.
        host.find(name).is_some_and(|at| !host[at + name.len()..].starts_with('.'))
    })
}

/// `http://<controller>`, `http://[server-ip]`: a person writes the host there.
fn is_for_people_to_fill_in(text: &[u8]) -> bool {
    let rest = text.get("http://".len()..).unwrap_or_default();
    rest.starts_with(b"<") && rest.get(1).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b' ')
        || rest.starts_with(b"[") && !rest.get(1).is_some_and(|next| b"${%\\".contains(next))
}

/// Whether this fetches the key that verifies packages: a mirror may send packages in clear, but not the key.
pub(super) fn is_of_a_key(bytes: &[u8], at: usize, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let start = bytes[..at]
        .iter()
        .rev()
        .take(200)
        .position(|byte| *byte == b'\n')
        .map_or(at.saturating_sub(200), |length| at - length);
    let end = bytes[at..]
        .iter()
        .take(400)
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len().min(at + 400), |length| at + length);
    let line = &bytes[start..end];
    [".key", ".asc", ".gpg", ".pub"].iter().any(|end| file.ends_with(end))
        || file.contains("key")
        || ["gpgkey", "gpg --", "apt-key", "apt_key", "rpm --import", "rpm_key", "--fetch-keys"]
            .iter()
            .any(|word| contains(line, word))
}
