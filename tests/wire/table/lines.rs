//! The request line: method, target, version, and what ends it.

use super::{get, group, request, row, Closed, Group, Kept, Row};

pub fn rows() -> Vec<Row> {
    [
        group(Group::RequestLine, request_lines()),
        group(Group::Target, targets()),
        group(Group::Version, versions()),
    ]
    .concat()
}

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: localhost\r\n\r\n").into_bytes()
}

fn request_lines() -> Vec<Row> {
    const SPACES: &str = "any white space may separate the parts of a request line (§3)";
    const EMPTY_LINES: &str = "at least one empty line should be ignored (§2.2), and so more may be";
    vec![
        row("GET", "9112 §3", get("/"), &[200], Kept).says("root"),
        row("LF alone for all lines", "9112 §2.2", "GET / HTTP/1.1\nHost: localhost\n\n", &[400], Closed)
            .strict("LF alone may end a line (§2.2)"),
        row(
            "LF alone after the request line",
            "9112 §2.2",
            "GET / HTTP/1.1\nHost: localhost\r\n\r\n",
            &[400],
            Closed,
        )
        .strict("LF alone may end a line (§2.2)"),
        row(
            "CR alone after the request line",
            "9112 §2.2",
            "GET / HTTP/1.1\rHost: localhost\r\n\r\n",
            &[400],
            Closed,
        )
        .strict("CR alone may be replaced by a space (§2.2)"),
        row(
            "CR CR LF after the request line",
            "9112 §2.2",
            "GET / HTTP/1.1\r\r\nHost: localhost\r\n\r\n",
            &[400],
            Closed,
        )
        .strict("CR alone may be replaced by a space (§2.2)"),
        row(
            "LF CR after the request line",
            "9112 §2.2",
            "GET / HTTP/1.1\n\rHost: localhost\r\n\r\n",
            &[400],
            Closed,
        ),
        row("LF in front", "9112 §2.2", format!("\n{}", get("/")), &[400], Closed).strict(EMPTY_LINES),
        row("CR in front", "9112 §2.2", format!("\r{}", get("/")), &[400], Closed),
        row("NUL in front", "9112 §3", format!("\0{}", get("/")), &[400], Closed),
        row("a byte order mark in front", "9112 §3", format!("\u{feff}{}", get("/")), &[400], Closed),
        row("a space in front", "9112 §3", format!(" {}", get("/")), &[400], Closed).strict(SPACES),
        row("a tab in front", "9112 §3", format!("\t{}", get("/")), &[400], Closed).strict(SPACES),
        row("an empty line in front", "9112 §2.2", format!("\r\n{}", get("/")), &[200], Kept),
        row("two empty lines in front", "9112 §2.2", format!("\r\n\r\n{}", get("/")), &[400], Closed)
            .strict(EMPTY_LINES),
        row("three empty lines in front", "9112 §2.2", format!("\r\n\r\n\r\n{}", get("/")), &[400], Closed)
            .strict(EMPTY_LINES),
        row("two spaces before the target", "9112 §3", line("GET  / HTTP/1.1"), &[400], Closed)
            .strict(SPACES),
        row("two spaces before the version", "9112 §3", line("GET /  HTTP/1.1"), &[400], Closed)
            .strict(SPACES),
        row("a tab before the target", "9112 §3", line("GET\t/ HTTP/1.1"), &[400], Closed).strict(SPACES),
        row("a tab before the version", "9112 §3", line("GET /\tHTTP/1.1"), &[400], Closed).strict(SPACES),
        row("a form feed before the target", "9112 §3", line("GET\x0c/ HTTP/1.1"), &[400], Closed)
            .strict(SPACES),
        row("a space after the version", "9112 §3", line("GET / HTTP/1.1 "), &[400], Closed).strict(SPACES),
        row("a space in the target", "9112 §3.2", line("GET /a b HTTP/1.1"), &[400], Closed)
            .strict("a redirect to the target with the space encoded is possible (§3.2)"),
        row("only a method", "9112 §3", "GET\r\n\r\n", &[400], Closed),
        row("only a method and a space", "9112 §3", "GET \r\n\r\n", &[400], Closed),
        row("no method", "9112 §3", line(" / HTTP/1.1"), &[400], Closed),
        row("no method and no space", "9112 §3", line("/ HTTP/1.1"), &[400], Closed),
        row("no target", "9112 §3", line("GET HTTP/1.1"), &[400], Closed),
        row("a field in place of the request line", "9112 §3", "Host: localhost\r\n\r\n", &[400], Closed),
        row("a response", "9112 §4", "HTTP/1.1 200 OK\r\nHost: localhost\r\n\r\n", &[400], Closed),
        row("what an SSH client says", "9112 §3", "SSH-2.0-OpenSSH_9.6\r\n\r\n", &[400], Closed),
        row(
            "PROXY protocol, version 1",
            "9112 §3",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n",
            &[400],
            Closed,
        )
        .at_redirect(super::ends::PROXY),
        row("a method with an at sign", "9110 §9.1", request("G@T /", ""), &[400], Closed),
        row("a method with a slash", "9110 §9.1", request("GET/1 /", ""), &[400], Closed),
        row("a method in quotes", "9110 §9.1", request("\"GET\" /", ""), &[400], Closed),
        row("a method with a colon", "9110 §9.1", request("GET: /", ""), &[400], Closed),
        row("a method with NUL", "9110 §9.1", request("G\0T /", ""), &[400], Closed),
        row("a method that is not ASCII", "9110 §9.1", request("GÉT /", ""), &[400], Closed),
        row("a method of unusual letters", "9110 §9.1", request("G!#$%&'*+-.^_`|~ /", ""), &[501], Kept)
            .at_redirect(&[308]),
        row("a method that nobody knows", "9110 §15.6.2", request("BREW /", ""), &[501], Kept)
            .at_redirect(&[308]),
        row("a method in lower case", "9110 §9.1", request("get /", ""), &[501], Kept).at_redirect(&[308]),
        row("a long method", "9110 §15.6.2", request(&format!("{} /", "A".repeat(300)), ""), &[501], Kept)
            .at_redirect(&[308]),
        row("a method that the path has not", "9110 §15.5.6", request("DELETE /", ""), &[405], Kept),
        row(
            "PUT where there is none",
            "9110 §15.5.6",
            request("PUT /", "Content-Length: 0\r\n"),
            &[405],
            Kept,
        ),
        row("TRACE", "9110 §9.3.8", request("TRACE /", ""), &[405], Kept),
        row(
            "a method for a path that is not there",
            "9110 §15.5.5",
            request("DELETE /missing", ""),
            &[404],
            Kept,
        ),
        row("CONNECT", "9110 §9.3.6", request("CONNECT localhost:443", ""), &[501], Closed),
        row("CONNECT with a path", "9110 §9.3.6", request("CONNECT /", ""), &[501], Closed),
        row("OPTIONS", "9110 §9.3.7", request("OPTIONS /", ""), &[204], Kept),
        row(
            "OPTIONS with a body",
            "9110 §9.3.7",
            [request("OPTIONS /", "Content-Length: 3\r\n"), b"abc".into()].concat(),
            &[204],
            Kept,
        ),
        row("OPTIONS for nothing", "9110 §9.3.7", request("OPTIONS /missing", ""), &[404], Kept),
    ]
}

fn targets() -> Vec<Row> {
    const DOTS: &str = "dot segments may be resolved (RFC 3986 §5.2.4)";
    const AS_IT_IS: &str =
        "a target that is not valid may be answered with a redirect, or be taken as it is (§3.2)";
    let target = |target: &str| request(&format!("GET {target}"), "");
    // Right as a line; the path in it is what is refused, so the connection goes on. The redirect refuses it too.
    let path = |name, rfc, path: &str| row(name, rfc, target(path), &[400], Kept);
    vec![
        row("a path", "9112 §3.2.1", target("/"), &[200], Kept),
        row("a query", "9112 §3.2.1", target("/?a=b?c//d/../e%zz"), &[200], Kept),
        row("an empty query", "9112 §3.2.1", target("/?"), &[200], Kept),
        row("an encoded letter", "3986 §2.3", target("/%6Darker"), &[200], Kept).says("marker"),
        row("an encoded question mark", "3986 §2.2", target("/%3Fa"), &[404], Kept),
        row("an unknown path", "9110 §15.5.5", target("/missing"), &[404], Kept),
        row("a path with a slash behind it", "9110 §15.5.5", target("/marker/"), &[404], Kept),
        row("a path in capitals", "9110 §4.2.3", target("/MARKER"), &[404], Kept),
        row("a double slash within", "9110 §4.2.3", target("/a//marker"), &[404], Kept),
        row("what looks like a host", "9112 §3.2.1", target("//evil/"), &[400], Closed)
            .strict("an empty first segment is a path (RFC 3986 §3.3)"),
        row("what looks like a host, alone", "9112 §3.2.1", target("//"), &[400], Closed)
            .strict("an empty first segment is a path (RFC 3986 §3.3)"),
        row("what looks like a host behind backslashes", "9112 §3.2.1", target("/\\\\evil"), &[400], Closed)
            .strict(AS_IT_IS),
        path("an encoded slash", "3986 §2.2", "/%2F?").strict("an encoded slash is data within a segment"),
        path("an encoded backslash", "3986 §2.2", "/%5c")
            .strict("an encoded backslash is data within a segment"),
        path("an encoded NUL", "3986 §7.3", "/%00"),
        path("an encoded line break", "3986 §7.3", "/%0d%0aX:%20a")
            .strict("encoded control characters are data"),
        path("an encoded DEL", "3986 §7.3", "/%7f").strict("encoded control characters are data"),
        path("half a percent", "3986 §2.1", "/%4").strict("a stray percent may stand for itself"),
        path("a percent alone", "3986 §2.1", "/%").strict("a stray percent may stand for itself"),
        path("a percent of letters", "3986 §2.1", "/%zz").strict("a stray percent may stand for itself"),
        path("a percent with a sign", "3986 §2.1", "/%+1").strict("a stray percent may stand for itself"),
        path("a percent that is not UTF-8", "3986 §2.5", "/%ff").strict("a path is bytes"),
        path("an overlong encoding of a dot", "3629 §3", "/%c0%ae%c0%ae/").strict("a path is bytes"),
        path("half of a surrogate pair", "3629 §3", "/%ed%a0%80").strict("a path is bytes"),
        path("a dot segment", "3986 §3.3", "/./").strict(DOTS),
        path("a dot segment at the end", "3986 §3.3", "/a/.").strict(DOTS),
        path("dot segments upwards", "3986 §3.3", "/../../etc/passwd").strict(DOTS),
        path("encoded dot segments", "3986 §3.3", "/%2e%2E/").strict(DOTS),
        path("a half encoded dot segment", "3986 §3.3", "/.%2e").strict(DOTS),
        row("dots that are no dot segment", "3986 §3.3", target("/..."), &[404], Kept),
        row("a percent that is encoded twice", "3986 §2.4", target("/%252e%252e/"), &[404], Kept),
        row("a fragment", "9112 §3.2.1", target("/#a"), &[400], Closed).strict(AS_IT_IS),
        row("a backslash", "9112 §3.2.1", target("/\\evil"), &[400], Closed).strict(AS_IT_IS),
        row("a backslash in a query", "9112 §3.2", target("/?a=\\b\\"), &[200], Kept),
        row(
            "a backslash in a query in absolute form",
            "9112 §3.2",
            target("https://localhost/?\\"),
            &[200],
            Kept,
        ),
        row("a backslash before a query", "9112 §3.2.1", target("/a\\?b"), &[400], Closed).strict(AS_IT_IS),
        row("a backslash and a fragment in a query", "9112 §3.2.1", target("/?\\#a"), &[400], Closed)
            .strict(AS_IT_IS),
        row(
            "a backslash for the end of a host",
            "9112 §3.2.2",
            target("https://localhost\\@evil/?a"),
            &[400],
            Closed,
        ),
        row("what browsers leave in a query", "9112 §3.2", target("/?[]{}|^`'\\"), &[200], Kept),
        row("quotes in a query", "9112 §3.2.1", target("/?\"a\""), &[400], Closed).strict(AS_IT_IS),
        row("quotes", "9112 §3.2.1", target("/\"a\""), &[400], Closed).strict(AS_IT_IS),
        row("angle brackets", "9112 §3.2.1", target("/<script>"), &[400], Closed).strict(AS_IT_IS),
        // No valid target, but browsers send them, and nobody reads them in two ways.
        row("a bar and braces in a query", "9112 §3.2", target("/?{a|b}"), &[200], Kept),
        row("a bar and braces in a path", "9112 §3.2", target("/{a|b}"), &[404], Kept),
        row("a byte that is not ASCII", "9112 §3.2.1", target("/ä"), &[400], Closed).strict(AS_IT_IS),
        row(
            "a byte that is not UTF-8",
            "9112 §3.2.1",
            &b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            &[400],
            Closed,
        )
        .strict(AS_IT_IS),
        row("NUL in the target", "9112 §3.2", target("/\0"), &[400], Closed),
        row("a control character", "9112 §3.2", target("/\x01"), &[400], Closed),
        row("DEL in the target", "9112 §3.2", target("/\x7f"), &[400], Closed),
        row("no slash", "9112 §3.2.1", target("marker"), &[400], Closed),
        row("a query without a path", "9112 §3.2.1", target("?a"), &[400], Closed),
        row("a dot in place of a slash", "9112 §3.2.1", target("./marker"), &[400], Closed),
        row("absolute form", "9112 §3.2.2", target("https://localhost/marker"), &[200], Kept).says("marker"),
        row("absolute form in clear", "9112 §3.2.2", target("http://localhost:80/?a"), &[200], Kept),
        row("absolute form in capitals", "3986 §3.1", target("HTTPS://LOCALHOST/"), &[200], Kept),
        row(
            "absolute form for another host than Host",
            "9112 §3.2.2",
            target("https://device.local/host"),
            &[200],
            Kept,
        )
        .says("device.local")
        .at_redirect(&[421]),
        row("absolute form without a path", "9112 §3.2.2", target("https://localhost"), &[400], Closed)
            .strict("an empty path stands for / (RFC 9110 §4.2.3)"),
        row("absolute form with a query alone", "9112 §3.2.2", target("https://localhost?a"), &[400], Closed)
            .strict("an empty path stands for / (RFC 9110 §4.2.3)"),
        row("absolute form without a host", "9110 §4.2.2", target("https:///"), &[400], Closed),
        row(
            "absolute form with a double slash",
            "9112 §3.2.2",
            target("https://localhost//evil"),
            &[400],
            Closed,
        )
        .strict("an empty first segment is a path (RFC 3986 §3.3)"),
        row("absolute form with one slash", "9112 §3.2.2", target("https:/localhost/"), &[400], Closed),
        row("another scheme", "9112 §3.2.2", target("ftp://localhost/"), &[400], Closed),
        row("the scheme of a file", "9112 §3.2.2", target("file:///etc/passwd"), &[400], Closed),
        row("user information", "9110 §4.2.4", target("https://user@localhost/"), &[400], Closed)
            .strict("user information may be ignored, as an error it should be treated (RFC 9110 §4.2.4)"),
        row(
            "user information with a password",
            "9110 §4.2.4",
            target("https://user:pw@localhost/"),
            &[400],
            Closed,
        )
        .strict("user information may be ignored, as an error it should be treated (RFC 9110 §4.2.4)"),
        row(
            "a port over 65535 in the target",
            "3986 §3.2.3",
            target("https://localhost:65536/"),
            &[400],
            Closed,
        ),
        row("an authority alone", "9112 §3.2.3", target("localhost:443"), &[400], Closed),
        row("an asterisk with GET", "9112 §3.2.4", target("*"), &[400], Closed),
        row("an asterisk with OPTIONS", "9112 §3.2.4", request("OPTIONS *", ""), &[204], Kept),
        row("an asterisk and more with OPTIONS", "9112 §3.2.4", request("OPTIONS */a", ""), &[400], Closed),
    ]
}

fn versions() -> Vec<Row> {
    let version = |version: &str| line(&format!("GET / {version}"));
    vec![
        row("HTTP/1.1", "9112 §2.3", version("HTTP/1.1"), &[200], Kept),
        row("no version", "9112 §3", line("GET /"), &[400], Closed)
            .strict("HTTP/0.9 had none (RFC 1945 §4.1)"),
        row("no version and no field", "9112 §3", "GET /\r\n\r\n", &[400], Closed)
            .strict("HTTP/0.9 had none (RFC 1945 §4.1)"),
        row("a version in lower case", "9112 §2.3", version("http/1.1"), &[400], Closed),
        row("a version of two digits", "9112 §2.3", version("HTTP/1.10"), &[400], Closed),
        row("a version with leading zeros", "9112 §2.3", version("HTTP/01.1"), &[400], Closed),
        row("a version without a minor number", "9112 §2.3", version("HTTP/1"), &[400], Closed),
        row("a version with a comma", "9112 §2.3", version("HTTP/1,1"), &[400], Closed),
        row("a version of letters", "9112 §2.3", version("HTTP/a.b"), &[400], Closed),
        row("a version with a sign", "9112 §2.3", version("HTTP/+1.1"), &[400], Closed),
        row("a version without numbers", "9112 §2.3", version("HTTP/"), &[400], Closed),
        row("another protocol", "9112 §2.3", version("HTCPCP/1.0"), &[400], Closed),
        row("more behind the version", "9112 §3", version("HTTP/1.1 x"), &[400], Closed),
        row("HTTP/0.9", "9110 §15.6.6", version("HTTP/0.9"), &[505], Closed),
        row("HTTP/1.2", "9110 §2.5", version("HTTP/1.2"), &[505], Closed)
            .strict("a higher minor version may be answered as 1.1 (RFC 9110 §2.5)"),
        row("HTTP/2.0", "9110 §15.6.6", version("HTTP/2.0"), &[505], Closed),
        row("HTTP/3.0", "9110 §15.6.6", version("HTTP/3.0"), &[505], Closed),
        row("HTTP/2's preface", "9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505], Closed),
    ]
}
