//! Headers as balancers send them, and as nobody may. Many of the refused ones have broken other servers: the length that lies and the
//! addresses that are cut short (CVE-2019-10097 in Apache, a panic in Caddy's plug-in), `LOCAL` with an address that was believed
//! (Sōzu) or not skipped (go-proxyproto), and lines that end with LF or not at all (Squid).

use super::*;

const NOOP: u8 = 0x04;

/// A header of version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[0x20 | command, family], &length, block].concat()
}

const TCP4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xC5, 0x52, 1, 0xBB];

fn tcp6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    let destination: Ipv6Addr = "2001:db8::443".parse().unwrap();
    [&source.octets()[..], &destination.octets(), &[0xC5, 0x52, 1, 0xBB]].concat()
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// Of a client over IPv4, with values behind the addresses.
fn with(values: &[Vec<u8>]) -> Vec<u8> {
    v2(1, 0x11, &[TCP4, &values.concat()].concat())
}

fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderFault> {
    ProxyHeader::from_bytes(bytes)
}

/// Reads it in pieces of at most `most` bytes, with something behind it that must not be taken. Returns how much was taken too.
fn drip(header: &[u8], most: usize) -> (Result<Progress, ProxyHeaderFault>, usize) {
    let wire = [header, &[0x16, 3, 1, 2, 0]].concat();
    let (mut reading, mut at) = (Reading::default(), 0);
    loop {
        let room = reading.room();
        let count = room.len().min(most).min(wire.len() - at);
        assert!(count > 0, "it wants more than there is");
        room[..count].copy_from_slice(&wire[at..at + count]);
        at += count;
        match reading.filled(count) {
            Ok(Progress::Part) => {}
            result => return (result, at),
        }
    }
}

fn good() -> Vec<Vec<u8>> {
    let ssl = [&[7, 0, 0, 0, 0][..], &value(SSL_VERSION, b"TLSv1.3"), &value(SSL_CN, b"pump")].concat();
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN anything at all 1 2\r\n".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 91], b"\r\n"].concat(),
        b"PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n".to_vec(),
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
        b"PROXY TCP6 :: :: 1 1\r\n".to_vec(),
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".to_vec(),
        b"PROXY TCP6 ::FFFF:192.0.2.7 2001:DB8::1 50514 443\r\n".to_vec(),
        v2(0, 0, &[]),
        v2(0, 0x11, TCP4),
        v2(0, 0xFF, b"whatever"),
        v2(1, 0, &[]),
        v2(1, 0, b"not values"),
        v2(1, 0x11, TCP4),
        v2(1, 0x21, &tcp6("2001:db8::7")),
        v2(1, 0x12, TCP4),
        v2(1, 0x31, &[b'/'; 216]),
        with(&[value(ALPN, b"h2"), value(AUTHORITY, b"api.example"), value(UNIQUE_ID, &[9; 128])]),
        with(&[value(SSL, &ssl), value(NOOP, b""), value(NOOP, b"padding"), value(0xEA, b"\x01vpce-1")]),
        with(&[value(0xE0, &vec![0; BLOCK_BYTES - TCP4.len() - 3])]),
    ]
}

#[test]
fn a_header_is_the_same_however_it_comes_and_nothing_behind_it_is_taken() {
    for header in good() {
        let whole = read(&header).unwrap_or_else(|fault| panic!("{}: {fault}", header.escape_ascii()));
        for most in (1..20).chain([usize::MAX]) {
            let (result, taken) = drip(&header, most);
            assert_eq!(result, Ok(Progress::Whole(whole.clone())), "{}", header.escape_ascii());
            assert_eq!(taken, header.len(), "{} by {most}", header.escape_ascii());
        }
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Err(ProxyHeaderFault::Short), "{end}");
        }
        // Every split into two.
        for at in 1..header.len() {
            let mut reading = Reading::default();
            let (mut rest, mut left) = (&header[..], at);
            let result = loop {
                let room = reading.room();
                let count = if left > 0 { room.len().min(left) } else { room.len() };
                room[..count].copy_from_slice(&rest[..count]);
                (rest, left) = (&rest[count..], left.saturating_sub(count));
                match reading.filled(count) {
                    Ok(Progress::Part) => {}
                    result => break result,
                }
            };
            assert_eq!((result, rest.len()), (Ok(Progress::Whole(whole.clone())), 0));
        }
        assert_eq!(read(&[&header[..], &header].concat()), Err(Malformed("something follows it")));
    }
}

#[test]
fn what_holds_for_all_bytes_holds_for_headers_that_are_changed_or_cut() {
    for header in good() {
        for at in 0..header.len().min(300) {
            properties::hold(&header[..at]);
            for change in [0, 1, 0x0D, 0x20, 0x80, 0xFF] {
                let mut changed = header.clone();
                changed[at] ^= change;
                properties::hold(&[&changed[..], b"\x16\x03\x01"].concat());
            }
        }
    }
}

#[test]
fn a_header_names_the_client_or_nobody() {
    let addresses = |header: &[u8]| {
        let header = read(header).unwrap()?;
        Some((header.source().map(|at| at.to_string()), header.destination().map(|at| at.to_string())))
    };
    let both = |source: &str, destination: &str| Some((Some(source.into()), Some(destination.into())));
    for (header, expected) in [
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\r\n".to_vec(),
            both("192.0.2.7:50514", "198.51.100.1:443"),
        ),
        (b"PROXY TCP6 2001:DB8::7 ::1 1 2\r\n".to_vec(), both("[2001:db8::7]:1", "[::1]:2")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n".to_vec(), both("192.0.2.7:1", "[::1]:2")),
        (v2(1, 0x11, TCP4), both("192.0.2.7:50514", "198.51.100.1:443")),
        (v2(1, 0x21, &tcp6("2001:db8::7")), both("[2001:db8::7]:50514", "[2001:db8::443]:443")),
        (v2(1, 0x21, &tcp6("::ffff:192.0.2.7")), both("192.0.2.7:50514", "[2001:db8::443]:443")),
        // A client without an address that counts.
        (v2(1, 0, &[]), Some((None, None))),
        (v2(1, 0x12, TCP4), Some((None, None))),
        (v2(1, 0x31, &[0; 216]), Some((None, None))),
        // The balancer itself, whatever else stands there.
        (b"PROXY UNKNOWN 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), None),
        (v2(0, 0x11, TCP4), None),
        (v2(0, 0, &[]), None),
    ] {
        assert_eq!(addresses(&header), expected, "{}", header.escape_ascii());
    }
}

#[test]
fn lines_that_are_not_quite_right_are_refused() {
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r\n"].concat();
    assert_eq!(long.len(), LINE_BYTES + 1);
    assert_eq!(read(&long), Err(ProxyHeaderFault::TooLong));
    assert_eq!(read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat()), Err(ProxyHeaderFault::TooLong));
    for line in [
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\r\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514\r443\r\n",
        "PROXY  TCP4 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 443 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 443 5\r\n",
        "PROXY\tTCP4 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP4\t192.0.2.7 198.51.100.1 50514 443\r\n",
        "proxy TCP4 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP44 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY UDP4 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY unknown\r\n ",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 50514 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 50514 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 50514 443\r\n",
        "PROXY TCP4 0xC0000207 198.51.100.1 50514 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 50514 443\r\n",
        "PROXY TCP4 ::ffff:192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 50514 443\r\n",
        "PROXY TCP6 [2001:db8::7] 2001:db8::1 50514 443\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::1 50514 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 050514 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 00\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1\r\n",
        "PROXY TCP4 192.0.2.7\r\n",
        "PROXY TCP4 a\r\n  ",
        "PROXY TCP4 192.0.2.7 198.51.100.1 50514 443\0\r\n",
        "PROXY TCP4 192.0.2.7\u{a0}198.51.100.1 50514 443\r\n",
    ] {
        let result = read(line.as_bytes());
        let is_known = matches!(result, Err(Malformed(what)) if what != "something follows it")
            || !line.starts_with("PROXY ") && result == Err(ProxyHeaderFault::Missing);
        assert!(is_known, "{line:?}: {result:?}");
    }
}

#[test]
fn headers_of_version_2_that_lie_are_refused() {
    let malformed =
        |bytes: Vec<u8>| matches!(read(&bytes), Err(Malformed(what)) if what != "something follows it");
    for length in 0..12 {
        assert!(malformed(v2(1, 0x11, &TCP4[..length])), "{length}");
    }
    assert!(malformed(v2(1, 0x21, &tcp6("::1")[..35])));
    assert!(malformed(v2(1, 0x31, &[0; 215])));
    assert!(malformed(v2(1, 0x12, &TCP4[..11])));
    for family in (0..=0xFF).filter(|family| ![0, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32].contains(family)) {
        assert!(malformed(v2(1, family, &[0; 216])), "{family:x}");
    }
    for command in (0..=0xFF).filter(|command| ![0x20, 0x21].contains(command)) {
        let mut header = v2(1, 0x11, TCP4);
        header[12] = command;
        assert!(malformed(header), "{command:x}");
    }
    for values in [
        vec![vec![ALPN]],
        vec![vec![ALPN, 0]],
        vec![vec![ALPN, 0, 3, b'h', b'2']],
        vec![vec![0xE0, 0xFF, 0xFF]],
        vec![value(UNIQUE_ID, &[0; 129])],
        vec![value(AUTHORITY, b"a"), value(AUTHORITY, b"b")],
        vec![value(CRC32C, b"abc")],
        vec![value(SSL, &[1, 0, 0, 0])],
        vec![value(SSL, &[1, 0, 0, 0, 0, SSL_CN, 0, 2, b'a'])],
    ] {
        assert!(malformed(with(&values)), "{values:?}");
    }
    let long = v2(1, 0x11, &[0; BLOCK_BYTES + 1]);
    assert_eq!(drip(&long[..16], 16).0, Err(ProxyHeaderFault::TooLong), "before the rest has come");
    let longest = [&SIGNATURE[..], &[0x20, 0, 0xFF, 0xFF]].concat();
    assert_eq!(read(&longest), Err(ProxyHeaderFault::TooLong));
}

#[test]
fn what_is_no_header_is_known_by_its_first_bytes() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET / HTTP/1.1\r\n",
        b"PROXI",
        b"P\r",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\r\r",
        b"\0",
    ] {
        let mut reading = Reading::default();
        reading.room()[..bytes.len().min(15)].copy_from_slice(&bytes[..bytes.len().min(15)]);
        assert_eq!(
            reading.filled(bytes.len().min(15)),
            Err(ProxyHeaderFault::Missing),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(foreign(bytes), None);
    }
    assert_eq!(foreign(b"PROXY TCP4 192.0.2.7"), Some(Foreign::Header));
    assert_eq!(foreign(&v2(1, 0x11, TCP4)), Some(Foreign::Header));
    assert_eq!(foreign(&v2(0, 0, &[])), Some(Foreign::Local));
    assert_eq!(foreign(SIGNATURE), Some(Foreign::Header));
}

#[test]
fn the_checksum_is_checked_if_it_is_there() {
    // The vectors of RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[0; 32], 0..0), 0x8A91_36AA);
    assert_eq!(crc32c(&[0xFF; 32], 0..0), 0x62A8_AB43);
    assert_eq!(crc32c(b"123456789", 0..0), 0xE306_9283);
    let zeros = with(&[value(ALPN, b"h2"), value(CRC32C, &[0; 4]), value(NOOP, b"x")]);
    let at = zeros.len() - 8;
    let mut header = zeros.clone();
    header[at..at + 4].copy_from_slice(&crc32c(&zeros, 0..0).to_be_bytes());
    assert!(read(&header).unwrap().is_some());
    // The byte that says that it is a checksum cannot be covered by it.
    let kind = at - 3;
    for bit in (0..header.len() * 8).filter(|bit| bit / 8 != kind) {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Without addresses the values are to be ignored, so the family takes the checksum with it.
        let is_taken = read(&damaged).is_ok_and(|read| read.is_some_and(|read| read.source().is_some()));
        assert!(!is_taken, "bit {bit}");
    }
}

#[test]
fn what_the_values_say_is_shown_and_a_certificate_is_verified_only_if_it_was_shown() {
    let header = |values: &[Vec<u8>]| read(&with(values)).unwrap().unwrap();
    let told = header(&[value(ALPN, b"h2"), value(AUTHORITY, b"api.example"), value(UNIQUE_ID, &[7, 8])]);
    assert_eq!((told.alpn(), told.authority()), (Some(&b"h2"[..]), Some("api.example")));
    assert_eq!((told.unique_id(), told.tls(), told.value(0xEA)), (Some(&[7, 8][..]), None, None));
    assert_eq!(header(&[value(AUTHORITY, &[0xFF])]).authority(), None);
    assert_eq!(header(&[value(0xEA, b"\x01vpce")]).value(0xEA), Some(&b"\x01vpce"[..]));
    let ssl = |bits: u8, verify: [u8; 4]| {
        let inner = [
            &[bits][..],
            &verify,
            &value(SSL_VERSION, b"TLSv1.3"),
            &value(SSL_CN, b"pump"),
            &value(SSL_CIPHER, b"TLS_AES_128_GCM_SHA256"),
        ];
        header(&[value(SSL, &inner.concat())])
    };
    let whole = ssl(7, [0; 4]);
    let tls = whole.tls().unwrap();
    assert_eq!((tls.version(), tls.common_name()), (Some("TLSv1.3"), Some("pump")));
    assert_eq!(tls.cipher(), Some("TLS_AES_128_GCM_SHA256"));
    for (bits, verify, is_verified) in [
        (7, [0; 4], true),
        (3, [0; 4], true),
        (5, [0; 4], true),
        // No certificate: that nothing failed says nothing.
        (1, [0; 4], false),
        (7, [0, 0, 0, 1], false),
        (7, [1, 0, 0, 0], false),
    ] {
        let header = ssl(bits, verify);
        assert_eq!(header.tls().unwrap().client_certificate_verified(), is_verified, "{bits} {verify:?}");
    }
    assert_eq!(ssl(6, [0; 4]).tls(), None, "not over TLS");
}
