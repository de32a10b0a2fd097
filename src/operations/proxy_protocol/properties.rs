//! Properties that hold for any bytes that come in place of a PROXY header: they are read the same in one piece and byte by byte, and
//! nothing behind a header is taken.

use super::*;

pub(crate) fn hold(input: &[u8]) {
    let drip = |most: usize| {
        let (mut reading, mut rest) = (Reading::default(), input);
        loop {
            let room = reading.room();
            assert!(!room.is_empty() && room.len() <= FIXED_BYTES + BLOCK_BYTES);
            let count = room.len().min(most).min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            match reading.filled(count) {
                Ok(Progress::Part) if rest.is_empty() => return (None, 0),
                Ok(Progress::Part) => {}
                Ok(Progress::Whole(header)) => return (Some(header), rest.len()),
                Err(_) => return (None, 0),
            }
        }
    };
    let whole = drip(usize::MAX);
    assert_eq!(whole, drip(1));
    if let (Some(header), left) = whole {
        let taken = &input[..input.len() - left];
        assert_eq!(ProxyHeader::from_bytes(taken), Ok(header.clone()));
        if let Some(header) = header {
            let _ = (header.tls(), header.authority(), header.value(0xEA));
        }
    }
}
