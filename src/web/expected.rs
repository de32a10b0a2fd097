//! What a text should have been, in words for a client, and the text itself as far as a client is shown it. The readers of paths,
//! queries and forms call it.

use std::any::type_name;
use std::fmt;

use crate::escape;

/// The most characters of a client's text that it is shown.
const MOST_CHARACTERS: usize = 40;

/// What is expected of a text that is read as a `T`, for the types that everybody knows. `None` for others, whose names are the
/// program's own.
pub(super) fn expected<T>() -> Option<&'static str> {
    by_name(type_name::<T>())
}

pub(super) fn by_name(name: &str) -> Option<&'static str> {
    Some(match name.rsplit("::").next().unwrap_or(name) {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number from 0 to 18446744073709551615",
        "u128" => "a whole number from 0 to 2^128-1",
        // As many bits as the device has.
        "usize" => "a whole number that is not negative",
        "isize" => "a whole number",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "i128" => "a whole number from -2^127 to 2^127-1",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        "char" => "one character",
        "IpAddr" => "an IP address",
        "Ipv4Addr" => "an IPv4 address",
        "Ipv6Addr" => "an IPv6 address",
        "SocketAddr" => "an IP address and a port",
        _ => return None,
    })
}

/// A client's text, in quotes and in one line.
pub(super) fn shown(text: &str) -> impl fmt::Display + '_ {
    Shown(text)
}

struct Shown<'t>(&'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", escape::bounded(self.0, MOST_CHARACTERS))
    }
}
