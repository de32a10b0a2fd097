//! A certificate's extensions (RFC 5280 §4.2) that decide whether a client accepts it.

use std::net::IpAddr;

use super::values::{address, dotted, flags, integer, shown, Fault};
use crate::tls::der::{Reader, BIT_STRING, INTEGER, SEQUENCE};

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
/// Context tags of a GeneralName (RFC 5280 §4.2.1.6).
const EMAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const POLICIES: &[u8] = &[0x55, 0x1d, 32];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
const TRANSPARENCY_LOG: &[u8] = &[0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2];
/// Clients understand these, critical or not: policy mappings, policy constraints, inhibitAnyPolicy.
const UNDERSTOOD: [&[u8]; 3] = [&[0x55, 0x1d, 33], &[0x55, 0x1d, 36], &[0x55, 0x1d, 54]];
/// 2.23.140.1.2: the policies of the CA/Browser Forum's baseline requirements.
const FORUM_POLICY: &[u8] = &[0x67, 0x81, 0x0c, 1, 2];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// anyExtendedKeyUsage, which browsers do not accept as serverAuth.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];
const CA_ISSUERS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 2];

#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) email_addresses: Vec<String>,
    pub(crate) uris: Vec<String>,
    /// The number of names of other kinds: of people, of services, of resources.
    pub(crate) other_names: usize,
    /// Whether it belongs to an authority.
    pub(crate) is_ca: bool,
    /// How many authorities may stand below it.
    pub(crate) path_length: Option<u64>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) extended_key_usage: Option<ExtendedKeyUsage>,
    pub(crate) has_name_constraints: bool,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    /// The URLs of its issuer's certificate.
    pub(crate) issuers_at: Vec<String>,
    /// It was logged before it was issued (RFC 6962 §3.3).
    pub(crate) has_transparency_log: bool,
    pub(crate) has_forum_policy: bool,
    /// Unknown critical extensions in dotted form. A client that does not know one must refuse the certificate.
    pub(crate) unknown_critical: Vec<String>,
}

/// RFC 5280 §4.2.1.3: the bits. The first bit is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyUsage(u16);

impl KeyUsage {
    const NAMES: [&'static str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];

    pub(crate) fn may_sign(self) -> bool {
        self.0 & 0x8000 != 0
    }

    pub(crate) fn may_sign_certificates(self) -> bool {
        self.0 & 0x0400 != 0
    }

    pub(crate) fn names(self) -> Vec<&'static str> {
        let set = |at: &usize| self.0 & (0x8000 >> at) != 0;
        (0..Self::NAMES.len()).filter(set).map(|at| Self::NAMES[at]).collect()
    }
}

/// RFC 5280 §4.2.1.12.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedKeyUsage {
    pub(crate) server: bool,
    /// All usages, by name if they have one.
    pub(crate) names: Vec<String>,
}

impl Extensions {
    /// The content of `[3] EXPLICIT`.
    pub(super) fn read(explicit: &[u8]) -> Result<Extensions, Fault> {
        let mut outer = Reader::new(explicit);
        let mut list = Reader::new(outer.expect(SEQUENCE)?);
        outer.end()?;
        let mut found = Extensions::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_at_end() {
            // Certificates have about ten. A bound keeps the search for repeated ones short.
            if seen.len() == 64 {
                return Err("it has more than 64 extensions");
            }
            let mut extension = Reader::new(list.expect(SEQUENCE)?);
            let oid = extension.expect(OID)?;
            // FALSE should not be written, but some programs write it.
            let is_critical = match extension.optional(BOOLEAN)? {
                None | Some([0]) => false,
                Some([0xff]) => true,
                Some(_) => return Err("its DER has a truth value that is none"),
            };
            let value = extension.expect(OCTET_STRING)?;
            extension.end()?;
            // RFC 5280 §4.2.
            if seen.contains(&oid) {
                return Err("it has an extension twice");
            }
            seen.push(oid);
            let is_known = found.take(oid, value)?;
            if is_critical && !is_known {
                found.unknown_critical.push(dotted(oid));
            }
        }
        Ok(found)
    }

    /// Reads an extension. Returns whether clients know it.
    fn take(&mut self, oid: &[u8], value: &[u8]) -> Result<bool, Fault> {
        let mut reader = Reader::new(value);
        match oid {
            SUBJECT_ALT_NAME => self.alternative_names(reader.expect(SEQUENCE)?)?,
            BASIC_CONSTRAINTS => {
                let mut constraints = Reader::new(reader.expect(SEQUENCE)?);
                self.is_ca = matches!(constraints.optional(BOOLEAN)?, Some([0xff]));
                if let Some(length) = constraints.optional(INTEGER)? {
                    self.path_length = Some(small_number(length)?);
                }
                constraints.end()?;
            }
            KEY_USAGE => self.key_usage = Some(KeyUsage(flags(reader.expect(BIT_STRING)?)?)),
            EXTENDED_KEY_USAGE => {
                self.extended_key_usage = Some(extended_key_usage(reader.expect(SEQUENCE)?)?);
            }
            SUBJECT_KEY_ID => self.subject_key_id = Some(reader.expect(OCTET_STRING)?.to_vec()),
            AUTHORITY_KEY_ID => {
                let mut id = Reader::new(reader.expect(SEQUENCE)?);
                self.authority_key_id = id.optional(0x80)?.map(<[u8]>::to_vec);
            }
            AUTHORITY_INFO_ACCESS => self.authority_info(reader.expect(SEQUENCE)?)?,
            POLICIES => {
                let mut policies = Reader::new(reader.expect(SEQUENCE)?);
                while !policies.is_at_end() {
                    let policy = Reader::new(policies.expect(SEQUENCE)?).expect(OID)?;
                    self.has_forum_policy |= policy.starts_with(FORUM_POLICY);
                }
            }
            NAME_CONSTRAINTS => {
                self.has_name_constraints = true;
                return Ok(true);
            }
            TRANSPARENCY_LOG => {
                self.has_transparency_log = true;
                return Ok(true);
            }
            _ => return Ok(UNDERSTOOD.contains(&oid)),
        }
        reader.end()?;
        Ok(true)
    }

    fn alternative_names(&mut self, names: &[u8]) -> Result<(), Fault> {
        let mut names = Reader::new(names);
        while !names.is_at_end() {
            match names.element()? {
                (DNS_NAME, name) => self.dns_names.push(ascii(name)?),
                (IP_ADDRESS, bytes) => {
                    let address = address(bytes).ok_or("it is for an address of a wrong length")?;
                    self.addresses.push(address);
                }
                (tag, name) => {
                    self.other_names += 1;
                    // Servers do not need these names, so other characters in them are not a fault.
                    match tag {
                        EMAIL => self.email_addresses.extend(ascii(name).ok()),
                        URI => self.uris.extend(ascii(name).ok()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// RFC 5280 §4.2.2.1.
    fn authority_info(&mut self, list: &[u8]) -> Result<(), Fault> {
        let mut list = Reader::new(list);
        while !list.is_at_end() {
            let mut access = Reader::new(list.expect(SEQUENCE)?);
            let method = access.expect(OID)?;
            let (tag, location) = access.element()?;
            access.end()?;
            if method == CA_ISSUERS && tag == URI {
                self.issuers_at.push(ascii(location)?);
            }
        }
        Ok(())
    }
}

fn extended_key_usage(list: &[u8]) -> Result<ExtendedKeyUsage, Fault> {
    let mut usages = ExtendedKeyUsage { server: false, names: Vec::new() };
    let mut list = Reader::new(list);
    while !list.is_at_end() {
        let oid = list.expect(OID)?;
        usages.server |= oid == SERVER_AUTH;
        usages.names.push(match oid {
            SERVER_AUTH => "serverAuth".to_string(),
            ANY_USAGE => "anyExtendedKeyUsage".to_string(),
            [0x2b, 6, 1, 5, 5, 7, 3, 2] => "clientAuth".to_string(),
            [0x2b, 6, 1, 5, 5, 7, 3, 3] => "codeSigning".to_string(),
            [0x2b, 6, 1, 5, 5, 7, 3, 4] => "emailProtection".to_string(),
            other => dotted(other),
        });
    }
    Ok(usages)
}

/// An IA5String, to be shown to people.
fn ascii(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
    let text = text.ok_or("it has a name in other letters than ASCII where only that may be")?;
    Ok(shown(text, |c, out| out.push(c)))
}

fn small_number(content: &[u8]) -> Result<u64, Fault> {
    let bytes = integer(content)?;
    match bytes {
        [first, ..] if *first < 0x80 && bytes.len() <= 8 => {
            Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
        }
        _ => Err("its path length is none that there is"),
    }
}
