//! What the standard library has too, but only since a Rust that is newer than the crate's `rust-version`. Each function has the
//! standard library's name, where it can, and says which Rust has it: it goes when `rust-version` reaches that. Knows nothing of the crate;
//! every module may call it.

use std::error::Error;
#[cfg(test)]
use std::fs::File;
use std::net::Ipv6Addr;
use std::{io, iter, str};

/// A trait with `#[diagnostic::on_unimplemented]`, since Rust 1.78: what the compiler says when a type has no `impl` of it. Before
/// that the attribute is an error, not a warning, even behind a `cfg_attr` that is not for it. A build script would ask which
/// compiler this is; here the compiler tells by itself, because `'r#since` is one token since Rust 1.83 (a raw lifetime) and three
/// tokens before.
macro_rules! explained {
    ($since:lifetime { $($hints:tt)* } $($item:tt)*) => {
        #[diagnostic::on_unimplemented($($hints)*)]
        $($item)*
    };
    ($before:lifetime # $since:ident { $($hints:tt)* } $($item:tt)*) => { $($item)* };
}
pub(crate) use explained;

/// `<[u8]>::trim_ascii`, `trim_ascii_start` and `trim_ascii_end`, since Rust 1.80. Not by these names, because a newer compiler
/// would take its own.
pub(crate) trait Trim {
    /// Without the white space around it: space, tab, LF, form feed and CR.
    fn trimmed(&self) -> &Self;
    fn trimmed_start(&self) -> &Self;
    fn trimmed_end(&self) -> &Self;
}

impl Trim for [u8] {
    fn trimmed(&self) -> &[u8] {
        self.trimmed_start().trimmed_end()
    }

    fn trimmed_start(&self) -> &[u8] {
        let mut bytes = self;
        while let [first, rest @ ..] = bytes {
            if !first.is_ascii_whitespace() {
                break;
            }
            bytes = rest;
        }
        bytes
    }

    fn trimmed_end(&self) -> &[u8] {
        let mut bytes = self;
        while let [rest @ .., last] = bytes {
            if !last.is_ascii_whitespace() {
                break;
            }
            bytes = rest;
        }
        bytes
    }
}

/// `Ipv6Addr::is_unicast_link_local`, since Rust 1.84: RFC 4291 §2.5.6.
pub(crate) fn is_unicast_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// `Ipv6Addr::is_unique_local`, since Rust 1.84: RFC 4193 §3.
#[cfg(feature = "scan")]
pub(crate) fn is_unique_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xfe00 == 0xfc00
}

/// `io::Error::downcast`, since Rust 1.79.
pub(crate) fn downcast<E: Error + Send + Sync + 'static>(error: io::Error) -> Result<E, io::Error> {
    if !error.get_ref().is_some_and(|inner| inner.is::<E>()) {
        return Err(error);
    }
    let kind = error.kind();
    match error.into_inner().map(|inner| inner.downcast::<E>()) {
        Some(Ok(inner)) => Ok(*inner),
        Some(Err(inner)) => Err(io::Error::new(kind, inner)),
        None => Err(kind.into()),
    }
}

/// `io::ErrorKind::IsADirectory`, since Rust 1.83. The standard library gives this kind earlier, but without a name.
pub(crate) fn is_a_directory() -> io::ErrorKind {
    io::Error::from(rustix::io::Errno::ISDIR).kind()
}

/// `<[u8]>::utf8_chunks`, since Rust 1.79: a text that is valid UTF-8, and the bytes behind it that are not.
pub(crate) fn utf8_chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    iter::from_fn(move || {
        let (valid, invalid) = match str::from_utf8(bytes) {
            _ if bytes.is_empty() => return None,
            Ok(all) => (all, 0),
            Err(error) => {
                let valid = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
                (valid, error.error_len().unwrap_or(bytes.len() - valid.len()))
            }
        };
        let (invalid, rest) = bytes[valid.len()..].split_at(invalid);
        bytes = rest;
        Some((valid, invalid))
    })
}

/// `io::pipe`, since Rust 1.87.
#[cfg(test)]
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((reader.into(), writer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All byte strings up to `most` bytes of `alphabet`.
    fn strings(alphabet: &[u8], most: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..most {
            let until = all.len();
            for at in from..until {
                all.extend(alphabet.iter().map(|&byte| [&all[at][..], &[byte]].concat()).collect::<Vec<_>>());
            }
            from = until;
        }
        all
    }

    #[test]
    fn bytes_are_trimmed_as_text_is() {
        for bytes in strings(b"a \t\n\x0b\x0c\r", 4) {
            let text = str::from_utf8(&bytes).unwrap();
            let blank = |c: char| c.is_ascii_whitespace();
            assert_eq!(bytes.trimmed(), text.trim_matches(blank).as_bytes(), "{text:?}");
            assert_eq!(bytes.trimmed_start(), text.trim_start_matches(blank).as_bytes(), "{text:?}");
            assert_eq!(bytes.trimmed_end(), text.trim_end_matches(blank).as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn chunks_are_what_the_lossy_conversion_replaces() {
        // Parts of characters of one to four bytes, surrogates, overlong forms, and bytes that are never in UTF-8.
        for bytes in strings(b"a\x80\xbf\xc0\xc3\xe0\xa0\xed\xf0\x90\xf4\xff", 4) {
            let mut lossy = String::new();
            let mut seen = Vec::new();
            for (valid, invalid) in utf8_chunks(&bytes) {
                lossy.push_str(valid);
                if !invalid.is_empty() {
                    lossy.push('\u{fffd}');
                }
                seen.extend_from_slice(valid.as_bytes());
                seen.extend_from_slice(invalid);
            }
            assert_eq!(lossy, String::from_utf8_lossy(&bytes), "{bytes:x?}");
            assert_eq!(seen, bytes);
        }
    }

    #[test]
    fn a_link_local_address_is_in_fe80_10() {
        for (address, is) in
            [("fe80::1", true), ("febf:ffff::", true), ("fe7f::1", false), ("fec0::1", false), ("::1", false)]
        {
            assert_eq!(is_unicast_link_local(address.parse().unwrap()), is, "{address}");
        }
    }

    #[test]
    fn an_error_is_taken_out_of_another_only_if_it_is_of_the_type() {
        let inner = io::Error::from(io::ErrorKind::BrokenPipe);
        let outer = io::Error::other(inner);
        assert_eq!(downcast::<io::Error>(outer).unwrap().kind(), io::ErrorKind::BrokenPipe);
        let outer = io::Error::new(io::ErrorKind::TimedOut, "text");
        let outer = downcast::<io::Error>(outer).unwrap_err();
        assert_eq!((outer.kind(), outer.to_string()), (io::ErrorKind::TimedOut, "text".to_string()));
        let outer = downcast::<io::Error>(io::Error::from_raw_os_error(2)).unwrap_err();
        assert_eq!(outer.raw_os_error(), Some(2));
    }
}
