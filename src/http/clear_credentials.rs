//! Finds credentials in a request that came in clear, where anyone on the way can read them. The log warns of them, and never
//! shows them.
//!
//! Credentials in a malformed head count too (with a wrong line before them, too large, cut off, or with an unexpected query),
//! because they were on the wire all the same. So the scan reads the bytes as they come, in bounded memory, and looks only for
//! names in the places where names stand. Knows bytes; the redirect calls it, and the HTTPS port for plain HTTP.

use std::borrow::Cow;
use std::fmt;

use crate::backports::Trim;
use crate::error::Error;

/// Fields that carry credentials in most APIs.
const FIELDS: [&str; 11] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "x-vault-token",
    "private-token",
];
/// Query parameters that carry credentials. The first comes from RFC 6750 §2.3.
const PARAMETERS: [&str; 12] = [
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "client_secret",
    "password",
    "passwd",
    "jwt",
];
/// The longest name that is kept, in bytes. All names in the tables are shorter.
const LONGEST: usize = 64;

/// The names of fields that count as credentials.
#[derive(Clone, Debug)]
pub(crate) struct CredentialNames {
    /// In lower case.
    fields: Vec<Cow<'static, str>>,
}

/// A credential that was found. It is shown in the program's own words only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Field(u16),
    Parameter(u16),
    User,
}

/// The state of the scan of one request.
#[derive(Clone, Debug)]
pub(crate) struct CredentialScan {
    place: Place,
    /// The first bytes of the name that is being read.
    name: [u8; LONGEST],
    length: usize,
    /// What was found, each kind once.
    found: Vec<Found>,
    /// How many of `found` have been reported.
    told: usize,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Method {
        is_empty: bool,
    },
    /// In the target before its path and query: how many slashes have come, and how many bytes after the last slash.
    Authority {
        slashes: u8,
        bytes: usize,
    },
    Path,
    ParameterName,
    ParameterValue(u16),
    /// The rest of a parameter.
    Parameter,
    FieldName,
    FieldValue(u16),
    Host {
        bytes: usize,
    },
    /// The rest of a line.
    Line,
    /// After the head.
    End,
}

impl CredentialNames {
    /// The names of [`FIELDS`] and these further ones.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a name that is not a token, and for a name longer than [`LONGEST`].
    pub(crate) fn new(further: &[String]) -> Result<CredentialNames, Error> {
        let mut fields: Vec<Cow<'static, str>> = FIELDS.map(Cow::Borrowed).into();
        for name in further {
            let fault = |fault| Error::Setting { setting: "credential_header", fault };
            // RFC 9110 §5.6.2: a token.
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(fault(format!(
                    "{name:?} is not the name of a header field; give one such as X-Device-Token"
                )));
            }
            if name.len() > LONGEST {
                return Err(fault(format!(
                    "{name:?} is longer than {LONGEST} bytes, which is all that is read"
                )));
            }
            let field = Cow::Owned(name.to_ascii_lowercase());
            if !fields.contains(&field) && fields.len() < usize::from(u16::MAX) {
                fields.push(field);
            }
        }
        Ok(CredentialNames { fields })
    }

    /// Reads the beginning of a request, or all of it.
    pub(crate) fn scan(&self, received: &[u8]) -> CredentialScan {
        let mut scan = CredentialScan {
            place: Place::Method { is_empty: true },
            name: [0; LONGEST],
            length: 0,
            found: Vec::new(),
            told: 0,
        };
        scan.go_on(self, received);
        scan
    }
}

impl CredentialScan {
    /// Reads the bytes that have come next.
    pub(crate) fn go_on(&mut self, names: &CredentialNames, received: &[u8]) {
        for &byte in received {
            if self.place == Place::End {
                return;
            }
            self.place = self.next(names, byte);
        }
    }

    /// Whether anything was found.
    pub(crate) fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// What was found since the last call, in the program's own words.
    pub(crate) fn news<'a>(&mut self, names: &'a CredentialNames) -> Vec<&'a str> {
        let mut new = self.found.split_off(self.told);
        let words = new.iter().filter_map(|found| match *found {
            Found::Field(index) => names.fields.get(usize::from(index)).map(|field| &**field),
            Found::Parameter(index) => PARAMETERS.get(usize::from(index)).copied(),
            Found::User => Some("a user in the URL"),
        });
        let words = words.collect();
        self.found.append(&mut new);
        self.told = self.found.len();
        words
    }

    fn next(&mut self, names: &CredentialNames, byte: u8) -> Place {
        match (self.place, byte) {
            // Empty lines may come before a request (RFC 9112 §2.2).
            (Place::Method { is_empty: true }, b'\r' | b'\n') => self.place,
            (Place::Method { .. }, b' ' | b'\t') => Place::Authority { slashes: 0, bytes: 0 },
            (Place::Method { .. }, b'\n') => self.name_begins(Place::FieldName),
            (Place::Method { .. }, _) => Place::Method { is_empty: false },
            (Place::FieldName, b'\n') if self.is_empty_line() => Place::End,
            (_, b'\n') => self.name_begins(Place::FieldName),
            (Place::Authority { .. } | Place::Path, b'?') => self.name_begins(Place::ParameterName),
            // A target begins with its path, or the path follows `http://host`.
            (Place::Authority { slashes: 0, bytes: 0 } | Place::Authority { slashes: 2, .. }, b'/') => {
                Place::Path
            }
            (Place::Authority { slashes, .. }, b'/') => Place::Authority { slashes: slashes + 1, bytes: 0 },
            (Place::Authority { .. }, b' ' | b'\t') => self.place,
            (Place::Authority { slashes, bytes }, _) => {
                if byte == b'@' && bytes > 0 {
                    self.find(Found::User);
                }
                Place::Authority { slashes, bytes: bytes.saturating_add(1) }
            }
            (Place::ParameterName | Place::ParameterValue(_) | Place::Parameter, b'&' | b';' | b'#') => {
                self.name_begins(Place::ParameterName)
            }
            (Place::ParameterName, b'=') => {
                let name = self.decoded_name();
                PARAMETERS
                    .iter()
                    .position(|known| known.eq_ignore_ascii_case(&name))
                    .map_or(Place::Parameter, |index| Place::ParameterValue(index as u16))
            }
            (Place::ParameterValue(index), _) => {
                if !byte.is_ascii_whitespace() {
                    self.find(Found::Parameter(index));
                }
                Place::Parameter
            }
            (Place::FieldName, b':') => {
                let name = self.name().trimmed();
                if name.eq_ignore_ascii_case(b"host") {
                    return Place::Host { bytes: 0 };
                }
                let known = |field: &Cow<'static, str>| field.as_bytes().eq_ignore_ascii_case(name);
                names
                    .fields
                    .iter()
                    .position(known)
                    .map_or(Place::Line, |index| Place::FieldValue(index as u16))
            }
            (Place::FieldValue(_), b' ' | b'\t' | b'\r') => self.place,
            (Place::FieldValue(index), _) => {
                self.find(Found::Field(index));
                Place::Line
            }
            (Place::Host { bytes }, _) => {
                if byte == b'@' && bytes > 0 {
                    self.find(Found::User);
                }
                Place::Host { bytes: bytes.saturating_add(usize::from(!byte.is_ascii_whitespace())) }
            }
            (Place::ParameterName | Place::FieldName, _) => {
                if let Some(room) = self.name.get_mut(self.length) {
                    *room = byte;
                }
                self.length = self.length.saturating_add(1);
                self.place
            }
            (Place::Path | Place::Parameter | Place::Line | Place::End, _) => self.place,
        }
    }

    fn name_begins(&mut self, place: Place) -> Place {
        self.length = 0;
        place
    }

    /// The name that was read. Empty when it is longer than every name in the tables.
    fn name(&self) -> &[u8] {
        self.name.get(..self.length).unwrap_or_default()
    }

    fn decoded_name(&self) -> String {
        let pair = super::target::query_pairs(self.name()).next();
        pair.map(|(name, _)| name.into_owned()).unwrap_or_default()
    }

    fn is_empty_line(&self) -> bool {
        self.length == 0 || self.length == 1 && self.name[0] == b'\r'
    }

    fn find(&mut self, found: Found) {
        if !self.found.contains(&found) {
            // Unreported ones are reported in the order of the tables.
            let behind = self.found[self.told..].partition_point(|other| *other < found);
            self.found.insert(self.told + behind, found);
        }
    }
}

/// The kind of all log lines about credentials in clear; the log limiter counts by it.
pub(crate) const IN_CLEAR: &str = "credentials over plain HTTP";

/// The log's warning: which credentials came, by these names, and what to do now.
pub(crate) struct Notice<'a>(pub(crate) &'a [&'a str]);

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent credentials over plain HTTP ({}), where anyone on the way can read them; change them, and give the client the \
             https URL",
            self.0.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> CredentialNames {
        CredentialNames::new(&["X-Device-Token".to_string()]).unwrap()
    }

    fn found(head: &str) -> Vec<String> {
        let names = names();
        let whole: Vec<String> =
            names.scan(head.as_bytes()).news(&names).iter().map(ToString::to_string).collect();
        // However it comes.
        let mut scan = names.scan(b"");
        head.as_bytes().chunks(1).for_each(|byte| scan.go_on(&names, byte));
        assert_eq!(scan.news(&names), whole, "{head:?}");
        assert!(scan.news(&names).is_empty() && scan.has_found() != whole.is_empty());
        whole
    }

    #[test]
    fn credentials_are_found_wherever_they_stand() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nAUTHORIZATION: Bearer s\r\n\r\n", &["authorization"][..]),
            ("GET / HTTP/1.1\r\ncookie:s=1\r\nX-API-KEY:\ts\r\n\r\n", &["cookie", "x-api-key"]),
            ("GET / HTTP/1.1\r\nx-device-token: s\r\n\r\n", &["x-device-token"]),
            // No parser takes these.
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: s\r\n\r\n", &["authorization"]),
            ("GET / HTTP/1.1\r\nno colon\r\nProxy-Authorization: s\r\n\r\n", &["proxy-authorization"]),
            ("GET / HTTP/1.1\nAuthorization : s\n\n", &["authorization"]),
            ("GET / HTTP/1.1\r\n Cookie: s\r\n", &["cookie"]),
            ("GET / HTTP/1.1\r\nAuthorization: s", &["authorization"]),
            ("nonsense\r\nCookie: s", &["cookie"]),
            ("\r\n\r\nGET / HTTP/1.1\r\nCookie: s\r\n\r\n", &["cookie"]),
            // In the query, and in the URL.
            ("GET /a?access_token=s HTTP/1.1\r\n\r\n", &["access_token"]),
            ("GET /a?b=c&API_KEY=s&token=t HTTP/1.1\r\n\r\n", &["token", "api_key"]),
            ("GET /a b?x&password=s HTTP/1.1\r\n\r\n", &["password"]),
            ("GET /?access%5Ftoken=s", &["access_token"]),
            ("GET http://u:s@host/ HTTP/1.1\r\n\r\n", &["a user in the URL"]),
            ("GET / HTTP/1.1\r\nHost: u:s@host\r\n\r\n", &["a user in the URL"]),
            ("CONNECT u@host:443 HTTP/1.1\r\n\r\n", &["a user in the URL"]),
            ("GET http://u@h/?token=s HTTP/1.1\r\nCookie: s", &["cookie", "token", "a user in the URL"]),
        ] {
            assert_eq!(found(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_name_that_would_never_be_found_is_refused() {
        let names = CredentialNames::new(&["x".repeat(LONGEST)]).unwrap();
        let head = format!("GET / HTTP/1.1\r\n{}: s\r\n\r\n", "X".repeat(LONGEST));
        assert_eq!(names.scan(head.as_bytes()).news(&names), ["x".repeat(LONGEST)]);
        let fault = CredentialNames::new(&["x".repeat(LONGEST + 1)]).unwrap_err().to_string();
        assert!(fault.starts_with("credential_header: ") && fault.contains("64 bytes"), "{fault}");
    }

    #[test]
    fn what_is_none_is_left_alone() {
        for head in [
            "",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /@scope/x?q=a@b HTTP/1.1\r\nHost: a\r\nFrom: a@b\r\n\r\n",
            "GET http://host/@x HTTP/1.1\r\n\r\n",
            "GET /?token HTTP/1.1\r\n\r\n",
            "GET /?token= HTTP/1.1\r\n\r\n",
            "GET /?tokens=1&my_token=2&authorization=3 HTTP/1.1\r\n\r\n",
            "GET /token=s HTTP/1.1\r\nX-Cookie: s\r\nAuthorization:\r\nCookie: \r\n\r\n",
            "GET / HTTP/1.1\r\nAuthorization",
            // Behind the head is a body.
            "POST / HTTP/1.1\r\n\r\nCookie: s\r\n",
            "GET / HTTP/1.1\n\nCookie: s\r\n",
        ] {
            assert_eq!(found(head), [""; 0], "{head:?}");
        }
        let long =
            format!("GET /?{}token=s HTTP/1.1\r\n{}cookie: s\r\n\r\n", "x".repeat(1000), "x".repeat(1000));
        assert_eq!(found(&long), [""; 0]);
    }
}
