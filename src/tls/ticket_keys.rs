//! Keys of session tickets that several servers share, from a file: each resumes the sessions of the others.
//!
//! Knows the file and ring; nothing of who reads it again, and when. `server_config` takes a [`Ticketer`] of it, `live` keeps
//! the keys in use, and the server's renewal reads the file again.
//!
//! # The key of a ticket
//!
//! A listener does not encrypt with the key of the file. It derives one (HKDF-SHA256, RFC 5869) from that key and from what a
//! resumed session takes over without asking again: whom the client has authenticated, and by which rules the client was let
//! in ([`Scope`]). A listener with other names, with certificates of another authority, or with other rules for clients has
//! another key, and so cannot read the ticket: it makes a full handshake. That is what went wrong in CVE-2023-41337,
//! CVE-2025-23048 and CVE-2025-23419.
//!
//! From that key, each ticket has a key of its own, by a random salt of 256 bits. AES-GCM with one key and random nonces may
//! encrypt 2^32 messages (NIST SP 800-38D §8.3), and no server of several can count those of all. A key that is used once
//! needs no count, and its nonce is constant. RFC 5077 §4 and RFC 8446 §4.6.1 leave the form of a ticket to the server.
//!
//! ```text
//! name of the key 16 | salt 32 | encrypted: time of issue 8, session | tag 16
//! ```

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM, NONCE_LEN};
use ring::digest;
use ring::hkdf::{KeyType, Prk, Salt, HKDF_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::file;
use super::stamp::Stamp;
use super::ticket_scope::Scope;
use super::x509::hex;
use crate::calendar::{days_from_civil, from_unix, iso8601_of, unix, unix_now};
use crate::error::Error;
use crate::escape;
use crate::finding::shell_word;
use crate::regular_file::{self, Links};

const KEY_BYTES: usize = 32;
const NAME_BYTES: usize = 16;
const SALT_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
/// A session holds the client's certificates, which a handshake limits to 64 KiB (rustls). What is longer is not decrypted.
const MOST_TICKET_BYTES: usize = 96 * 1024;
/// Three lines of 80 bytes, and comments.
const MOST_FILE_BYTES: u64 = 16 * 1024;
/// How long a ticket resumes its session. It is as long as without shared keys (the tickets of rustls). RFC 8446 §4.6.1 allows
/// seven days.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Who has a key reads all sessions of TLS 1.2 that were resumed or could be, and so the keys are to be exchanged. An operator
/// who does it daily is told when it has not happened for a month.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);
const VERSION: &str = "1";
const ROLES: [&str; 3] = ["next", "current", "last"];

/// The keys of session tickets that several servers share, as their file has them: three of 256 bits.
///
/// Every server decrypts tickets of all three, and encrypts with `current`. An exchange makes `next` the current key and
/// `current` the last one. So a server that has the new file and one that has the old file read each other's tickets, in
/// whatever order the file reaches them:
///
/// | | before | after |
/// |---|---|---|
/// | next | A | D, new |
/// | current: encrypts | B | A |
/// | last | C | B |
///
/// The next exchange has to wait until every server has the file, and best for 12 hours, the lifetime of a ticket.
///
/// The file is text. Empty lines and those that begin with `#` do not count:
///
/// ```text
/// version 1
/// rotated 2026-11-30T21:00:00Z
/// next    <64 hexadecimal digits>
/// current <64 hexadecimal digits>
/// last    <64 hexadecimal digits>
/// ```
///
/// Whoever has the keys can read resumed sessions of TLS 1.2, and can pose as any client whose certificate the server accepts.
/// The file is as secret as a private key. `Debug` shows nothing of the keys, and they are wiped from memory when they are dropped.
///
/// ```
/// use lockgate::TicketKeys;
///
/// let keys = TicketKeys::generate()?;
/// let exchanged = keys.rotated()?;
/// assert_ne!(keys.id(), exchanged.id());
/// # Ok::<(), lockgate::Error>(())
/// ```
#[derive(Clone)]
pub struct TicketKeys {
    /// In the order of [`ROLES`].
    keys: Zeroizing<[[u8; KEY_BYTES]; 3]>,
    /// When they were made or exchanged, in seconds since 1970.
    rotated: Option<i64>,
}

impl TicketKeys {
    /// How long a ticket resumes its session: 12 hours. Keys that are exchanged sooner than that after the last exchange cost
    /// clients with older tickets a full handshake.
    pub const TICKET_LIFETIME: Duration = LIFETIME;

    /// Three new random keys.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has no random numbers.
    pub fn generate() -> Result<TicketKeys, Error> {
        let keys = Zeroizing::new([random()?, random()?, random()?]);
        Ok(TicketKeys { keys, rotated: Some(unix_now()) })
    }

    /// The keys after an exchange: the next becomes the current, the current the last, and the next is new.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has no random numbers.
    pub fn rotated(&self) -> Result<TicketKeys, Error> {
        let [next, current, _] = *self.keys;
        Ok(TicketKeys { keys: Zeroizing::new([random()?, next, current]), rotated: Some(unix_now()) })
    }

    /// Reads a file of keys.
    ///
    /// # Errors
    /// [`Error::Setting`] with the file, and what is wrong with it.
    pub fn read(file: &Path) -> Result<TicketKeys, Error> {
        let text = regular_file::read_text(file, Links::Followed, MOST_FILE_BYTES)
            .map(Zeroizing::new)
            .map_err(|error| fault(file, &unreadable(file, &error)))?;
        TicketKeys::parse(&text).map_err(|what| fault(file, &format!("{what}; {}", copy_again(file))))
    }

    /// The text of the file, with the keys. Whoever keeps it is to wipe it.
    pub fn to_file_text(&self) -> String {
        // It does not grow, which would leave copies of keys in memory.
        let mut text = String::with_capacity(1024);
        text.push_str(
            "# The keys of session tickets (lockgate). As secret as a private key; the same on every server.\n\
             # To exchange them: lockgate ticket-keys rotate FILE, and copy the file to every server.\n",
        );
        text.push_str("version ");
        text.push_str(VERSION);
        if let Some(rotated) = self.rotated {
            text.push_str("\nrotated ");
            text.push_str(&iso8601_of(rotated));
        }
        for (role, key) in ROLES.iter().zip(&*self.keys) {
            text.push('\n');
            text.push_str(role);
            text.push(' ');
            for byte in key {
                // A String takes all.
                let _ = write!(text, "{byte:02x}");
            }
        }
        text.push('\n');
        text
    }

    /// A short name of the current key, which tells nothing of it: servers with the same keys show the same name.
    pub fn id(&self) -> String {
        let digest = digest::digest(
            &digest::SHA256,
            &Zeroizing::new([b"lockgate ticket key", &self.keys[1][..]].concat()),
        );
        hex(&digest.as_ref()[..4])
    }

    /// When they were made or last exchanged. `None` when the file does not say it.
    pub fn rotated_at(&self) -> Option<SystemTime> {
        self.rotated.map(from_unix)
    }

    /// How long ago they were exchanged, once that is too long.
    pub(crate) fn days_if_old(&self, now: SystemTime) -> Option<u64> {
        let age = unix(now).saturating_sub(self.rotated?);
        let age = u64::try_from(age).unwrap_or(0);
        (age > OLD.as_secs()).then_some(age / (24 * 3600))
    }

    fn parse(text: &str) -> Result<TicketKeys, String> {
        // An editor may have put a mark of byte order before it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut found = Zeroizing::new([None::<[u8; KEY_BYTES]>; 3]);
        let (mut version, mut rotated) = (None, None);
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| Err(format!("line {} {what}", number + 1));
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(value), None) = (words.next(), words.next(), words.next()) else {
                return wrong("is not a name and a value");
            };
            let is_again = match (name, ROLES.iter().position(|role| *role == name)) {
                ("version", _) => version.replace(value).is_some(),
                ("rotated", _) => match parse_time(value) {
                    Some(time) => rotated.replace(time).is_some(),
                    None => return wrong("has no time such as 2026-11-30T21:00:00Z"),
                },
                (_, Some(role)) => match parse_key(value) {
                    Some(key) => found[role].replace(key).is_some(),
                    // The value may be a key, so it is not shown.
                    None => return wrong("has no key of 64 hexadecimal digits, as random bytes give them"),
                },
                _ => return wrong("has a name that is none of version, rotated, next, current and last"),
            };
            if is_again {
                return wrong("says again what another line has said");
            }
            if version.is_some_and(|version| version != VERSION) {
                return wrong("names a version that is not known here; this lockgate reads version 1");
            }
        }
        if version.is_none() {
            return Err("has no line version 1".to_string());
        }
        let [Some(next), Some(current), Some(last)] = *found else {
            let missing = ROLES.iter().zip(&*found).find(|(_, key)| key.is_none());
            return Err(format!("has no key {}", missing.map_or("", |(role, _)| role)));
        };
        if next == current || current == last || next == last {
            return Err("has the same key twice".to_string());
        }
        Ok(TicketKeys { keys: Zeroizing::new([next, current, last]), rotated })
    }

    /// The tickets of a listener.
    pub(super) fn ticketer(&self, scope: &Scope) -> Arc<dyn ProducesTickets> {
        let [next, current, last] = &*self.keys;
        Arc::new(Ticketer { keys: [current, next, last].map(|key| ListenerKey::derive(key, scope)) })
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("id", &self.id())
            .field("rotated", &self.rotated)
            .finish_non_exhaustive()
    }
}

/// The keys of a server, and the file that they are from.
#[derive(Debug)]
pub(crate) struct SharedKeys {
    path: PathBuf,
    /// The state of the file before it was read.
    stamp: Stamp,
    pub(crate) keys: TicketKeys,
}

impl SharedKeys {
    /// Reads the file. Warns when others may read it.
    ///
    /// # Errors
    /// Those of [`TicketKeys::read`].
    pub(crate) fn load(path: &Path) -> Result<SharedKeys, Error> {
        let path = path.to_path_buf();
        let stamp = Stamp::of(std::slice::from_ref(&path));
        let keys = TicketKeys::read(&path)?;
        if let Some(loose) = file::loose_mode_of(&path) {
            log::warn!(
                "{}: {}, and so recorded sessions of TLS 1.2, and forge sessions; run: {}",
                escape::path(&path),
                loose.seen_of_ticket_keys(),
                loose.fix(&path)
            );
        }
        Ok(SharedKeys { path, stamp, keys })
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// Those of [`load`](SharedKeys::load).
    pub(crate) fn load_again(&self) -> Result<SharedKeys, Error> {
        SharedKeys::load(&self.path)
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// What rustls asks for tickets.
#[derive(Debug)]
struct Ticketer {
    /// The first encrypts.
    keys: [ListenerKey; 3],
}

/// A key of the file, for one listener.
struct ListenerKey {
    /// Stands in clear at the beginning of its tickets (RFC 5077 §4).
    name: [u8; NAME_BYTES],
    secret: Prk,
}

impl ListenerKey {
    fn derive(key: &[u8; KEY_BYTES], scope: &Scope) -> ListenerKey {
        let secret = Salt::new(HKDF_SHA256, &scope.0).extract(key);
        ListenerKey { name: expand(&secret, &[b"name"]).unwrap_or_default(), secret }
    }

    fn of_ticket(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key: Zeroizing<[u8; KEY_BYTES]> = expand(&self.secret, &[b"ticket", salt]).map(Zeroizing::new)?;
        UnboundKey::new(&AES_256_GCM, &*key).ok().map(LessSafeKey::new)
    }
}

impl fmt::Debug for ListenerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.name))
    }
}

/// Only one message is encrypted with a ticket's key.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl Ticketer {
    fn seal(&self, session: &[u8], now: i64) -> Option<Vec<u8>> {
        let [key, ..] = &self.keys;
        let salt: [u8; SALT_BYTES] = random().ok()?;
        let head = NAME_BYTES + SALT_BYTES;
        let mut ticket = Vec::with_capacity(head + TIME_BYTES + session.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&salt);
        ticket.extend_from_slice(&now.to_be_bytes());
        ticket.extend_from_slice(session);
        let sealed = key.of_ticket(&salt)?;
        let tag = sealed.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut ticket[head..]).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: i64) -> Option<Vec<u8>> {
        if ticket.len() > MOST_TICKET_BYTES || ticket.len() < NAME_BYTES + SALT_BYTES {
            return None;
        }
        let (name, rest) = ticket.split_at(NAME_BYTES);
        let (salt, sealed) = rest.split_at(SALT_BYTES);
        let key = self.keys.iter().find(|key| key.name == name)?.of_ticket(salt)?;
        let mut sealed = sealed.to_vec();
        let open = key.open_in_place(nonce(), Aad::empty(), &mut sealed).ok()?;
        let (time, session) = (open.get(..TIME_BYTES)?, open.get(TIME_BYTES..)?);
        // Another server's clock may be ahead of this one's. One that is wrong by more than a lifetime resumes nothing.
        let age = now.checked_sub(i64::from_be_bytes(time.try_into().ok()?))?.unsigned_abs();
        (age <= LIFETIME.as_secs()).then(|| session.to_vec())
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, unix_now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, unix_now())
    }
}

/// So many bytes of HKDF.
struct Bytes<const N: usize>;

impl<const N: usize> KeyType for Bytes<N> {
    fn len(&self) -> usize {
        N
    }
}

fn expand<const N: usize>(secret: &Prk, info: &[&[u8]]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    secret.expand(info, Bytes::<N>).and_then(|key| key.fill(&mut bytes)).ok()?;
    Some(bytes)
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Io {
        doing: "getting random numbers from the operating system",
        source: std::io::ErrorKind::Other.into(),
    })?;
    Ok(bytes)
}

fn parse_key(text: &str) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    // A key that somebody has filled in by hand, to try it.
    let is_random = key.iter().filter(|byte| **byte == key[0]).count() < KEY_BYTES / 2;
    is_random.then_some(key)
}

/// The seconds since 1970 of `2026-11-30T21:00:00Z`.
fn parse_time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(i64::from(year), month, day);
    let time = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    (iso8601_of(time) == text).then_some(time)
}

fn fault(file: &Path, what: &str) -> Error {
    Error::Setting { setting: "ticket_keys", fault: format!("{}: {what}", file.display()) }
}

fn unreadable(file: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "there is no such file; make it on one server and copy it to the others: lockgate ticket-keys new {}",
            shell_word(file)
        ),
        std::io::ErrorKind::PermissionDenied => {
            "this user may not read it; make the user that runs this program its owner".to_string()
        }
        _ => format!("cannot be read: {error}; give the path of a file that lockgate ticket-keys new has made"),
    }
}

fn copy_again(file: &Path) -> String {
    let file = shell_word(file);
    format!(
        "copy it again from another server, or make new keys for all: mv {file} {file}.bad && lockgate ticket-keys new {file}"
    )
}

#[cfg(test)]
mod tests;
