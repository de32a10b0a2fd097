//! The id of a request: one that the machine in front has given, or one that is made. Every line of the log about a request and the
//! server behind a proxy have the same. Knows text only; the server asks it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The longest id that is taken from another machine.
const MOST_BYTES: usize = 128;

/// The id of a request, by which its lines in the logs of several machines are found: [`Request::id`](crate::Request::id).
///
/// It is made: 16 bytes as hexadecimal digits, of a start that each process takes at random and a number. So it is unique on all
/// machines and after each restart, and it is no secret. Only a proxy that
/// [`trust_forwarded`](crate::ServerBuilder::trust_forwarded) names gives the id itself, as `X-Request-Id` or `traceparent`; what others
/// send under these names does not count. The page [`behind_a_proxy`](crate::behind_a_proxy) has the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    number: u64,
    /// Behind one pointer, because an id is copied with each request and this is nearly always empty.
    given: Option<Arc<Box<str>>>,
}

impl RequestId {
    /// The id of the first request of a connection.
    pub(crate) fn of_connection() -> RequestId {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let connection = NEXT.fetch_add(1, Ordering::Relaxed) as u64;
        // The fraction of the golden ratio: the numbers of connections lie as far apart as so many can, so that those of a
        // connection's requests, which follow each other, do not meet the next one's. Knuth, TAOCP 3, §6.4.
        RequestId { number: connection.wrapping_mul(0x9e37_79b9_7f4a_7c15), given: None }
    }

    /// Goes on to the connection's next request.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.number = self.number.wrapping_add(1);
        if self.given.is_some() {
            self.given = None;
        }
    }

    /// Becomes the same as another.
    #[inline(always)]
    pub(crate) fn follow(&mut self, other: &RequestId) {
        self.number = other.number;
        if self.given.is_some() || other.given.is_some() {
            self.follow_given(other);
        }
    }

    #[cold]
    fn follow_given(&mut self, other: &RequestId) {
        self.given.clone_from(&other.given);
    }

    /// Takes the id that a trusted machine has given, if it has. `value` finds the value of a field; nothing if there are several of
    /// its name.
    pub(crate) fn take_from<'v>(&mut self, value: &dyn Fn(&str) -> Option<&'v [u8]>) {
        let id = value("x-request-id").filter(|id| is_id(id));
        let id = id.or_else(|| trace_id(value("traceparent")?));
        self.given = id.and_then(|id| std::str::from_utf8(id).ok()).map(|id| Arc::new(id.into()));
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static START: OnceLock<u64> = OnceLock::new();
        if let Some(given) = &self.given {
            return f.write_str(given);
        }
        // Its keys are from the operating system's generator.
        let start = START.get_or_init(|| RandomState::new().build_hasher().finish());
        let mut text = [0; 32];
        for (digit, place) in text.iter_mut().zip((0..16).rev().chain((0..16).rev())) {
            *digit = place;
        }
        for (at, digit) in text.iter_mut().enumerate() {
            let half = if at < 16 { *start } else { self.number };
            *digit = b"0123456789abcdef"[(half >> (4 * *digit)) as usize & 15];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Whether another machine's id can stand in a log, in a URL and in a field as it is.
fn is_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(byte);
    (1..=MOST_BYTES).contains(&id.len()) && id.iter().all(is_allowed)
}

/// The trace id of a `traceparent` (W3C Trace Context, §3.2): `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits. A later version may
/// have more behind a further dash. All zeros and the version `ff` are invalid, and so are capitals.
fn trace_id(value: &[u8]) -> Option<&[u8]> {
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let (version, trace) = (value.get(..2)?, value.get(3..35)?);
    let (parent, flags) = (value.get(36..52)?, value.get(53..55)?);
    let ends_right = match value.get(55) {
        None => true,
        Some(next) => *next == b'-' && version != b"00",
    };
    let has_dashes = [2, 35, 52].iter().all(|at| value[*at] == b'-');
    let all_hex = [version, trace, parent, flags].iter().all(|part| is_hex(part));
    (has_dashes && all_hex && ends_right && version != b"ff" && !is_zero(trace) && !is_zero(parent))
        .then_some(trace)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn taken(fields: &[(&str, &str)]) -> Option<String> {
        let mut id = RequestId::of_connection();
        let made = id.to_string();
        id.take_from(&|name| {
            let mut values = fields.iter().filter(|(of, _)| *of == name).map(|(_, value)| value.as_bytes());
            values.next().filter(|_| values.next().is_none())
        });
        Some(id.to_string()).filter(|id| *id != made)
    }

    #[test]
    fn ids_of_requests_differ_and_have_sixteen_bytes() {
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let mut id = RequestId::of_connection();
            for _ in 0..100 {
                id.advance();
                let text = id.to_string();
                assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
                assert!(seen.insert(text));
            }
        }
        let starts: HashSet<&str> = seen.iter().map(|id| &id[..16]).collect();
        assert_eq!(starts.len(), 1, "of one process");
    }

    #[test]
    fn an_id_of_another_machine_is_taken_only_if_it_can_stand_everywhere() {
        for id in ["a", "7f3c9a52-0c1e-4b7a-9a53-6c2d1f0e8b11", "Root=1-67891233-abcdef012345678912345678"] {
            assert_eq!(taken(&[("x-request-id", id)]).as_deref(), Some(id));
        }
        let long = "x".repeat(129);
        for id in ["", "a b", "a\"b", "a\\b", "a,b", "é", "<script>", "a\u{7f}", &long] {
            assert_eq!(taken(&[("x-request-id", id)]), None, "{id}");
        }
        assert_eq!(taken(&[("x-request-id", "a"), ("x-request-id", "b")]), None, "two are none");
    }

    /// As in the tests that the W3C has for Trace Context.
    #[test]
    fn a_traceparent_gives_its_trace_id_when_it_is_valid() {
        let (trace, parent) = ("12345678901234567890123456789012", "1234567890123456");
        let good = [
            format!("00-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-ff"),
            format!("01-{trace}-{parent}-01"),
            format!("cc-{trace}-{parent}-01-what-the-future-will-be-like"),
        ];
        for value in &good {
            assert_eq!(taken(&[("traceparent", value)]).as_deref(), Some(trace), "{value}");
            assert_eq!(taken(&[("x-request-id", "x y"), ("traceparent", value)]).as_deref(), Some(trace));
            assert_eq!(taken(&[("x-request-id", "x"), ("traceparent", value)]).as_deref(), Some("x"));
        }
        let zeros = "0".repeat(32);
        for value in [
            format!("ff-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-01-"),
            format!("00-{trace}-{parent}-01-more"),
            format!("cc-{trace}-{parent}-01.more"),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{}-{parent}-01", "ABCDEF78901234567890123456789012"),
            format!("00-{}-{parent}-01", &trace[1..]),
            format!("00-{trace}0-{parent}-01"),
            format!("00-{trace}-{parent}-1"),
            format!("00-{trace}-{parent}"),
            format!("0-{trace}-{parent}-01"),
            format!("00_{trace}_{parent}_01"),
            format!("00-é{}-{parent}-01", &trace[2..]),
            "-".repeat(55),
            String::new(),
        ] {
            assert_eq!(taken(&[("traceparent", &value)]), None, "{value}");
        }
        let value = ("traceparent", &*good[0]);
        assert_eq!(taken(&[value, value]), None, "two are none");
    }

    #[test]
    fn the_next_request_has_not_the_id_that_was_given_for_the_one_before() {
        let mut id = RequestId::of_connection();
        id.take_from(&|name| (name == "x-request-id").then_some(b"given".as_slice()));
        assert_eq!(id.to_string(), "given");
        id.advance();
        assert_ne!(id.to_string(), "given");
    }
}
