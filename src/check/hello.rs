//! Well-formed ClientHellos as bytes (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), for protocols and cipher suites that rustls does
//! not support. Knows no socket; the probes send them, and `flight` reads the answers.

/// A protocol version, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Ssl3 = 0x0300,
    Tls10 = 0x0301,
    Tls11 = 0x0302,
    Tls12 = 0x0303,
    Tls13 = 0x0304,
}

impl Version {
    pub(super) const ALL: [Version; 5] =
        [Version::Ssl3, Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13];

    pub(super) fn of(number: u16) -> Option<Version> {
        Version::ALL.into_iter().find(|version| *version as u16 == number)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Version::Ssl3 => "SSL 3.0",
            Version::Tls10 => "TLS 1.0",
            Version::Tls11 => "TLS 1.1",
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        }
    }
}

/// Key exchange groups (RFC 8446 §4.2.7, and X25519MLKEM768 of draft-ietf-tls-ecdhe-mlkem).
pub(super) const X25519MLKEM768: u16 = 0x11ec;
pub(super) const GROUPS: [u16; 5] = [0x001d, 0x0017, 0x0018, 0x0019, 0x0100];
/// The groups that the current client offers.
pub(super) const GROUPS_OF_TODAY: [u16; 3] = [0x001d, 0x0017, 0x0018];
/// Groups that no other hello offers, and that may be the only ones of a server.
pub(super) const RARE_GROUPS: [u16; 13] = [
    0x001e,
    0x001a,
    0x001b,
    0x001c,
    0x001f,
    0x0020,
    0x0021,
    0x0101,
    0x0102,
    0x0103,
    0x0104,
    0x11eb,
    X25519MLKEM768,
];

const SIGNATURES: [u16; 14] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
    0x0202,
];

/// The content of a hello.
#[derive(Debug)]
pub(super) struct Hello<'a> {
    /// The highest version; a hello for TLS 1.3 offers no other.
    pub(super) version: Version,
    pub(super) suites: &'a [u16],
    pub(super) groups: &'a [u16],
    /// The server name (SNI).
    pub(super) name: Option<&'a str>,
    /// Application protocols (ALPN); empty to leave the extension out.
    pub(super) protocols: &'a [&'a str],
}

impl Hello<'_> {
    /// The hello in its record. `random` is the client's random and, for TLS 1.3, its session's id.
    pub(super) fn encode(&self, random: &[u8; 64]) -> Vec<u8> {
        let legacy = self.version.min(Version::Tls12) as u16;
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend_from_slice(&random[..32]);
        // RFC 8446 §D.4: some middleboxes let TLS 1.3 pass only when it looks like a resumption.
        let session = if self.version == Version::Tls13 { &random[32..] } else { &[] };
        prefixed(&mut body, 1, |body| body.extend_from_slice(session));
        prefixed(&mut body, 2, |body| numbers(body, self.suites));
        prefixed(&mut body, 1, |body| body.push(0)); // no compression
        if self.version > Version::Ssl3 {
            prefixed(&mut body, 2, |body| self.extensions(body));
        }

        let mut message = vec![1]; // client_hello
        prefixed(&mut message, 3, |message| message.extend_from_slice(&body));
        // RFC 8446 §5.1: the first record may say 1.0, whatever the hello says.
        let record = self.version.min(Version::Tls10) as u16;
        let mut out = vec![22]; // handshake
        out.extend_from_slice(&record.to_be_bytes());
        prefixed(&mut out, 2, |out| out.extend_from_slice(&message));
        out
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        if let Some(name) = self.name {
            extension(out, 0, |out| {
                prefixed(out, 2, |out| {
                    out.push(0); // host_name
                    prefixed(out, 2, |out| out.extend_from_slice(name.as_bytes()));
                });
            });
        }
        extension(out, 10, |out| prefixed(out, 2, |out| numbers(out, self.groups)));
        extension(out, 13, |out| prefixed(out, 2, |out| numbers(out, &SIGNATURES)));
        if !self.protocols.is_empty() {
            extension(out, 16, |out| {
                prefixed(out, 2, |out| {
                    for protocol in self.protocols {
                        prefixed(out, 1, |out| out.extend_from_slice(protocol.as_bytes()));
                    }
                });
            });
        }
        if self.version == Version::Tls13 {
            extension(out, 43, |out| {
                prefixed(out, 1, |out| numbers(out, &[Version::Tls13 as u16]));
            });
            extension(out, 45, |out| prefixed(out, 1, |out| out.push(1))); // psk_dhe_ke

            // RFC 8446 §4.2.8: without a share the server names its group, and nobody computes anything.
            extension(out, 51, |out| prefixed(out, 2, |_| {}));
        } else {
            extension(out, 11, |out| prefixed(out, 1, |out| out.push(0))); // uncompressed points
            extension(out, 23, |_| {}); // extended master secret (RFC 7627)
            extension(out, 0xff01, |out| out.push(0)); // secure renegotiation (RFC 5746)
        }
    }
}

fn extension(out: &mut Vec<u8>, number: u16, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&number.to_be_bytes());
    prefixed(out, 2, content);
}

fn numbers(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

/// Writes a length of so many bytes, and then the content. No content here comes near the limit of three bytes, and only a
/// list of 32,768 suites would exceed that of two.
fn prefixed(out: &mut Vec<u8>, bytes: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + bytes, 0);
    content(out);
    let length = (out.len() - at - bytes).to_be_bytes();
    let low = &length[length.len() - bytes..];
    out[at..at + bytes].copy_from_slice(low);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: Version) -> Vec<u8> {
        let hello = Hello {
            version,
            suites: &[0xc02f, 0x1301],
            groups: &GROUPS,
            name: Some("localhost"),
            protocols: &["h2", "http/1.1"],
        };
        hello.encode(&[7; 64])
    }

    /// Reads a hello as a server does: every length must fit exactly.
    fn extensions(record: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let two = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
        assert_eq!(record[0], 22);
        assert_eq!(two(3), record.len() - 5);
        assert_eq!(record[5..7], [1, 0]);
        assert_eq!(two(7), record.len() - 9);
        let session = usize::from(record[43]);
        let suites = 44 + session;
        let mut at = suites + 2 + two(suites) + 2;
        if at == record.len() {
            return Vec::new();
        }
        assert_eq!(two(at), record.len() - at - 2);
        at += 2;
        let mut found = Vec::new();
        while at < record.len() {
            let length = two(at + 2);
            found.push((two(at) as u16, record[at + 4..at + 4 + length].to_vec()));
            at += 4 + length;
        }
        assert_eq!(at, record.len());
        found
    }

    #[test]
    fn every_length_fits() {
        for version in Version::ALL {
            let record = hello(version);
            let numbers: Vec<u16> = extensions(&record).iter().map(|extension| extension.0).collect();
            match version {
                Version::Ssl3 => assert!(numbers.is_empty()),
                Version::Tls13 => assert_eq!(numbers, [0, 10, 13, 16, 43, 45, 51]),
                _ => assert_eq!(numbers, [0, 10, 13, 16, 11, 23, 0xff01]),
            }
        }
    }

    #[test]
    fn rustls_reads_the_hellos() {
        use rustls::server::Acceptor;
        for version in [Version::Tls12, Version::Tls13] {
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut &hello(version)[..]).unwrap();
            let Ok(Some(accepted)) = acceptor.accept() else { panic!("{version:?}") };
            let hello = accepted.client_hello();
            assert_eq!(hello.server_name(), Some("localhost"));
            assert_eq!(hello.cipher_suites().len(), 2);
            let protocols: Vec<&[u8]> = hello.alpn().unwrap().collect();
            assert_eq!(protocols, [&b"h2"[..], b"http/1.1"]);
        }
    }
}
