//! What the fuzz targets of tests/fuzz call: the properties of the modules that take in what clients send. Each stands
//! beside its module and panics when it does not hold. `cargo test` tries them too, with [`inputs`], for machines where
//! the fuzzer cannot run. Not part of the library that programs are built with.

/// See `http::head`.
pub fn head(input: &[u8]) {
    crate::http::request_head::properties::hold(input);
}

/// See `http::chunked`.
pub fn chunked(input: &[u8]) {
    crate::http::chunked::properties::hold(input);
}

/// See `http::target`.
pub fn target(input: &[u8]) {
    crate::http::target::properties::hold(input);
}

/// See `router`.
pub fn router(input: &[u8]) {
    crate::router::properties::hold(input);
}

/// See `tls::x509`.
pub fn certificate(input: &[u8]) {
    crate::tls::certificate_properties(input);
}

/// What parsers stumble over.
#[cfg(test)]
const DAMAGE: &[u8] = b"\r\n\0\t %:;,/.\x7f\xff";

/// Inputs made of `pieces` in any order, most of them damaged at a place or two; the same ones in each run.
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

/// xorshift64: no randomness to speak of, and the same everywhere.
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
