//! Properties that hold for any bytes that come in place of a response: its head, and the body that the head frames.

use super::*;
use crate::http::chunked::Decoder;

/// What is read of the bytes of one response: the head, its fields, and the length of the body's data if its end is known.
type Outcome = Result<Option<(Head, usize, Vec<Field>, Body)>, String>;

#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// The data, and where the next response begins.
    Whole(Vec<u8>, usize),
    Part(Vec<u8>),
}

pub(crate) fn hold(input: &[u8]) {
    for method in [Method::GET, Method::HEAD] {
        let whole = read(input, &method, &mut |_| usize::MAX);
        assert_eq!(read(input, &method, &mut |_| 1), whole);
        assert_eq!(read(input, &method, &mut |at| 1 + usize::from(input[at]) % 23), whole);
        if let Ok(Some((head, end, fields, body))) = whole {
            holds_of(&input[..end], &head, &fields);
            if let Body::Whole(data, next) = body {
                assert!(end + data.len() <= next && next <= input.len());
            }
        }
    }
}

/// Reads a response from pieces. `piece` gives the length of the piece at an offset.
fn read(input: &[u8], method: &Method, piece: &mut dyn FnMut(usize) -> usize) -> Outcome {
    let (mut from, mut come, mut fields) = (0, 0, Vec::new());
    let (head, end) = loop {
        if come == input.len() {
            return Ok(None);
        }
        come = come.saturating_add(piece(come)).min(input.len());
        match find(&input[..come], from, method, &mut fields)? {
            Found::Part(next) => {
                assert!(from <= next && next <= come);
                from = next;
            }
            Found::Whole(head, end) => break (head, end),
        }
    };
    let body = match head.body {
        BodyLength::None { .. } => Body::Whole(Vec::new(), end),
        BodyLength::UntilClose => Body::Part(input[end..].to_vec()),
        BodyLength::Fixed(length) => {
            match usize::try_from(length).ok().and_then(|length| end.checked_add(length)) {
                Some(next) if next <= input.len() => Body::Whole(input[end..next].to_vec(), next),
                _ => Body::Part(input[end..].to_vec()),
            }
        }
        BodyLength::Chunked => {
            let (mut decoder, mut data, mut at) = (Decoder::new(), Vec::new(), end);
            loop {
                if at == input.len() {
                    break Body::Part(data);
                }
                let next = at.saturating_add(piece(at)).min(input.len());
                let mut bytes = input[at..next].to_vec();
                let decoded =
                    decoder.decode_in_place(&mut bytes, |_| {}).map_err(|fault| fault.to_string())?;
                data.extend_from_slice(&bytes[..decoded.data]);
                if let Some(rest) = decoded.rest {
                    break Body::Whole(data, next - rest);
                }
                at = next;
            }
        }
    };
    Ok(Some((head, end, fields, body)))
}

/// What is true of every head that is accepted.
fn holds_of(head: &[u8], read: &Head, fields: &[Field]) {
    assert!(head.len() <= HEAD_BYTES && head.ends_with(b"\r\n\r\n"));
    let lines: Vec<_> = head[..head.len() - 4].split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), fields.len() + 1, "each line is a field");
    let all = |name: &str| {
        fields.iter().filter(|field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes())).count()
    };
    assert!(all("content-length") + all("transfer-encoding") <= 1, "one field frames the body");
    for field in fields {
        let (name, value) = (field.name.of(head), field.value.of(head));
        assert!(
            ::http::HeaderName::from_bytes(name).is_ok() && ::http::HeaderValue::from_bytes(value).is_ok()
        );
    }
    if read.keep_alive {
        let sure = match read.body {
            BodyLength::None { told } => told.unwrap_or(0) == 0,
            BodyLength::Fixed(_) | BodyLength::Chunked => true,
            BodyLength::UntilClose => false,
        };
        assert!(sure);
    }
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_responses() {
    let pieces = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.1 103 Early\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 03\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Set-Cookie: a=b\r\n",
        "\r\n",
        "abc",
        "3;a=b\r\nabc\r\n",
        "0\r\n\r\n",
        " folded\r\n",
    ];
    for input in crate::fuzzing::inputs(15_000, pieces) {
        hold(&input);
        // Most damaged heads have another first line.
        let mut begun = b"HTTP/1.1 200 OK\r\n".to_vec();
        begun.extend_from_slice(&input);
        hold(&begun);
    }
}
