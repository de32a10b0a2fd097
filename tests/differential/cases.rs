//! The requests: their end, head or target is one that two programs might read differently. Each has the readings that a
//! careful proxy may choose from; `MARK` is replaced by what tells this case's requests from all others.

/// A request as a reading has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    pub method: &'static str,
    /// What follows `/MARK/` in the target.
    pub name: &'static str,
    pub body: Vec<u8>,
}

/// Bytes that are no request, and may be answered with a refusal.
const JUNK: Meant = Meant { method: "", name: "", body: Vec::new() };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Nothing is wrong with it: every request is served, in every proxy.
    All,
    /// Whatever is refused, nothing else than one of the readings is served.
    AtMost,
}

pub struct Case {
    pub name: String,
    pub sent: Vec<u8>,
    pub readings: Vec<Vec<Meant>>,
    pub served: Served,
}

const SMUGGLED: &str = "GET /MARK/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Ends the connection, so that nobody has to wait for a timer.
const LAST: &str = "GET /MARK/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// More than lockgate takes by default.
const TOO_MUCH: usize = 2 * 1024 * 1024;

pub fn all() -> Vec<Case> {
    let groups = [harmless(), codings(), lengths(), chunks(), lines(), targets(), versions(), unread()];
    groups.into_iter().flatten().collect()
}

fn meant(method: &'static str, name: &'static str, body: impl AsRef<[u8]>) -> Meant {
    Meant { method, name, body: body.as_ref().to_vec() }
}

fn last() -> Meant {
    meant("GET", "last", "")
}

fn smuggled() -> Meant {
    meant("GET", "smuggled", "")
}

fn get(name: &str) -> String {
    format!("GET /MARK/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A POST with these field lines, each ending as it shall; then its body, and the request that ends the connection.
fn post(fields: &str, body: &str) -> String {
    format!("POST /MARK/a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}{LAST}")
}

fn length(body: &str) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn case(
    name: impl Into<String>,
    sent: impl Into<Vec<u8>>,
    served: Served,
    readings: Vec<Vec<Meant>>,
) -> Case {
    Case { name: name.into(), sent: sent.into(), readings, served }
}

fn harmless() -> Vec<Case> {
    let all = |name: &str, sent: String, mut reading: Vec<Meant>| {
        reading.push(last());
        case(name, sent, Served::All, vec![reading])
    };
    let a = |method, body: &str| vec![meant(method, "a", body)];
    let with = |method: &str, fields: &str, body: &str| {
        format!("{method} /MARK/a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}{LAST}")
    };
    let large = "0123456789abcde\n".repeat(12_000);
    let three = format!("{}{}{}{LAST}", get("a"), get("b"), get("c"));
    vec![
        all("one request", LAST.into(), vec![]),
        all("pipelined", three, ["a", "b", "c"].map(|name| meant("GET", name, "")).into()),
        all("a body", post(&length("abc"), "abc"), a("POST", "abc")),
        all("an empty body", post("Content-Length: 0\r\n", ""), a("POST", "")),
        all("a chunked body", post(CHUNKED, &chunked("abc")), a("POST", "abc")),
        all("no chunk but the last", post(CHUNKED, "0\r\n\r\n"), a("POST", "")),
        all("chunks of one byte", post(CHUNKED, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"), a("POST", "abc")),
        all("a request as a body", post(&length(SMUGGLED), SMUGGLED), a("POST", SMUGGLED)),
        all("a request as a chunk", post(CHUNKED, &chunked(SMUGGLED)), a("POST", SMUGGLED)),
        all("a last chunk as a body", post(&length("0\r\n\r\n"), "0\r\n\r\n"), a("POST", "0\r\n\r\n")),
        all("a last chunk in a chunk", post(CHUNKED, &chunked("0\r\n\r\n")), a("POST", "0\r\n\r\n")),
        all("a body of 190 KiB", post(&length(&large), &large), a("POST", &large)),
        all("chunks of 190 KiB", post(CHUNKED, &chunked(&large)), a("POST", &large)),
        all("PUT", with("PUT", &length("abc"), "abc"), a("PUT", "abc")),
        all("DELETE with a body", with("DELETE", &length(SMUGGLED), SMUGGLED), a("DELETE", SMUGGLED)),
        all("HEAD", with("HEAD", "", ""), a("HEAD", "")),
        all("GET with a body", with("GET", &length(SMUGGLED), SMUGGLED), a("GET", SMUGGLED)),
        all(
            "an expectation, not waited for",
            post(&format!("Expect: 100-continue\r\n{}", length(SMUGGLED)), SMUGGLED),
            a("POST", SMUGGLED),
        ),
        all(
            "a body that the handler leaves",
            post(&length(SMUGGLED), SMUGGLED).replace("/MARK/a", "/MARK/unread"),
            vec![meant("POST", "unread", SMUGGLED)],
        ),
        all(
            "chunks that the handler leaves",
            post(CHUNKED, &chunked(SMUGGLED)).replace("/MARK/a", "/MARK/unread"),
            vec![meant("POST", "unread", SMUGGLED)],
        ),
        // The answer overtakes the body, and a proxy that still sends it may close its client's connection.
        case(
            "a large chunk that the handler leaves",
            post(CHUNKED, &chunked(&large)).replace("/MARK/a", "/MARK/unread"),
            Served::AtMost,
            vec![vec![meant("POST", "unread", &large), last()]],
        ),
    ]
}

/// Ways to write Transfer-Encoding, with and without a Content-Length that says otherwise.
fn codings() -> Vec<Case> {
    // These mean chunked whatever else there is (RFC 9112 §6.3); who does not refuse them must read them so.
    let valid = [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: CHUNKED\r\n",
        "Transfer-Encoding:chunked\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked \r\n",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        "Connection: content-length\r\nTransfer-Encoding: chunked\r\n",
    ];
    let doubtful = [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n , identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: 'chunked'\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0c\r\n",
        "Transfer-Encoding: \0chunked\r\n",
        "Transfer-Encoding: chunked\0\r\n",
        "Transfer-Encoding: chu\rnked\r\n",
        "Transfer-Encoding: chunked\r\r\n",
        "Transfer-Encoding: chunKed\u{212a}\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Transfer-Encodin\u{e9}: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "TE: chunked\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\r\n\tTransfer-Encoding: chunked\r\n",
        "Connection: close, transfer-encoding\r\nTransfer-Encoding: xchunked\r\n",
    ];
    let mut cases = Vec::new();
    let all = valid.iter().map(|line| (*line, true)).chain(doubtful.iter().map(|line| (*line, false)));
    for (line, is_valid) in all {
        // The length reaches over what would be a request after the last chunk.
        let hidden = format!("0\r\n\r\n{SMUGGLED}");
        let by_chunks = vec![meant("POST", "a", ""), smuggled(), last()];
        let by_length = vec![meant("POST", "a", &hidden), last()];
        let readings = if is_valid { vec![by_chunks] } else { vec![by_chunks, by_length] };
        let sent = post(&format!("{}{line}", length(&hidden)), &hidden);
        cases.push(case(format!("a length over {line:?}"), sent, Served::AtMost, readings));

        // The length ends before what would be a request inside of a chunk.
        let coded = chunked(SMUGGLED);
        let size = &coded[..coded.find('\n').unwrap() + 1];
        let by_chunks = vec![meant("POST", "a", SMUGGLED), last()];
        let by_length = vec![meant("POST", "a", size), smuggled(), JUNK];
        let readings = if is_valid { vec![by_chunks] } else { vec![by_chunks, by_length] };
        let sent = post(&format!("{line}{}", length(size)), &coded);
        cases.push(case(format!("a length within {line:?}"), sent, Served::AtMost, readings));

        let by_chunks = vec![meant("POST", "a", "abc"), last()];
        let without = vec![meant("POST", "a", ""), JUNK];
        let readings = if is_valid { vec![by_chunks] } else { vec![by_chunks, without] };
        cases.push(case(
            format!("no length, {line:?}"),
            post(line, &chunked("abc")),
            Served::AtMost,
            readings,
        ));
    }
    cases
}

/// Ways to write Content-Length over a body that is a request.
fn lengths() -> Vec<Case> {
    let n = SMUGGLED.len();
    let lines = [
        format!("Content-Length: {n}\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: {n}, {n}\r\n"),
        format!("Content-Length: {n}, 0\r\n"),
        format!("Content-Length: {n}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: 0\r\nContent-Length: {n}\r\n"),
        format!("Content-Length: +{n}\r\n"),
        format!("Content-Length: -{n}\r\n"),
        format!("Content-Length: {n:#x}\r\n"),
        format!("Content-Length: {n:#o}\r\n"),
        format!("Content-Length: 0{n}\r\n"),
        format!("Content-Length: {n} \r\n"),
        format!("Content-Length: \t{n}\r\n"),
        format!("Content-Length: {n}\t\r\n"),
        format!("Content-Length: {n} 0\r\n"),
        format!("Content-Length: {n}.0\r\n"),
        format!("Content-Length: {n}e0\r\n"),
        format!("Content-Length: {n};a\r\n"),
        format!("Content-Length: {n}\0\r\n"),
        format!("Content-Length: \x0b{n}\r\n"),
        format!("Content-Length: {}\r\n", (1_u128 << 64) + n as u128),
        format!("Content-Length: {}\r\n", (1_u128 << 32) + n as u128),
        "Content-Length: 99999999999999999999\r\n".into(),
        "Content-Length:\r\n".into(),
        "Content-Length: a\r\n".into(),
        format!("Content-Length : {n}\r\n"),
        format!("Content-Length\t: {n}\r\n"),
        format!(" Content-Length: {n}\r\n"),
        format!("Content-Length:\r\n {n}\r\n"),
        format!("Content_Length: {n}\r\n"),
        format!("Content-Length\0: {n}\r\n"),
        format!("X: a\nContent-Length: {n}\r\n"),
        format!("X: a\rContent-Length: {n}\r\n"),
        format!("Connection: content-length\r\nContent-Length: {n}\r\n"),
        format!("Expect: nonsense\r\nContent-Length: {n}\r\n"),
        format!("Expect: 100-continue, nonsense\r\nContent-Length: {n}\r\n"),
        format!("Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: {n}\r\n"),
        "Upgrade: websocket\r\nConnection: upgrade\r\n".into(),
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n".into(),
    ];
    let with_body = vec![meant("POST", "a", SMUGGLED), last()];
    let without = vec![meant("POST", "a", ""), smuggled(), last()];
    lines
        .iter()
        .map(|line| {
            let readings = vec![with_body.clone(), without.clone()];
            case(format!("{line:?}"), post(line, SMUGGLED), Served::AtMost, readings)
        })
        .collect()
}

/// Chunks that end where another reader might see them go on, around a request as data.
fn chunks() -> Vec<Case> {
    let n = SMUGGLED.len();
    let sizes = [
        format!("{n:x}\n"),
        format!("{n:x}\r"),
        format!("{n:x} \r\n"),
        format!(" {n:x}\r\n"),
        format!("{n:x}\t\r\n"),
        format!("0x{n:x}\r\n"),
        format!("+{n:x}\r\n"),
        format!("-{n:x}\r\n"),
        format!("{n:x}h\r\n"),
        format!("{n:x} {n:x}\r\n"),
        format!("{n:X}\r\n"),
        format!("00{n:x}\r\n"),
        format!("{n:040x}\r\n"),
        format!("1{n:016x}\r\n"),
        format!("1{n:08x}\r\n"),
        format!("{n:x};\r\n"),
        format!("{n:x};a=b\r\n"),
        format!("{n:x};a=\"b;c\"\r\n"),
        format!("{n:x};a=\"\r\n"),
        format!("{n:x};a\n"),
        format!("{n:x};a\r"),
        format!("{n:x};a\nb\r\n"),
        format!("{n:x};a\rb\r\n"),
        format!("{n:x};a\0\r\n"),
        format!("{n:x},a\r\n"),
        format!("{n:x};{}\r\n", "a".repeat(5000)),
        "\r\n".into(),
        ";a\r\n".into(),
        "g\r\n".into(),
    ];
    let reading = || vec![meant("POST", "a", SMUGGLED), last()];
    let mut cases: Vec<Case> = sizes
        .iter()
        .map(|size| {
            let sent = post(CHUNKED, &format!("{size}{SMUGGLED}\r\n0\r\n\r\n"));
            let name = format!("the chunk size {:?}", &size[..size.len().min(40)]);
            case(name, sent, Served::AtMost, vec![reading()])
        })
        .collect();
    for end in ["\n0\r\n\r\n", "\r0\r\n\r\n", "0\r\n\r\n", "XX0\r\n\r\n", "\r\r\n0\r\n\r\n", "\n\r0\r\n\r\n"]
    {
        let sent = post(CHUNKED, &format!("{n:x}\r\n{SMUGGLED}{end}"));
        cases.push(case(format!("the chunk's end {end:?}"), sent, Served::AtMost, vec![reading()]));
    }
    for end in [
        "0\n\n",
        "0\r\n\n",
        "0\n\r\n",
        "0\r\r\n\r\n",
        "0 \r\n\r\n",
        "-0\r\n\r\n",
        "0x0\r\n\r\n",
        "00000000000000000\r\n\r\n",
        "0;a\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: y\r\n\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nContent-Length: 50\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHost: evil\r\nConnection: close\r\n\r\n",
        // A program that takes the data for a chunk's end sees a trailer in the next request, or the reverse.
        "0\r\nGET /MARK/smuggled HTTP/1.1\r\nX: y\r\n\r\n",
        "0\r\n",
    ] {
        let sent = post(CHUNKED, &format!("{n:x}\r\n{SMUGGLED}\r\n{end}"));
        let mut reading = reading();
        reading.push(JUNK);
        cases.push(case(format!("the last chunk {end:?}"), sent, Served::AtMost, vec![reading]));
    }
    // A line break in an extension: who goes on to the CRLF skips what others take for data, and the other way round.
    let inner = format!("0\r\n\r\n{SMUGGLED}");
    for separator in ["\n", "\r", "\n\r"] {
        let body = format!("2;{separator}xx\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
        let readings = vec![
            vec![meant("POST", "a", format!("xx{inner}")), last()],
            vec![meant("POST", "a", "xx"), last()],
            vec![meant("POST", "a", inner.clone()), last()],
        ];
        let name = format!("an extension with {separator:?}");
        cases.push(case(name, post(CHUNKED, &body), Served::AtMost, readings));
    }
    cases
}

/// Lines that end, begin or go on in other ways.
fn lines() -> Vec<Case> {
    let head = |text: &str| format!("{text}{LAST}");
    let a = || vec![meant("GET", "a", ""), last()];
    let at_most = |name: &str, sent: String, readings| case(name, sent, Served::AtMost, readings);
    let field = |line: &str| format!("GET /MARK/a HTTP/1.1\r\nHost: localhost\r\n{line}\r\n{LAST}");
    let mut cases = vec![
        at_most("LF alone", head("GET /MARK/a HTTP/1.1\nHost: localhost\n\n"), vec![a()]),
        at_most("CR alone", head("GET /MARK/a HTTP/1.1\rHost: localhost\r\r"), vec![a()]),
        at_most("LF CR", head("GET /MARK/a HTTP/1.1\n\rHost: localhost\n\r\n\r"), vec![a()]),
        at_most("an empty line in front", head(&format!("\r\n{}", get("a"))), vec![a()]),
        at_most("empty lines in front", head(&format!("\r\n\r\n\n{}", get("a"))), vec![a()]),
        at_most("a NUL in front", head(&format!("\0{}", get("a"))), vec![a()]),
        at_most(
            "bytes after a body",
            post("Content-Length: 3\r\n", "abcXYZ\r\n"),
            vec![vec![meant("POST", "a", "abc"), JUNK]],
        ),
        at_most(
            "a method glued to a body",
            post("Content-Length: 3\r\n", "abcX"),
            vec![vec![meant("POST", "a", "abc"), JUNK]],
        ),
        at_most(
            "an empty line after a body",
            post("Content-Length: 3\r\n", "abc\r\n"),
            vec![vec![meant("POST", "a", "abc"), last()]],
        ),
        at_most(
            "a body that does not come",
            post("Content-Length: 1000\r\n", SMUGGLED),
            vec![vec![meant("POST", "a", "")]],
        ),
        at_most(
            "a fault between two requests",
            format!("{}GET\r\n\r\n{SMUGGLED}", get("a")),
            vec![vec![meant("GET", "a", ""), JUNK]],
        ),
        at_most(
            "many fields",
            field(&(0..90).map(|n| format!("x-{n}: 1\r\n")).collect::<String>()),
            vec![a()],
        ),
        at_most("a head of 20 KiB", field(&format!("X: {}\r\n", "a".repeat(20_000))), vec![a()]),
        at_most("four fields of 7 KiB", field(&format!("X: {}\r\n", "a".repeat(7_000)).repeat(4)), vec![a()]),
    ];
    for line in [
        "X: a\r\n b\r\n",
        "X: a\r\n\r\n b\r\n",
        "X : a\r\n",
        "X\r\n",
        ": a\r\n",
        "X Y: a\r\n",
        "X: a\0b\r\n",
        "X\0: a\r\n",
        "X: a\rb\r\n",
        "X: a\nb: c\r\n",
        "X: \x7f\r\n",
        "X: \u{fc}\r\n",
        "X\u{fc}: a\r\n",
        "  \r\n",
        "X_Y: a\r\n",
        "(X): a\r\n",
        "X: a\r\nHost: evil\r\n",
        "Host: localhost\r\n",
        "Host : evil\r\n",
        " Host: evil\r\n",
        "Host\r\n",
        "Connection: host\r\n",
        "Connection: close\r\n",
        "Connection: TE,,Keep-Alive\r\nKeep-Alive: timeout=9\r\n",
        "Proxy-Connection: close\r\n",
        "Range: bytes=0-0\r\nIf-None-Match: *\r\n",
        "X-HTTP-Method-Override: DELETE\r\n",
        "X: a\n\nGET /MARK/smuggled HTTP/1.1\nHost: localhost\n",
        "X: a\r\rGET /MARK/smuggled HTTP/1.1\rHost: localhost\r\n",
        "X: a\n\r\nGET /MARK/smuggled HTTP/1.1\r\nHost: localhost\r\n",
    ] {
        // An empty line of one kind or another may end the head early, and what follows is then a request indeed.
        let split = vec![meant("GET", "a", ""), smuggled(), last()];
        let name = format!("the line {:?}", &line[..line.len().min(60)]);
        cases.push(at_most(&name, field(line), vec![a(), split]));
    }
    cases
}

fn targets() -> Vec<Case> {
    let readings = || vec![vec![meant("GET", "a", ""), last()]];
    let mut cases = Vec::new();
    for line in [
        "GET http://localhost/MARK/a HTTP/1.1",
        "GET https://localhost/MARK/a HTTP/1.1",
        "GET http://evil/MARK/a HTTP/1.1",
        "GET http://user@localhost/MARK/a HTTP/1.1",
        "GET ftp://localhost/MARK/a HTTP/1.1",
        "GET //evil/MARK/a HTTP/1.1",
        "GET /MARK/../MARK/a HTTP/1.1",
        "GET /%2e%2e/MARK/a HTTP/1.1",
        "GET /MARK%2fa HTTP/1.1",
        "GET /MARK/a%00 HTTP/1.1",
        "GET /MARK/a%0d%0aX:%20y HTTP/1.1",
        "GET /MARK/a%zz HTTP/1.1",
        "GET /MARK/a# HTTP/1.1",
        "GET /MARK/a\\b HTTP/1.1",
        "GET /MARK/a\u{fc} HTTP/1.1",
        "GET /MARK/a b HTTP/1.1",
        "GET /MARK/a\tb HTTP/1.1",
        "GET /MARK/a HTTP/1.1 HTTP/1.1",
        "GET /MARK/smuggled HTTP/1.1/MARK/a HTTP/1.1",
        "GET  /MARK/a HTTP/1.1",
        "GET\t/MARK/a HTTP/1.1",
        " GET /MARK/a HTTP/1.1",
        "GET MARK/a HTTP/1.1",
        "GET localhost:443 HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT localhost:443 HTTP/1.1",
        "TRACE /MARK/a HTTP/1.1",
        "get /MARK/a HTTP/1.1",
        "G\0T /MARK/a HTTP/1.1",
    ] {
        let sent = format!("{line}\r\nHost: localhost\r\n\r\n{LAST}");
        cases.push(case(format!("{line:?}"), sent, Served::AtMost, readings()));
    }
    cases
}

fn versions() -> Vec<Case> {
    let n = SMUGGLED.len();
    let readings = || {
        vec![
            vec![meant("POST", "a", SMUGGLED), last()],
            vec![meant("POST", "a", ""), smuggled(), last()],
            vec![meant("POST", "a", chunked(SMUGGLED)), last()],
        ]
    };
    let coded = chunked(SMUGGLED);
    let mut cases = Vec::new();
    for version in
        ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/1.01", "HTTP/1.1 ", "http/1.1", "HTTP/1,1", ""]
    {
        for (fields, body) in [
            (format!("Content-Length: {n}\r\n"), SMUGGLED),
            (format!("Connection: keep-alive\r\nContent-Length: {n}\r\n"), SMUGGLED),
            ("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n".into(), &coded),
            (
                format!(
                    "Connection: keep-alive\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                    coded.len()
                ),
                &coded,
            ),
        ] {
            let sent = post(&fields, body).replacen("HTTP/1.1", version, 1);
            let name = format!("{version:?} with {fields:?}");
            cases.push(case(name, sent, Served::AtMost, readings()));
        }
    }
    cases
}

/// Requests that lockgate answers without looking at their bodies. What it leaves of them is no request.
fn unread() -> Vec<Case> {
    let mut cases = Vec::new();
    let large = SMUGGLED.repeat(TOO_MUCH / SMUGGLED.len());
    for line in [
        "POST /MARK/%zz HTTP/1.1",
        "POST /MARK/%2F HTTP/1.1",
        "POST /MARK/../a HTTP/1.1",
        "BREW /MARK/a HTTP/1.1",
        "PROPFIND /MARK/a HTTP/1.1",
        "TRACE /MARK/a HTTP/1.1",
        "OPTIONS /MARK/a HTTP/1.1",
        "HEAD /MARK/%zz HTTP/1.1",
        "POST /elsewhere HTTP/1.1",
    ] {
        for (fields, body) in [(length(SMUGGLED), SMUGGLED), (CHUNKED.into(), &chunked(SMUGGLED))] {
            let sent = format!("{line}\r\nHost: localhost\r\n{fields}\r\n{body}{LAST}");
            let method = if line.starts_with("HEAD") { "HEAD" } else { "POST" };
            let readings = vec![vec![meant(method, "nowhere", ""), last()]];
            cases.push(case(format!("{line:?} with {fields:?}"), sent, Served::AtMost, readings));
        }
    }
    for (name, fields, body) in [
        ("a body that is too large", length(&large), large.clone()),
        ("chunks that are too large", CHUNKED.into(), chunked(&large)),
    ] {
        let readings = vec![vec![meant("POST", "a", &large), last()]];
        cases.push(case(name, post(&fields, &body), Served::AtMost, readings));
    }
    cases
}
