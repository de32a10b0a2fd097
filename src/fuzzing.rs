//! The functions that the fuzz targets of tests/fuzz call. Each tests the properties of a module that reads what clients send,
//! and panics when a property does not hold. The properties stand beside their modules. `cargo test` tries them too, with
//! [`inputs`], for machines where the fuzzer cannot run. Programs are built without this module.

/// See `http::head`.
pub fn head(input: &[u8]) {
    crate::http::request_head::properties::hold(input);
}

/// See `http::chunked`.
pub fn chunked(input: &[u8]) {
    crate::http::chunked::properties::hold(input);
}

/// See `http::incoming_response`.
#[cfg(feature = "proxy")]
pub fn response(input: &[u8]) {
    crate::http::incoming_response::properties::hold(input);
}

/// See `http::target`.
pub fn target(input: &[u8]) {
    crate::http::target::properties::hold(input);
}

/// See `router`.
pub fn router(input: &[u8]) {
    crate::router::properties::hold(input);
}

/// See `live::event`.
pub fn event(input: &[u8]) {
    crate::live::properties::hold(input);
}

/// See `live::socket`.
#[cfg(feature = "websocket")]
pub fn socket(input: &[u8]) {
    crate::live::socket_properties::hold(input);
}

/// See `operations::proxy_protocol`.
#[cfg(feature = "operations")]
pub fn proxy_header(input: &[u8]) {
    crate::operations::proxy_protocol::properties::hold(input);
}

/// See `web::json`.
pub fn json(input: &[u8]) {
    crate::web::json::properties::hold(input);
}

/// See `web::multipart`.
pub fn multipart(input: &[u8]) {
    crate::web::multipart::properties::hold(input);
}

/// See `web::range`.
pub fn range(input: &[u8]) {
    crate::web::range::properties::hold(input);
}

/// See `web::conditional`.
pub fn if_none_match(input: &[u8]) {
    crate::web::conditional::properties::hold(input);
}

/// See `web::accept_encoding`.
pub fn accept_encoding(input: &[u8]) {
    crate::web::accept_encoding::properties::hold(input);
}

/// See `tls::x509`.
pub fn certificate(input: &[u8]) {
    crate::tls::certificate_properties(input);
}

/// See `tls::post_quantum`.
#[cfg(feature = "post-quantum")]
pub fn post_quantum(input: &[u8]) {
    crate::tls::post_quantum::properties::hold(input);
}

/// Bytes that parsers often handle wrongly.
#[cfg(test)]
const DAMAGE: &[u8] = b"\r\n\0\t %:;,/.\x7f\xff";

/// Inputs made of `pieces` in random order, most of them damaged in one or two places. Every run has the same inputs.
#[cfg(test)]
pub(crate) fn inputs(count: usize, pieces: &'static [&'static str]) -> impl Iterator<Item = Vec<u8>> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    (0..count).map(move |_| {
        let mut input = Vec::new();
        for _ in 0..=dice.below(12) {
            input.extend_from_slice(pieces[dice.below(pieces.len())].as_bytes());
        }
        for _ in 0..dice.below(3) {
            let at = dice.below(input.len() + 1);
            let byte = match dice.below(4) {
                0 => dice.below(256) as u8,
                _ => DAMAGE[dice.below(DAMAGE.len())],
            };
            match dice.below(3) {
                0 => input.insert(at, byte),
                _ if at == input.len() => {}
                1 => input[at] = byte,
                _ => {
                    input.remove(at);
                }
            }
        }
        input
    })
}

/// xorshift64: weak random numbers, but the same on every machine.
#[cfg(test)]
struct Dice(u64);

#[cfg(test)]
impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }
}
