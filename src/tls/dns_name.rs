//! The rule for DNS names in certificates. It holds for the names that `cert csr` requests, that a device certifies itself,
//! that an authority is asked for, and for the check of a certificate's names.
//!
//! Knows text only. `device`, `acme` and `findings` call it, and the command does through `lockgate::internal`.

// Which of these are used depends on the features.
#![cfg_attr(not(any(feature = "check", feature = "device")), allow(dead_code))]

use std::fmt;

/// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why a text is not a DNS name for a certificate. It displays as a clause: "it is empty".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsNameFault {
    /// Nothing, or only a dot.
    Empty,
    /// Over 253 bytes.
    Long,
    /// A label is empty, or over 63 bytes.
    Label,
    /// A label begins or ends with a hyphen.
    Hyphen,
    /// A character that no name has.
    Character(char),
    /// Letters outside of ASCII, with the ASCII form if it is known.
    NotAscii(Option<String>),
    /// The last label is a number.
    Number,
    /// A wildcard that is not the whole first label, or that stands for a whole top-level domain.
    Wildcard,
}

impl fmt::Display for DnsNameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsNameFault::Empty => f.write_str("it is empty"),
            DnsNameFault::Long => write!(f, "it is over {LONGEST_NAME} bytes long"),
            DnsNameFault::Label => {
                write!(f, "what stands between two dots must have 1 to {LONGEST_LABEL} letters")
            }
            DnsNameFault::Hyphen => f.write_str("a hyphen stands at the start or the end of a label"),
            DnsNameFault::Character(c) => write!(f, "no name holds {c:?}"),
            DnsNameFault::NotAscii(Some(ascii)) => {
                write!(f, "it holds letters outside of ASCII; in a certificate it is {ascii}")
            }
            DnsNameFault::NotAscii(None) => {
                f.write_str("it holds letters outside of ASCII; in a certificate it has an xn-- form")
            }
            DnsNameFault::Number => {
                f.write_str("it ends in a number, so clients take it for an IPv4 address")
            }
            DnsNameFault::Wildcard => f.write_str(
                "a wildcard is the whole first label, with two more at least behind it, as in *.gate.example",
            ),
        }
    }
}

/// Checks a name and returns it in lower case. It must be in the preferred name syntax (RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC
/// 1123 §2.1). Underscores are accepted too, because they occur in practice, and so is one wildcard at the start (RFC 9525
/// §6.3). A dot at the end is not accepted.
///
/// # Errors
///
/// What is wrong with it.
pub fn dns_name(text: &str) -> Result<String, DnsNameFault> {
    match check(text) {
        Ok(()) => Ok(text.to_ascii_lowercase()),
        Err(DnsNameFault::NotAscii(_)) => {
            let foreign = text.chars().find(|c| !c.is_ascii() && !c.is_alphanumeric());
            Err(foreign.map_or_else(|| DnsNameFault::NotAscii(in_ascii(text)), DnsNameFault::Character))
        }
        Err(fault) => Err(fault),
    }
}

/// The same rule, but without the ASCII form in the error. The ASCII form needs Unicode tables, which programs that only check
/// names should not link.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(text: &str) -> Result<(), DnsNameFault> {
    if text.is_empty() || text == "." {
        return Err(DnsNameFault::Empty);
    }
    // Clients refuse a wildcard for a whole top-level domain.
    let rest = match text.strip_prefix("*.") {
        Some(rest) if !rest.contains('.') => return Err(DnsNameFault::Wildcard),
        Some(rest) => rest,
        None => text,
    };
    for c in rest.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => {}
            '*' => return Err(DnsNameFault::Wildcard),
            c if c.is_ascii() => return Err(DnsNameFault::Character(c)),
            _ => return Err(DnsNameFault::NotAscii(None)),
        }
    }
    if text.len() > LONGEST_NAME {
        return Err(DnsNameFault::Long);
    }
    for label in rest.split('.') {
        if !(1..=LONGEST_LABEL).contains(&label.len()) {
            return Err(DnsNameFault::Label);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DnsNameFault::Hyphen);
        }
    }
    // By the WHATWG URL standard browsers read a host whose last label is a number as an IPv4 address.
    if rest.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(DnsNameFault::Number);
    }
    Ok(())
}

/// The name in ASCII: each label in its `xn--` form (RFC 5890 §2.3.2.1). Letters become lower case but are not normalized
/// otherwise, so a name with combining marks has no such form here.
pub fn in_ascii(text: &str) -> Option<String> {
    if text.len() > LONGEST_NAME || text.chars().any(|c| matches!(c, '\u{300}'..='\u{36f}')) {
        return None;
    }
    let labels: Option<Vec<String>> = text.to_lowercase().split('.').map(a_label).collect();
    dns_name(&labels?.join(".")).ok()
}

fn a_label(label: &str) -> Option<String> {
    if label.is_ascii() {
        return Some(label.to_string());
    }
    Some(format!("xn--{}", punycode(label)?))
}

/// RFC 3492 §6.3. `None` when it overflows, which no label of bounded length does.
fn punycode(label: &str) -> Option<String> {
    const BASE: u32 = 36;
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let points: Vec<u32> = label.chars().map(u32::from).collect();
    let (mut next, mut delta, mut bias, mut done) = (0x80_u32, 0_u32, 72_u32, basic);
    while (done as usize) < points.len() {
        let least = points.iter().copied().filter(|point| *point >= next).min()?;
        delta = delta.checked_add((least - next).checked_mul(done + 1)?)?;
        next = least;
        for &point in &points {
            if point < next {
                delta = delta.checked_add(1)?;
            }
            if point != next {
                continue;
            }
            let (mut left, mut position) = (delta, BASE);
            loop {
                let threshold = position.saturating_sub(bias).clamp(1, 26);
                if left < threshold {
                    break;
                }
                out.push(digit(threshold + (left - threshold) % (BASE - threshold))?);
                left = (left - threshold) / (BASE - threshold);
                position += BASE;
            }
            out.push(digit(left)?);
            bias = adapted(delta, done + 1, done == basic);
            (delta, done) = (0, done + 1);
        }
        (delta, next) = (delta.checked_add(1)?, next + 1);
    }
    Some(out)
}

/// RFC 3492 §6.1.
fn adapted(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut steps = 0;
    while delta > 35 * 26 / 2 {
        delta /= 35;
        steps += 36;
    }
    steps + 36 * delta / (delta + 38)
}

/// RFC 3492 §5.
fn digit(value: u32) -> Option<char> {
    let digits = b"abcdefghijklmnopqrstuvwxyz0123456789";
    digits.get(usize::try_from(value).ok()?).map(|digit| char::from(*digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_accepted_as_clients_meet_them() {
        for (text, name) in [
            ("Printer.Example", "printer.example"),
            ("printer", "printer"),
            ("my_box", "my_box"),
            ("_dmarc.example", "_dmarc.example"),
            ("xn--gnter-pc-65a", "xn--gnter-pc-65a"),
            ("3com.example", "3com.example"),
            ("123.local", "123.local"),
            ("*.gate.example", "*.gate.example"),
            ("*.x.gate.example", "*.x.gate.example"),
        ] {
            assert_eq!(dns_name(text).as_deref(), Ok(name), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_told_with_the_reason() {
        let (long_label, long_name) = ("a".repeat(64), ["a".repeat(63).as_str(); 4].join("."));
        for (text, fault) in [
            ("", DnsNameFault::Empty),
            (".", DnsNameFault::Empty),
            ("a..b", DnsNameFault::Label),
            (".a", DnsNameFault::Label),
            ("a.", DnsNameFault::Label),
            (&*long_label, DnsNameFault::Label),
            (&*long_name, DnsNameFault::Long),
            ("-a", DnsNameFault::Hyphen),
            ("a.b-", DnsNameFault::Hyphen),
            ("a b", DnsNameFault::Character(' ')),
            ("a\0b", DnsNameFault::Character('\0')),
            ("a\u{202e}b", DnsNameFault::Character('\u{202e}')),
            ("https://a.example", DnsNameFault::Character(':')),
            ("a.example:443", DnsNameFault::Character(':')),
            ("a.example/x", DnsNameFault::Character('/')),
            ("192.168.1.0/24", DnsNameFault::Character('/')),
            ("123", DnsNameFault::Number),
            ("1.2.3", DnsNameFault::Number),
            ("192.0.2.300", DnsNameFault::Number),
            ("*", DnsNameFault::Wildcard),
            ("*.", DnsNameFault::Wildcard),
            ("*.local", DnsNameFault::Wildcard),
            ("*.*.example", DnsNameFault::Wildcard),
            ("a.*.example", DnsNameFault::Wildcard),
            ("*a.b.example", DnsNameFault::Wildcard),
        ] {
            assert_eq!(dns_name(text), Err(fault), "{text:?}");
        }
        let shown = DnsNameFault::Character('\u{202e}').to_string();
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }

    /// The first three are made by Python's codec "idna", the next by RFC 3492 §7.1.
    #[test]
    fn a_name_in_another_script_is_told_in_its_own_form_for_certificates() {
        for (text, ascii) in [
            ("Günter-PC", "xn--gnter-pc-65a"),
            ("drücker.bücher.example", "xn--drcker-4ya.xn--bcher-kva.example"),
            ("пример", "xn--e1afmkfd"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("*.müller.example", "*.xn--mller-kva.example"),
        ] {
            assert_eq!(dns_name(text), Err(DnsNameFault::NotAscii(Some(ascii.to_string()))), "{text}");
        }
        for text in ["gu\u{308}nter", &"ü".repeat(80), "ü..x"] {
            let fault = dns_name(text).unwrap_err();
            assert!(
                matches!(fault, DnsNameFault::NotAscii(None) | DnsNameFault::Character(_)),
                "{text}: {fault:?}"
            );
        }
    }
}
