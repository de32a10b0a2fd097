//! Reads certificates, revocation lists and a private key from PEM text (RFC 7468). Only this file uses rustls-pemfile, which
//! is no longer maintained, so it can be replaced easily.
//!
//! Knows the text, and recognizes other forms in a section (`form`). Its callers interpret the bytes of a certificate or a key.
//! Sections are read where OpenSSL reads them, and also after blanks and after a lost line end. Parts that look like PEM but
//! are not read are reported with their line.

use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::der;
use super::form::{self, Coding, Form};
use crate::backports::Trim;
use crate::error::{command_for, IdentityFault};
use crate::escape;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The byte order mark that some editors put before UTF-8. In joined files it can be in the middle.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The most unread parts that are reported. A file of another kind may be full of them.
const MOST_UNREAD: usize = 16;
/// The shortest line of base64 outside a section that counts as a part of a section. PEM has 64 letters in a line (RFC 7468
/// §2).
const SHORTEST_STRAY: usize = 48;
/// Sections that OpenSSL writes beside a key and that servers do not need.
const NOT_NEEDED: [&str; 4] = ["EC PARAMETERS", "DH PARAMETERS", "DSA PARAMETERS", "X9.42 DH PARAMETERS"];

/// The contents of a PEM file that matter to a server.
pub(crate) struct Contents {
    /// In the file's order.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(super) revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    pub(super) key: Key,
    /// The known forms in all other sections, in the file's order.
    pub(super) forms: Vec<Form>,
    /// The parts that are not read, or that few programs read. Plain comments are left out.
    pub(super) unread: Vec<Unread>,
    /// The contents of PKCS#7 sections.
    pub(super) pkcs7: Vec<Vec<u8>>,
}

/// The first private key in a PEM file.
pub(super) enum Key {
    Absent,
    /// The file has only a key with a passphrase.
    Encrypted,
    Plain(PrivateKeyDer<'static>),
}

/// A part of a file that is not read, or not by every program. Of the file's text it holds only names of sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    /// Counted from 1.
    pub(super) line: usize,
    /// A clause that says what is there.
    pub(super) what: String,
    /// A command that rewrites the file so that it can be read, with FILE and NEW for the paths.
    pub(super) conversion: Option<&'static str>,
    /// Its form, if it is known.
    pub(super) form: Option<Form>,
}

impl Unread {
    /// What is there, with a command to paste.
    pub(super) fn said_of(&self, file: Option<&Path>) -> String {
        match self.conversion {
            Some(conversion) => format!("{}: {}", self.what, command_for(conversion, file)),
            None => self.what.clone(),
        }
    }

    /// Logs a warning. Without a file the PEM came from the program.
    pub(super) fn warn(&self, file: Option<&Path>) {
        let place = file.map_or_else(|| escape::line("the PEM"), escape::path);
        log::warn!("{place}: line {}: {}", self.line, escape::line(&self.said_of(file)));
    }
}

/// Reads a whole PEM file.
pub(crate) fn read(text: &[u8]) -> Result<Contents, IdentityFault> {
    if let Some(conversion) = utf16(text) {
        return Err(IdentityFault::OtherForm {
            what: "its text is UTF-16, in which no program reads PEM; write it as ASCII",
            conversion,
        });
    }
    let mut reading = Reading {
        contents: Contents {
            certificates: Vec::new(),
            revocation_lists: Vec::new(),
            key: Key::Absent,
            forms: Vec::new(),
            unread: Vec::new(),
            pkcs7: Vec::new(),
        },
        open: None,
        is_in_stray: false,
    };
    for (index, line) in lines(text).enumerate() {
        reading.line(index + 1, line)?;
    }
    match reading.open {
        Some(_) => Err(malformed(NO_END)),
        None => Ok(reading.contents),
    }
}

const NO_END: &str =
    "a BEGIN line has no END line of its own, so the PEM is cut off or has lost its line breaks";
const NO_DASHES: &str =
    "a BEGIN line of its PEM does not end in five dashes, so the PEM is damaged or has lost its line breaks";
const NOT_BASE64: &str = "what stands between a BEGIN and an END line of its PEM is not base64";

/// Nothing of the text goes into a message: in a file without line breaks, a line can be the whole private key.
fn malformed(what: &str) -> IdentityFault {
    IdentityFault::Malformed(format!("{what}; copy the file again from where it was issued"))
}

/// The command that converts UTF-16 to ASCII, if the text is UTF-16. Windows programs write it, with or without a byte order
/// mark at the start.
fn utf16(text: &[u8]) -> Option<&'static str> {
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("iconv -f UTF-16 -t ASCII FILE > NEW"),
        [b'-', 0, b'-', 0, ..] => Some("iconv -f UTF-16LE -t ASCII FILE > NEW"),
        [0, b'-', 0, b'-', ..] => Some("iconv -f UTF-16BE -t ASCII FILE > NEW"),
        _ => None,
    }
}

/// Lines as they end on every system: LF, CR LF, or CR.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let length = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + length..]);
        Some(&text[..end])
    })
}

/// A file that is being read, line by line.
struct Reading<'a> {
    contents: Contents,
    /// The section that has begun.
    open: Option<Section<'a>>,
    /// The previous line was a stray line, which is not read.
    is_in_stray: bool,
}

/// A section from its BEGIN line on.
struct Section<'a> {
    label: &'a [u8],
    line: usize,
    /// Its letters, without blanks and line ends.
    base64: Vec<u8>,
    /// RFC 1421 §4.6.1.1: header lines say that the section is encrypted. Older forms of keys have them.
    is_encrypted: bool,
}

impl<'a> Reading<'a> {
    fn line(&mut self, number: usize, line: &'a [u8]) -> Result<(), IdentityFault> {
        let text = line.trimmed();
        let Some(section) = &mut self.open else {
            let line = line.strip_prefix(MARK).unwrap_or(line);
            return self.outside(number, line, line.trimmed());
        };
        // Base64 has no dashes.
        if let Some(end) = find(text, END).filter(|&end| end > 0 && !section.is_encrypted) {
            let (base64, rest) = text.split_at(end);
            section.base64.extend_from_slice(base64.trimmed());
            self.tell(
                number,
                "an END line stands behind base64, where OpenSSL does not read it",
                Some("sed 's/-----END /\\n&/' FILE > NEW"),
            );
            return self.line(number, rest);
        }
        if let Some(rest) = text.strip_prefix(END) {
            let own = rest.strip_prefix(section.label).and_then(|rest| rest.strip_prefix(DASHES));
            let behind = own.ok_or_else(|| malformed(NO_END))?;
            let behind = behind.strip_prefix(MARK).unwrap_or(behind).trimmed();
            let section = self.open.take();
            self.is_in_stray = false;
            if let Some(section) = section {
                self.close(section)?;
            }
            if behind.starts_with(BEGIN) {
                self.tell(
                    number,
                    "a section begins behind the END of another, on the same line; OpenSSL does not read it",
                    Some("sed 's/-----END [A-Z0-9 ]*-----/&\\n/' FILE > NEW"),
                );
                return self.outside(number, behind, behind);
            }
            if !behind.is_empty() {
                self.tell(number, "there is text behind an END line, which is not read", None);
            }
        } else if text.starts_with(BEGIN) {
            // If sections were joined, a part of a key could be sent as a part of the chain.
            let (line, place) = (section.line, self.contents.certificates.len() + 1);
            let is_certificate = text[BEGIN.len()..].starts_with(b"CERTIFICATE");
            return Err(malformed(&match is_certificate {
                true => format!(
                    "certificate {place} in it is damaged (it begins on line {number}, before the section of line {line} has ended)"
                ),
                false => NO_END.to_string(),
            }));
        } else if section.base64.is_empty() && memchr::memchr(b':', text).is_some() {
            section.is_encrypted |= text.starts_with(b"Proc-Type:") && text.ends_with(b"ENCRYPTED");
        } else {
            section.base64.extend_from_slice(text);
        }
        Ok(())
    }

    /// A line that belongs to no section, unless it begins one.
    fn outside(&mut self, number: usize, line: &'a [u8], text: &'a [u8]) -> Result<(), IdentityFault> {
        let Some(rest) = text.strip_prefix(BEGIN) else {
            let stray = stray(text);
            if let Some(what) = stray.filter(|_| !self.is_in_stray) {
                self.tell(number, what, None);
            }
            self.is_in_stray = stray.is_some();
            return Ok(());
        };
        let end = find(rest, DASHES).ok_or_else(|| malformed(NO_DASHES))?;
        let (label, behind) = (&rest[..end], &rest[end + DASHES.len()..]);
        if !behind.is_empty() {
            let is_whole = find(behind, END).is_some();
            return Err(malformed(if is_whole { NO_END } else { NO_DASHES }));
        }
        if line.first() != text.first() {
            self.tell(
                number,
                "a BEGIN line stands behind blanks, where OpenSSL does not read it",
                Some("sed 's/^[[:blank:]]*//' FILE > NEW"),
            );
        }
        self.is_in_stray = false;
        self.open = Some(Section { label, line: number, base64: Vec::new(), is_encrypted: false });
        Ok(())
    }

    fn close(&mut self, section: Section<'_>) -> Result<(), IdentityFault> {
        let label = std::str::from_utf8(section.label).unwrap_or_default();
        let number = section.line;
        if section.is_encrypted || label == "ENCRYPTED PRIVATE KEY" {
            if matches!(self.contents.key, Key::Absent) {
                self.contents.key = Key::Encrypted;
            }
            return Ok(());
        }
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                let der = decoded(&section.base64)?;
                // The certification authority of Windows labels PKCS#7 like this.
                if form::of(&der) == Some(Form::Pkcs7) {
                    self.other(number, Form::Pkcs7);
                    self.contents.pkcs7.push(der);
                } else {
                    self.contents.certificates.push(der.into());
                }
            }
            // After the certificate, OpenSSL writes what it is trusted for.
            "TRUSTED CERTIFICATE" => {
                let der = decoded(&section.base64)?;
                let whole = der::Reader::new(&der).whole(der::SEQUENCE).map(|(whole, _)| whole.to_vec());
                self.contents.certificates.push(whole.unwrap_or(der).into());
            }
            "X509 CRL" => {
                let der = decoded(&section.base64)?;
                self.contents.revocation_lists.push(der.into());
                self.other(number, Form::RevocationList);
            }
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                let der = decoded(&section.base64)?;
                if matches!(self.contents.key, Key::Plain(_)) {
                    self.tell(number, "there is a second private key, which is not read", None);
                    return Ok(());
                }
                self.contents.key = Key::Plain(match label {
                    "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
                    "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
                    _ => PrivateKeyDer::Pkcs8(der.into()),
                });
            }
            "PKCS7" | "CMS" => {
                self.other(number, Form::Pkcs7);
                self.contents.pkcs7.push(decoded(&section.base64)?);
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => self.other(number, Form::Request),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => self.other(number, Form::PublicKey),
            _ if NOT_NEEDED.contains(&label) => {}
            _ => {
                let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
                let named = match label.len() <= 40 && label.bytes().all(is_name) {
                    true => format!("a section {label} is not read"),
                    false => "a section of an unknown kind is not read".to_string(),
                };
                self.tell(number, &named, None);
            }
        }
        Ok(())
    }

    /// Handles a section of a known form that is not used here.
    fn other(&mut self, line: usize, form: Form) {
        self.contents.forms.push(form);
        if self.contents.unread.len() < MOST_UNREAD {
            let what = format!("a section with {} is not read", form.name());
            let conversion = form.conversion(Coding::Pem);
            self.contents.unread.push(Unread { line, what, conversion, form: Some(form) });
        }
    }

    fn tell(&mut self, line: usize, what: &str, conversion: Option<&'static str>) {
        if self.contents.unread.len() < MOST_UNREAD {
            self.contents.unread.push(Unread { line, what: what.to_string(), conversion, form: None });
        }
    }
}

/// Where `part` begins in `text`. memchr's search is faster in long texts, but adds seven kilobytes to every program.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Whether a line outside of sections looks like a part of one. Other text outside of sections is allowed and ignored (RFC 7468
/// §2), such as comments, names of authorities, and what OpenSSL writes there (`subject=`, `Bag Attributes`, the output of
/// `-text`).
fn stray(text: &[u8]) -> Option<&'static str> {
    if text.is_empty() || matches!(text[0], b'#' | b';') {
        return None;
    }
    let has = |part: &str| find(text, part.as_bytes()).is_some();
    if ["-BEGIN ", "-END ", "BEGIN CERTIFICATE", "END CERTIFICATE", "PRIVATE KEY-"]
        .iter()
        .any(|part| has(part))
    {
        return Some("there is a BEGIN or END line that is not one in PEM (it has a line of its own, five dashes on each side, and its counterpart)");
    }
    let letters = text.strip_suffix(b"=").map_or(text, |text| text.strip_suffix(b"=").unwrap_or(text));
    let is_base64 = letters.len() >= SHORTEST_STRAY
        && letters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && !letters.iter().all(u8::is_ascii_hexdigit);
    is_base64.then_some("there is base64 outside of a section, so its BEGIN line is lost or damaged")
}

/// The bytes of a section. It is decoded as a certificate, because rustls-pemfile requires a label.
fn decoded(base64: &[u8]) -> Result<Vec<u8>, IdentityFault> {
    let text = [b"-----BEGIN CERTIFICATE-----\n", base64, b"\n-----END CERTIFICATE-----\n"].concat();
    match rustls_pemfile::read_one_from_slice(&text) {
        Ok(Some((rustls_pemfile::Item::X509Certificate(der), _))) => Ok(der.to_vec()),
        // Its own error quotes the faulty line, which may be a key.
        Ok(_) | Err(_) => Err(malformed(NOT_BASE64)),
    }
}

/// One section of PEM (RFC 7468 §3), with its line end.
pub(super) fn write(label: &str, der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are 64 letters, the length of a line.
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 0x3f];
                text.push(if at <= three.len() { char::from(letter) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
