//! Field lines, and the one that every request has.

use super::{get, group, request, row, Closed, Group, Kept, Row};

pub fn rows() -> Vec<Row> {
    [group(Group::FieldSyntax, field_syntax()), group(Group::Host, hosts())].concat()
}

fn field_syntax() -> Vec<Row> {
    const FOLDED: &str = "a folded line may be joined by spaces (§5.2)";
    const LF: &str = "LF alone may end a line (§2.2)";
    const CR: &str = "CR alone may be replaced by a space (§2.2)";
    const CONTROL: &str =
        "control characters may be replaced by spaces, or kept within a value that is safe (RFC 9110 §5.5)";
    let field = |field: &str| request("GET /", &format!("{field}\r\n"));
    let raw = |field: &[u8]| [b"GET /value HTTP/1.1\r\nHost: localhost\r\n", field, b"\r\n\r\n"].concat();
    let mut rows = vec![
        row("a field", "9112 §5", raw(b"X: a"), &[200], Kept).says("a"),
        row("an empty value", "9110 §5.5", raw(b"X:"), &[200], Kept).says(""),
        row("a value of white space", "9112 §5.1", raw(b"X: \t "), &[200], Kept).says(""),
        row("white space around a value", "9112 §5.1", raw(b"X: \t a \t"), &[200], Kept).says("a"),
        row("no white space before a value", "9112 §5.1", raw(b"X:a"), &[200], Kept).says("a"),
        row("white space within a value", "9110 §5.5", raw(b"X: a \t b"), &[200], Kept).says("a \t b"),
        row("a colon within a value", "9112 §5", raw(b"X: a: b"), &[200], Kept).says("a: b"),
        row("a name in capitals", "9110 §5.1", request("GET /", "ACCEPT: */*\r\n"), &[200], Kept),
        row("a name of all letters that names have", "9110 §5.6.2", field("!#$%&'*+-.^_`|~09azAZ: a"), &[200], Kept),
        row("a field again", "9110 §5.3", field("X: a\r\nX: b"), &[200], Kept),
        row("a value that is not UTF-8", "9110 §5.5", raw(b"X: \xff\xc3\x28"), &[200], Kept),
        row("a value that is UTF-8", "9110 §5.5", raw("X: ä€".as_bytes()), &[200], Kept).says("ä€"),
        row("LF alone after a field", "9112 §2.2", "GET / HTTP/1.1\r\nHost: localhost\n\r\n", &[400], Closed).strict(LF),
        row("LF alone between fields", "9112 §2.2", field("X: a\nY: b"), &[400], Closed).strict(LF),
        row("LF alone at the end", "9112 §2.2", "GET / HTTP/1.1\r\nHost: localhost\r\n\n", &[400], Closed).strict(LF),
        row("LF LF at the end", "9112 §2.2", "GET / HTTP/1.1\r\nHost: localhost\n\n", &[400], Closed).strict(LF),
        row("CR alone at the end", "9112 §2.2", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\r\n\r\n", &[400], Closed).strict(CR),
        row("CR alone in a value", "9112 §2.2", field("X: a\rb"), &[400], Closed).strict(CR),
        row("CR alone between fields", "9112 §2.2", field("X: a\rY: b"), &[400], Closed).strict(CR),
        row("CR CR LF after a field", "9112 §2.2", field("X: a\r"), &[400], Closed).strict(CR),
        row("CR in a name", "9110 §5.1", field("X\rY: a"), &[400], Closed),
        row("a folded line", "9112 §5.2", field("X: a\r\n b"), &[400], Closed).strict(FOLDED),
        row("a folded line with a tab", "9112 §5.2", field("X: a\r\n\tb"), &[400], Closed).strict(FOLDED),
        row("a folded line that is empty", "9112 §5.2", field("X: a\r\n "), &[400], Closed).strict(FOLDED),
        row("a value that begins on the next line", "9112 §5.2", field("X:\r\n a"), &[400], Closed).strict(FOLDED),
        row("a folded length", "9112 §5.2", request("GET /", "Content-Length:\r\n 3\r\n"), &[400], Closed).strict(FOLDED),
        row("white space before the first field", "9112 §2.2", "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", &[400], Closed)
            .strict("such lines may be dropped, up to the next good one (§2.2)"),
        row("a tab before the first field", "9112 §2.2", "GET / HTTP/1.1\r\n\tHost: localhost\r\n\r\n", &[400], Closed)
            .strict("such lines may be dropped, up to the next good one (§2.2)"),
        row("a line of spaces", "9112 §5.2", field("  "), &[400], Closed).strict(FOLDED),
        row("no name", "9112 §5", field(": a"), &[400], Closed),
        row("no name and no value", "9112 §5", field(":"), &[400], Closed),
        row("no colon", "9112 §5", field("X"), &[400], Closed),
        row("no colon, and white space", "9112 §5", field("X a"), &[400], Closed),
        row("a space before the colon", "9112 §5.1", field("X : a"), &[400], Closed),
        row("a tab before the colon", "9112 §5.1", field("X\t: a"), &[400], Closed),
        row("a space in a name", "9110 §5.1", field("X Y: a"), &[400], Closed),
        row("a slash in a name", "9110 §5.1", field("X/Y: a"), &[400], Closed),
        row("brackets in a name", "9110 §5.1", field("X[Y]: a"), &[400], Closed),
        row("a name in quotes", "9110 §5.1", field("\"X\": a"), &[400], Closed),
        row("NUL in a name", "9110 §5.1", field("X\0: a"), &[400], Closed),
        row("a name that is not ASCII", "9110 §5.1", field("X-ä: a"), &[400], Closed),
        row("a request line for a field", "9112 §5", field("GET / HTTP/1.1"), &[400], Closed),
        row("options between commas", "9110 §5.6.1", field("Connection: TE,,Keep-Alive"), &[200], Kept),
        row("close among options", "9110 §7.6.1", field("Connection: TE,,close"), &[200], Closed),
        row("close in a second line", "9110 §7.6.1", field("Connection: TE\r\nConnection: close"), &[200], Closed),
        row("close in capitals", "9110 §7.6.1", field("Connection: CLOSE"), &[200], Closed),
        row("tabs and spaces around close", "9110 §5.5", field("Connection:\t close \t "), &[200], Closed),
        row("tabs and spaces around close among options", "9110 §5.6.1", field("Connection: TE\t,\tclose\t"), &[200], Closed),
        row("what is only like close", "9110 §7.6.1", field("Connection: closed, \"close\""), &[200], Kept),
        row("Upgrade to HTTP/2 in clear", "9110 §7.8", field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), &[200], Kept),
        row("a range", "9110 §14.2", field("Range: bytes=0-0,1-1,2-2"), &[200], Kept),
        row("an empty field section", "9112 §3.2", "GET / HTTP/1.1\r\n\r\n", &[400], Closed),
        row("an empty line between requests", "9112 §2.2", format!("{}\r\n{}", get("/"), get("/")), &[200, 200], Kept),
    ];
    for (name, byte) in [
        ("NUL", 0u8),
        ("the first control character", 1),
        ("a backspace", 8),
        ("a vertical tab", 0x0b),
        ("a form feed", 0x0c),
        ("an escape", 0x1b),
        ("the last control character", 0x1f),
        ("DEL", 0x7f),
    ] {
        rows.push(
            row(
                format!("{name} in a value"),
                "9110 §5.5",
                raw(&[b"X: a", &[byte][..], b"b"].concat()),
                &[400],
                Closed,
            )
            .strict(CONTROL),
        );
    }
    rows
}

fn hosts() -> Vec<Row> {
    let host = |fields: &str| format!("GET /host HTTP/1.1\r\n{fields}\r\n");
    let other = |name, rfc, fields: &str| row(name, rfc, host(fields), &[200], Kept).at_redirect(&[421]);
    vec![
        row("a name", "9110 §7.2", host("Host: localhost\r\n"), &[200], Kept).says("localhost"),
        row("a name and a port", "9110 §7.2", host("Host: localhost:8443\r\n"), &[200], Kept)
            .says("localhost"),
        row(
            "tabs and spaces around a host",
            "9110 §5.5",
            host("Host:\t localhost:8443 \t\r\n"),
            &[200],
            Kept,
        )
        .says("localhost"),
        row("a host in capitals", "9110 §4.2.3", host("HOST: LOCALHOST\r\n"), &[200], Kept),
        other("another name", "9110 §7.4", "Host: device.local\r\n").says("device.local"),
        other("an IPv4 address", "3986 §3.2.2", "Host: 192.0.2.1\r\n").says("192.0.2.1"),
        other("an IPv6 address and a port", "3986 §3.2.2", "Host: [2001:db8::1]:8443\r\n")
            .says("2001:db8::1"),
        row("none", "9112 §3.2", host(""), &[400], Closed),
        row("none, in absolute form", "9112 §3.2", "GET https://localhost/ HTTP/1.1\r\n\r\n", &[400], Closed),
        row("two", "9112 §3.2", host("Host: localhost\r\nHost: evil\r\n"), &[400], Closed),
        row("two that agree", "9112 §3.2", host("Host: localhost\r\nHost: localhost\r\n"), &[400], Closed),
        row("two, far apart", "9112 §3.2", host("Host: localhost\r\nX: a\r\nhOST: evil\r\n"), &[400], Closed),
        row("an empty one", "9112 §3.2", host("Host:\r\n"), &[400], Closed)
            .strict("it is empty where the target has no authority (§3.2)"),
        row("an empty one and a good one", "9112 §3.2", host("Host:\r\nHost: localhost\r\n"), &[400], Closed),
        row(
            "an empty one in absolute form",
            "9112 §3.2.2",
            "GET https://localhost/ HTTP/1.1\r\nHost:\r\n\r\n",
            &[400],
            Closed,
        )
        .strict("Host may be ignored when the target is absolute (§3.2.2)"),
        row(
            "one that is none in absolute form",
            "9112 §3.2.2",
            "GET https://localhost/ HTTP/1.1\r\nHost: a b\r\n\r\n",
            &[400],
            Closed,
        )
        .strict("Host may be ignored when the target is absolute (§3.2.2)"),
        row("one with a space before the colon", "9112 §5.1", host("Host : localhost\r\n"), &[400], Closed),
        row("one with CR", "9112 §2.2", host("Host: local\rhost\r\n"), &[400], Closed),
        row("one with LF", "9112 §2.2", host("Host: local\nhost\r\n"), &[400], Closed),
        row("one with CRLF and a space", "9112 §5.2", host("Host: local\r\n host\r\n"), &[400], Closed),
        row("one with a space", "3986 §3.2.2", host("Host: local host\r\n"), &[400], Closed),
        row("one with NUL", "3986 §3.2.2", host("Host: local\0host\r\n"), &[400], Closed),
        row("a list", "3986 §3.2.2", host("Host: localhost, evil\r\n"), &[400], Closed)
            .strict("a comma is allowed in a registered name (RFC 3986 §3.2.2)"),
        row("a name in quotes for a host", "3986 §3.2.2", host("Host: \"localhost\"\r\n"), &[400], Closed),
        row("a name with a percent", "3986 §3.2.2", host("Host: local%68ost\r\n"), &[400], Closed)
            .strict("a registered name may be percent-encoded (RFC 3986 §3.2.2)"),
        row("a URL", "9110 §7.2", host("Host: https://localhost\r\n"), &[400], Closed),
        row("one with a path", "9110 §7.2", host("Host: localhost/evil\r\n"), &[400], Closed),
        row("one with a query", "9110 §7.2", host("Host: localhost?evil\r\n"), &[400], Closed),
        row("one with a fragment", "9110 §7.2", host("Host: localhost#evil\r\n"), &[400], Closed),
        row("one with user information", "9110 §7.2", host("Host: user@localhost\r\n"), &[400], Closed),
        row("one that is not ASCII", "3986 §3.2.2", host("Host: löcalhost\r\n"), &[400], Closed),
        row(
            "one that is over-long",
            "1035 §2.3.4",
            host(&format!("Host: {}\r\n", "a".repeat(256))),
            &[400],
            Closed,
        ),
        row("only a port", "9110 §7.2", host("Host: :443\r\n"), &[400], Closed),
        row("a port of letters", "3986 §3.2.3", host("Host: localhost:http\r\n"), &[400], Closed),
        row("an empty port", "3986 §3.2.3", host("Host: localhost:\r\n"), &[200], Kept).says("localhost"),
        other("an empty port after an address", "3986 §3.2.3", "Host: [2001:db8::1]:\r\n")
            .says("2001:db8::1"),
        row("an empty port and no name", "3986 §3.2.3", host("Host: :\r\n"), &[400], Closed),
        row("two empty ports", "3986 §3.2.3", host("Host: localhost::\r\n"), &[400], Closed),
        row("a port over 65535", "3986 §3.2.3", host("Host: localhost:65536\r\n"), &[400], Closed),
        row("a port below zero", "3986 §3.2.3", host("Host: localhost:-1\r\n"), &[400], Closed),
        row("two ports", "3986 §3.2.3", host("Host: localhost:1:2\r\n"), &[400], Closed),
        row("half a bracket", "3986 §3.2.2", host("Host: [::1\r\n"), &[400], Closed),
        row("the other half", "3986 §3.2.2", host("Host: ::1]\r\n"), &[400], Closed),
        row("an IPv6 address without brackets", "3986 §3.2.2", host("Host: 2001:db8::1\r\n"), &[400], Closed),
        row("a name in brackets", "3986 §3.2.2", host("Host: [localhost]\r\n"), &[400], Closed),
        other("a zone in brackets", "6874 §2", "Host: [fe80::1%25eth0]\r\n").says("fe80::1"),
        other("a zone as it is written elsewhere", "4007 §11.2", "Host: [fe80::1%eth0]:8443\r\n")
            .says("fe80::1"),
        other("a zone that is a number", "4007 §11.2", "Host: [FE80::1%2]\r\n").says("FE80::1"),
        row("an empty zone", "6874 §2", host("Host: [fe80::1%]\r\n"), &[400], Closed),
        row("a zone that is the number 25", "6874 §2", host("Host: [fe80::1%25]\r\n"), &[200], Kept)
            .says("fe80::1")
            .at_redirect(&[421]),
        row("a zone that leaves the bracket", "6874 §2", host("Host: [fe80::1%]evil]\r\n"), &[400], Closed),
        row("a zone with a slash", "6874 §2", host("Host: [fe80::1%a/b]\r\n"), &[400], Closed),
        row("a zone with an at sign", "6874 §2", host("Host: [fe80::1%a@evil]\r\n"), &[400], Closed),
        row(
            "an over-long zone",
            "6874 §2",
            host(&format!("Host: [fe80::1%{}]\r\n", "a".repeat(65))),
            &[400],
            Closed,
        ),
        row(
            "a zone of an address that has none",
            "4007 §6",
            host("Host: [2001:db8::1%eth0]\r\n"),
            &[400],
            Closed,
        )
        .strict("any address may be written with a zone (RFC 4007 §11.2)"),
        row("more behind the bracket", "3986 §3.2.2", host("Host: [::1]evil\r\n"), &[400], Closed),
    ]
}
