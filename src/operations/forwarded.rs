//! Who has sent a request, by the fields that proxies add: `Forwarded` (RFC 7239), and `X-Forwarded-For`, `-Proto` and `-Host`.
//! Values only: `server` gives the fields of a request that a trusted proxy has passed on. It knows no request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::cidr::Cidr;

/// The most proxies between a client and this server. Behind them, the last one counts as the client.
const MOST_PROXIES: usize = 32;
/// The most parameters of an element of `Forwarded`; the RFC has four.
const MOST_PARAMETERS: usize = 16;

/// What trusted proxies say of who has sent a request:
/// [`Request::forwarded`](crate::Request::forwarded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    client: SocketAddr,
    scheme: Option<&'static str>,
    host: Option<String>,
    /// The last is the peer of the connection.
    proxies: Box<[IpAddr]>,
}

impl Forwarded {
    /// The client's address, as [`Request::peer`](crate::Request::peer) has it. Its port is 0 when no proxy has told it.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// `http` or `https`: how the client has asked the proxy that names it, if that proxy says so.
    pub fn scheme(&self) -> Option<&'static str> {
        self.scheme
    }

    /// The host, with its port if it has one, that the client has asked that proxy for, if it says so.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The trusted proxies between the client and this server, in the order in which they have passed the request on: the last is
    /// the peer of the connection. Empty when that peer itself is all that is known.
    pub fn proxies(&self) -> &[IpAddr] {
        &self.proxies
    }
}

/// The values of the fields of one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct Fields<'r> {
    pub forwarded: Vec<&'r [u8]>,
    pub x_for: Vec<&'r [u8]>,
    pub x_proto: Vec<&'r [u8]>,
    pub x_host: Vec<&'r [u8]>,
}

impl<'r> Fields<'r> {
    /// Where the values of the field of this name go, if it is one of these.
    pub(crate) fn named(&mut self, name: &[u8]) -> Option<&mut Vec<&'r [u8]>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            9 if is("forwarded") => Some(&mut self.forwarded),
            15 if is("x-forwarded-for") => Some(&mut self.x_for),
            17 if is("x-forwarded-proto") => Some(&mut self.x_proto),
            16 if is("x-forwarded-host") => Some(&mut self.x_host),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        [&self.forwarded, &self.x_for, &self.x_proto, &self.x_host].iter().all(|values| values.is_empty())
    }
}

/// Why less is taken from the fields than they hold. For the log: the operator can change that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The two kinds of fields do not name the same client, so one of them is the client's own.
    Differ,
    Malformed,
}

impl Doubt {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Doubt::Differ => "Forwarded and X-Forwarded-For name different clients",
            Doubt::Malformed => "Forwarded or X-Forwarded-For is malformed",
        }
    }

    pub(crate) fn way_out(self) -> &'static str {
        match self {
            Doubt::Differ => "let the proxy remove the one that it does not write",
            Doubt::Malformed => "let the proxy write addresses only",
        }
    }
}

/// What one proxy says of who it has got the request from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Address(IpAddr, u16),
    /// It is not to be known: `unknown`, or `_name` (RFC 7239 §6.2, §6.3).
    Hidden,
    Malformed,
    /// Nothing.
    Unsaid,
}

/// One element of `Forwarded`.
#[derive(Debug)]
struct Element {
    node: Node,
    scheme: Option<&'static str>,
    host: Option<String>,
}

const MALFORMED: Element = Element { node: Node::Malformed, scheme: None, host: None };

/// The way that a request has come, from this server outwards.
struct Way {
    /// The peer of the connection first, the client last.
    hops: Vec<IpAddr>,
    /// The client's.
    port: u16,
    is_malformed: bool,
}

impl Way {
    /// Follows the nodes, the nearest first, as far as each is named by a trusted one.
    fn follow(nodes: impl Iterator<Item = Node>, peer: SocketAddr, trusted: &[Cidr]) -> Way {
        let mut way = Way { hops: vec![peer.ip()], port: peer.port(), is_malformed: false };
        for node in nodes.take(MOST_PROXIES) {
            let Node::Address(address, port) = node else {
                way.is_malformed = node == Node::Malformed;
                break;
            };
            way.hops.push(address);
            way.port = port;
            if !is_in(trusted, address) {
                break;
            }
        }
        way
    }

    fn client(&self) -> Option<&IpAddr> {
        self.hops.last()
    }

    /// The number of the proxy, from this server outwards, that has named the client. `None` if none has.
    fn named_by(&self) -> Option<usize> {
        self.hops.len().checked_sub(2)
    }
}

pub(crate) fn is_in(networks: &[Cidr], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Reads the fields of a request from `peer`, which is trusted, as all in `trusted` are. From the right: each proxy appends who it
/// has got the request from, so what stands left of the first address that is not trusted is the client's own word. `None` when there
/// are no such fields.
///
/// When something cannot be read, the last trusted proxy counts as the client. When both kinds of fields name clients, they have to
/// agree: a proxy that writes one of them and passes the other on as it came would let its clients choose their address.
pub(crate) fn read(
    fields: &Fields<'_>,
    peer: SocketAddr,
    trusted: &[Cidr],
) -> Option<(Forwarded, Option<Doubt>)> {
    if fields.is_empty() {
        return None;
    }
    // The nearest first.
    let pieces = fields.forwarded.iter().rev().flat_map(|value| pieces_of(value).into_iter().rev());
    let elements: Vec<Element> = pieces.take(MOST_PROXIES).map(element).collect();
    let is_said = elements.iter().any(|element| element.node != Node::Unsaid);
    let by_forwarded = Way::follow(elements.iter().map(|element| element.node), peer, trusted);
    let nodes: Vec<&[u8]> = list(&fields.x_for).collect();
    let by_x = Way::follow(nodes.iter().rev().map(|text| node(text)), peer, trusted);
    let mut way = if is_said { &by_forwarded } else { &by_x };
    let mut doubt = way.is_malformed.then_some(Doubt::Malformed);
    let nobody = Way::follow(std::iter::empty(), peer, trusted);
    if is_said && !nodes.is_empty() && by_forwarded.client() != by_x.client() {
        (way, doubt) = (&nobody, Some(Doubt::Differ));
    }
    let (mut scheme, mut host) = (None, None);
    if doubt.is_none() {
        // With a client that nobody names, the nearest proxy tells how that has come.
        let by = way.named_by().unwrap_or(0);
        let element = elements.get(by);
        let x_scheme = one_of(&fields.x_proto, by, nodes.len()).and_then(scheme_of);
        let x_host = one_of(&fields.x_host, by, nodes.len()).and_then(host_of);
        scheme = agreed(element.and_then(|element| element.scheme), x_scheme);
        host = agreed(element.and_then(|element| element.host.clone()), x_host);
    }
    let mut hops = way.hops.clone();
    let client = SocketAddr::new(hops.pop().unwrap_or(peer.ip()), way.port);
    hops.reverse();
    Some((Forwarded { client, scheme, host, proxies: hops.into() }, doubt))
}

/// What both say, or one if the other says nothing. What they do not agree on is not known.
fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// The value of the proxy of this number, from the right: of a list that is as long as that of the addresses, or of a single value,
/// which each proxy has written anew.
fn one_of<'v>(values: &'v [&'v [u8]], by: usize, nodes: usize) -> Option<&'v [u8]> {
    let all: Vec<&[u8]> = list(values).collect();
    match all[..] {
        [one] => Some(one),
        _ if all.len() == nodes => all.iter().rev().nth(by).copied(),
        _ => None,
    }
}

/// The elements of a list in several values (RFC 9110 §5.6.1), the empty ones left out.
fn list<'v>(values: &'v [&'v [u8]]) -> impl Iterator<Item = &'v [u8]> + 'v {
    let all = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
    all.map(trimmed).filter(|element| !element.is_empty())
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// A node as in `X-Forwarded-For`, and in the parameter `for` (RFC 7239 §6): an address, with a port or without, IPv6 in brackets
/// if it has a port.
fn node(text: &[u8]) -> Node {
    let Ok(text) = std::str::from_utf8(text) else { return Node::Malformed };
    let (address, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let Some((address, rest)) = inner.split_once(']') else { return Node::Malformed };
            (address.parse::<Ipv6Addr>().ok().map(IpAddr::V6), rest)
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => (Some(address), ""),
            Err(_) => {
                let name = text.find(':').map_or(text, |at| &text[..at]);
                if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
                    return Node::Hidden;
                }
                (name.parse::<Ipv4Addr>().ok().map(IpAddr::V4), &text[name.len()..])
            }
        },
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => Some(0),
        // It may be obfuscated too (§6.4).
        Some(port) if is_obfuscated(port) => Some(0),
        Some(port) => decimal(port),
        None => None,
    };
    match (address, port) {
        (Some(address), Some(port)) => Node::Address(address.to_canonical(), port),
        _ => Node::Malformed,
    }
}

/// RFC 7239 §6.3.
fn is_obfuscated(name: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() > 1 && name.starts_with('_') && name.bytes().all(is_of_it)
}

fn decimal(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()
}

fn scheme_of(text: &[u8]) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|known| text.eq_ignore_ascii_case(known.as_bytes()))
}

/// A host with an optional port, as `Host` has it.
fn host_of(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let (is_host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (address.parse::<Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let name = text.find(':').map_or(text, |at| &text[..at]);
            (!name.is_empty() && name.len() < 256 && name.bytes().all(is_of_name), &text[name.len()..])
        }
    };
    let is_port = match rest.strip_prefix(':') {
        Some(port) => decimal(port).is_some(),
        None => rest.is_empty(),
    };
    (is_host && is_port).then(|| text.to_string())
}

/// The elements of one value of `Forwarded`, the empty ones left out. A value in which a quote is not closed is one malformed element.
fn pieces_of(value: &[u8]) -> Vec<&[u8]> {
    let pieces = split_outside_quotes(value, b',').unwrap_or_else(|| vec![value]);
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
}

fn element(text: &[u8]) -> Element {
    let mut element = Element { node: Node::Unsaid, scheme: None, host: None };
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let Some(pairs) = split_outside_quotes(text, b';') else { return MALFORMED };
    for pair in pairs.into_iter().filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = parameter(pair) else { return MALFORMED };
        // Each stands there once (§4).
        if seen.contains(&name) || seen.len() == MOST_PARAMETERS {
            return MALFORMED;
        }
        match &name[..] {
            b"for" => element.node = node(&value),
            b"proto" => element.scheme = scheme_of(&value),
            b"host" => element.host = host_of(&value),
            _ => {}
        }
        seen.push(name);
    }
    element
}

/// A parameter: its name in lower case, and its value without quotes. Also without quotes where those are left out for the colon and
/// the brackets of an address, as some proxies do.
fn parameter(pair: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let at = pair.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (&pair[..at], &pair[at + 1..]);
    let is_name = !name.is_empty() && name.iter().all(is_token);
    let value = match value {
        [b'"', quoted @ .., b'"'] => unquoted(quoted)?,
        plain => {
            let is_plain = |byte: &u8| is_token(byte) || b":[]".contains(byte);
            (!plain.is_empty() && plain.iter().all(is_plain)).then(|| plain.to_vec())?
        }
    };
    is_name.then(|| (name.to_ascii_lowercase(), value))
}

/// What stands between quotes (RFC 9110 §5.6.4).
fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(*bytes.next()?),
            b'"' => return None,
            byte => plain.push(byte),
        }
    }
    Some(plain)
}

/// The pieces between separators that stand in no quotes, trimmed. `None` if a quote is not closed.
fn split_outside_quotes(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut pieces, mut begun) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match byte {
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if byte == separator && !is_quoted => {
                pieces.push(trimmed(&text[begun..at]));
                begun = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(trimmed(&text[begun..]));
    (!is_quoted).then_some(pieces)
}

#[cfg(test)]
mod tests;
