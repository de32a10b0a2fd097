//! The head of an update bundle: what the image is, signed. Knows bytes and signatures only; the installation of updates calls
//! it.

use std::io::Read;

use ring::signature::{UnparsedPublicKey, ED25519};

use super::fault::UpdateFault;
use crate::error::Error;

/// The largest head, in bytes.
const MOST_BYTES: usize = 1024;
const FIRST_LINE: &str = "lockgate update 1";

/// What a signed head says of the image that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub compatible: String,
    pub version: u64,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// Reads the head, and checks its signature with any of these keys. Returns also what was read behind it.
pub(super) fn read(source: &mut dyn Read, keys: &[[u8; 32]]) -> Result<(Manifest, Vec<u8>), Error> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = memchr::memmem::find(&head, b"\n\n") {
            break at;
        }
        let mut piece = [0; 256];
        let read = if head.len() < MOST_BYTES { source.read(&mut piece)? } else { 0 };
        if read == 0 {
            return Err(UpdateFault::Format("it does not begin with the head of a bundle").into());
        }
        head.extend_from_slice(&piece[..read]);
    };
    let rest = head.split_off(end + 2);
    Ok((parse(&head[..end], keys)?, rest))
}

fn parse(head: &[u8], keys: &[[u8; 32]]) -> Result<Manifest, UpdateFault> {
    const WRONG: UpdateFault = UpdateFault::Format("a line of its head is missing, or is another");
    let text = std::str::from_utf8(head).map_err(|_| WRONG)?;
    let (signed, signature) = text.rsplit_once("\nsignature ").ok_or(WRONG)?;
    let lines: Vec<&str> = signed.split('\n').collect();
    let [FIRST_LINE, compatible, version, bytes, sha256] = *lines else { return Err(WRONG) };
    let compatible = compatible.strip_prefix("compatible ").ok_or(WRONG)?.to_string();
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).ok_or(WRONG);
    let version = number(version.strip_prefix("version "))?;
    let bytes = number(bytes.strip_prefix("bytes "))?;
    let sha256 = sha256.strip_prefix("sha256 ").and_then(unhex).ok_or(WRONG)?;
    let signature: [u8; 64] = unhex(signature).ok_or(WRONG)?;
    // The line end before the signature is signed too.
    let signed = &head[..signed.len() + 1];
    let is_signed =
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(signed, &signature).is_ok());
    if !is_signed {
        return Err(UpdateFault::Signature);
    }
    Ok(Manifest { compatible, version, bytes, sha256 })
}

/// Hexadecimal digits, in small letters.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bundle_of, key};
    use super::*;

    fn fault(bundle: &[u8], keys: &[[u8; 32]]) -> Option<String> {
        match read(&mut &*bundle, keys) {
            Ok(_) => None,
            Err(Error::Answer { source, .. }) => {
                Some(format!("{:?}", source.downcast::<UpdateFault>().unwrap()))
            }
            Err(other) => Some(other.to_string()),
        }
    }

    #[test]
    fn what_is_signed_is_read_and_nothing_else() {
        let bundle = bundle_of("pump", 7, b"image\n\nimage");
        let (manifest, rest) = read(&mut &*bundle, &[[1; 32], key()]).unwrap();
        assert_eq!((manifest.compatible.as_str(), manifest.version, manifest.bytes), ("pump", 7, 12));
        assert_eq!(rest, b"image\n\nimage");
        // Every byte of the head counts.
        let end = memchr::memmem::find(&bundle, b"\n\n").unwrap();
        for at in 0..end {
            let mut damaged = bundle.clone();
            damaged[at] ^= 1;
            assert!(fault(&damaged, &[key()]).is_some(), "{at}");
        }
        assert_eq!(fault(&bundle, &[]).as_deref(), Some("Signature"));
        assert_eq!(fault(&bundle, &[[1; 32], [2; 32]]).as_deref(), Some("Signature"));
        for length in 0..end + 1 {
            assert!(fault(&bundle[..length], &[key()]).unwrap().starts_with("Format"), "{length}");
        }
        let long = [b"lockgate update 1\n".as_slice(), &[b'x'; 10_000]].concat();
        assert!(fault(&long, &[key()]).unwrap().starts_with("Format"));
    }
}
