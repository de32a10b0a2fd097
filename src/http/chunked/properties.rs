//! Properties that hold for any bytes that come in place of a chunked body.

use super::*;

/// The result for a body: its data, and where it ended or what was wrong with it; `Ok(None)` when more is needed.
type Outcome = (Vec<u8>, Result<Option<usize>, String>);

pub(crate) fn hold(input: &[u8]) {
    let whole = decode(input, |_| usize::MAX, usize::MAX);
    assert_eq!(decode(input, |_| 1, usize::MAX), whole);
    assert_eq!(decode(input, |at| 1 + usize::from(input[at]) % 23, 3), whole);

    let (data, end) = whole;
    assert!(data.len() <= input.len());
    if let Ok(Some(end)) = end {
        // The shortest body is "0" and two line ends.
        assert!(data.len() + 5 <= end && end <= input.len());
        let again = encode(&data);
        let all = again.len();
        assert_eq!(decode(&again, |at| 1 + at % 5, 7), (data, Ok(Some(all))));
    }
}

/// Decodes `input` in pieces. `piece` gives the length of the piece at an offset. At most `most` bytes are taken at a time.
fn decode(input: &[u8], piece: impl Fn(usize) -> usize, most: usize) -> Outcome {
    let mut decoder = Decoder::new();
    let mut data = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let end = at.saturating_add(piece(at)).min(input.len());
        while at < end {
            assert!(!decoder.is_ended());
            match decoder.next(&input[at..end]) {
                Err(fault) => return (data, Err(fault.to_string())),
                Ok(Found::More) => at = end,
                Ok(Found::End(length)) => {
                    assert!(decoder.is_ended() && length <= end - at);
                    return (data, Ok(Some(at + length)));
                }
                Ok(Found::Data(range)) => {
                    assert!(range.start < range.end && range.end <= end - at);
                    let taken = range.len().min(most);
                    data.extend_from_slice(&input[at + range.start..][..taken]);
                    decoder.take(taken);
                    at += range.start + taken;
                }
            }
        }
    }
    (data, Ok(None))
}

fn encode(data: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in data.chunks(10) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_bodies() {
    let pieces = &[
        "3\r\nabc\r\n",
        "3;a=\"b\"\r\nabc\r\n",
        "00A\r\n0123456789\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "X: y\r\n",
        "\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    for input in crate::fuzzing::inputs(50_000, pieces) {
        hold(&input);
    }
}
