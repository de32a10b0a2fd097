//! The same conditional requests and ranges to nginx and to lockgate, for the same files. What each answers stands in the table;
//! where they differ, the table says why.

mod support;

#[path = "support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use lockgate::web::Files;
use lockgate::Router;

use peers::NGINX;
use support::{serve, Client, Shape, SAFETY};

/// `Last-Modified` of both files.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LENGTH: usize = 100;

/// A request, and what is answered. `ETAG` in a field stands for the server's own.
struct Case {
    request: &'static str,
    fields: &'static [&'static str],
    ours: &'static str,
    /// What nginx answers, if that is something else, and why.
    nginx: Option<(&'static str, &'static str)>,
}

const fn same(request: &'static str, fields: &'static [&'static str], ours: &'static str) -> Case {
    Case { request, fields, ours, nginx: None }
}

const fn other(
    request: &'static str,
    fields: &'static [&'static str],
    ours: &'static str,
    nginx: &'static str,
    why: &'static str,
) -> Case {
    Case { request, fields, ours, nginx: Some((nginx, why)) }
}

const FILE: &str = "GET /file.txt";
const HEAD: &str = "HEAD /file.txt";
const EMPTY: &str = "GET /empty.txt";

const CASES: &[Case] = &[
    same(FILE, &[], "200"),
    same(HEAD, &[], "200"),
    same(EMPTY, &[], "200"),
    same("GET /none.txt", &[], "404"),
    // Ranges.
    same(FILE, &["Range: bytes=0-0"], "206 0-0"),
    same(FILE, &["Range: bytes=10-19"], "206 10-19"),
    same(FILE, &["Range: bytes=90-"], "206 90-99"),
    same(FILE, &["Range: bytes=-10"], "206 90-99"),
    same(FILE, &["Range: bytes=-1000"], "206 0-99"),
    same(FILE, &["Range: bytes=0-"], "206 0-99"),
    same(FILE, &["Range: bytes=50-1000"], "206 50-99"),
    same(FILE, &["Range: bytes=99-99"], "206 99-99"),
    same(FILE, &["Range: BYTES=0-0"], "206 0-0"),
    same(FILE, &["Range: bytes= 0-0"], "206 0-0"),
    same(FILE, &["Range: bytes=100-"], "416 */100"),
    same(FILE, &["Range: bytes=100-200"], "416 */100"),
    same(FILE, &["Range: bytes=-0"], "416 */100"),
    same(FILE, &["Range: items=0-0"], "200"),
    same(FILE, &["Range: 0-0"], "200"),
    same(FILE, &["Range: bytes 0-0"], "200"),
    same(FILE, &["Range: bytes=0-0,50-59"], "206 0-0 50-59"),
    same(FILE, &["Range: bytes=50-59, 0-0, -1"], "206 50-59 0-0 99-99"),
    same(FILE, &["Range: bytes=0-0,200-"], "206 0-0"),
    same(FILE, &["Range: bytes=200-,300-"], "416 */100"),
    other(
        FILE,
        &["Range: bytes=5-4"],
        "200",
        "416 */100",
        "RFC 9110 §14.2 lets an invalid set be ignored, and a client gets what it can use; nginx refuses it",
    ),
    other(
        FILE,
        &["Range: bytes=a-b"],
        "200",
        "416 */100",
        "RFC 9110 §14.2 lets an invalid set be ignored, and a client gets what it can use; nginx refuses it",
    ),
    same(FILE, &["Range: bytes="], "200"),
    other(
        FILE,
        &["Range: bytes=-"],
        "200",
        "416 */100",
        "RFC 9110 §14.2 lets an invalid set be ignored, and a client gets what it can use; nginx refuses it",
    ),
    other(
        FILE,
        &["Range: bytes=0-0,5-4"],
        "200",
        "206 0-0",
        "one invalid range makes the set invalid (RFC 9110 §14.1.1); nginx passes over it",
    ),
    other(
        FILE,
        &["Range: bytes=0-0,"],
        "206 0-0",
        "416 */100",
        "a list may have empty elements (RFC 9110 §5.6.1.2)",
    ),
    other(
        FILE,
        &["Range: bytes=0-18446744073709551616"],
        "206 0-99",
        "416 */100",
        "a large number is behind the end, as any other (RFC 9110 §14.1.1)",
    ),
    other(
        FILE,
        &["Range: bytes=0-9,10-19"],
        "206 0-19",
        "206 0-9 10-19",
        "ranges that touch become one (RFC 9110 §15.3.7.2)",
    ),
    other(
        FILE,
        &["Range: bytes=0-9,5-19"],
        "206 0-19",
        "206 0-9 5-19",
        "ranges that overlap become one, so no byte is sent twice",
    ),
    other(
        FILE,
        &["Range: bytes=0-,0-"],
        "206 0-99",
        "200",
        "ranges that overlap become one; nginx sends all when the ranges are more than that",
    ),
    other(
        FILE,
        &["Range: bytes=0-0", "Range: bytes=1-1"],
        "200",
        "206 0-0",
        "the field may stand once; nginx takes the first",
    ),
    other(HEAD, &["Range: bytes=0-9"], "200", "206 0-9", "RFC 9110 §14.2 defines ranges for GET alone"),
    same(EMPTY, &["Range: bytes=0-"], "200"),
    same(EMPTY, &["Range: bytes=-5"], "200"),
    // If-Range.
    same(FILE, &["Range: bytes=0-0", "If-Range: ETAG"], "206 0-0"),
    same(FILE, &["Range: bytes=0-0", "If-Range: \"other\""], "200"),
    same(FILE, &["Range: bytes=0-0", "If-Range: W/ETAG"], "200"),
    same(FILE, &["Range: bytes=0-0", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"], "206 0-0"),
    same(FILE, &["Range: bytes=0-0", "If-Range: Sun, 06 Nov 1994 08:49:38 GMT"], "200"),
    same(FILE, &["Range: bytes=0-0", "If-Range: x"], "200"),
    same(FILE, &["Range: bytes=200-", "If-Range: \"other\""], "200"),
    // If-None-Match and If-Modified-Since.
    same(FILE, &["If-None-Match: ETAG"], "304"),
    same(HEAD, &["If-None-Match: ETAG"], "304"),
    same(FILE, &["If-None-Match: W/ETAG"], "304"),
    same(FILE, &["If-None-Match: \"a\", ETAG"], "304"),
    same(FILE, &["If-None-Match: *"], "304"),
    same(FILE, &["If-None-Match: \"other\""], "200"),
    other(
        FILE,
        &["If-None-Match: \"a\"", "If-None-Match: ETAG"],
        "304",
        "400",
        "a list may stand in several lines (RFC 9110 §5.3)",
    ),
    same(FILE, &["If-None-Match: ETAG", "Range: bytes=0-0"], "304"),
    same(FILE, &["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], "304"),
    same(FILE, &["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], "304"),
    same(FILE, &["If-Modified-Since: Sun Nov  6 08:49:37 1994"], "304"),
    same(FILE, &["If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"], "200"),
    other(
        FILE,
        &["If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT"],
        "304",
        "200",
        "not modified since a later date (RFC 9110 §13.1.3); nginx wants the same date",
    ),
    same(FILE, &["If-Modified-Since: yesterday"], "200"),
    same(FILE, &["If-None-Match: \"other\"", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], "200"),
    other(
        FILE,
        &["If-None-Match: ETAG", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"],
        "304",
        "200",
        "the tag decides, and the date is ignored (RFC 9110 §13.1.3)",
    ),
    // If-Match and If-Unmodified-Since.
    same(FILE, &["If-Match: ETAG"], "200"),
    same(FILE, &["If-Match: *"], "200"),
    same(FILE, &["If-Match: \"other\""], "412"),
    same(FILE, &["If-Match: W/ETAG"], "412"),
    same(FILE, &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], "200"),
    same(FILE, &["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"], "412"),
    same(FILE, &["If-Match: \"other\"", "If-None-Match: ETAG"], "412"),
    other(
        FILE,
        &["If-Match: ETAG", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"],
        "200",
        "412",
        "the tag decides, and the date is ignored (RFC 9110 §13.1.4)",
    ),
    same(FILE, &["If-Match: \"other\"", "Range: bytes=0-0"], "412"),
];

#[test]
fn nginx_and_lockgate_answer_conditions_and_ranges_alike_or_the_table_says_why_not() {
    let test = "nginx_and_lockgate_answer_conditions_and_ranges_alike_or_the_table_says_why_not";
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    for (name, content) in [("file.txt", content()), ("empty.txt", Vec::new())] {
        fs::write(root.join(name), content).unwrap();
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::open(root.join(name)).unwrap().set_modified(date).unwrap();
    }
    let Some((mut nginx, address)) = start(test, dir.path(), &root) else { return };
    let serving = serve(Router::new().folder("/", Files::dir(&root).handler()));
    let ask_ours = |case: &Case, tag: &str| {
        let mut client = serving.connect();
        client.send(request(case, tag));
        ours(&mut client, case)
    };
    let ask_nginx = |case: &Case, tag: &str| theirs(address, &request(case, tag), case);

    let first = same(FILE, &[], "200");
    let (our_tag, their_tag) = (ask_ours(&first, "").etag, ask_nginx(&first, "").etag);
    let mut faults = Vec::new();
    for case in CASES {
        let expected = case.nginx.map_or(case.ours, |(nginx, _)| nginx);
        for (who, answer, expected) in [
            ("lockgate", ask_ours(case, &our_tag), case.ours),
            ("nginx", ask_nginx(case, &their_tag), expected),
        ] {
            let (shown, wrong) = answer.shown(case);
            if shown != expected || !wrong.is_empty() {
                faults.push(format!(
                    "{who}: {} {:?}: {shown}, not {expected} {wrong}",
                    case.request, case.fields
                ));
            }
        }
        if let Some((nginx, why)) = case.nginx {
            assert!(nginx != case.ours && !why.is_empty(), "{:?}", case.fields);
        }
    }
    nginx.kill().unwrap();
    nginx.wait().unwrap();
    assert!(faults.is_empty(), "{} faults of {}:\n{}", faults.len(), CASES.len(), faults.join("\n"));
}

fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| b'!' + (at % 90) as u8).collect()
}

fn request(case: &Case, tag: &str) -> String {
    let fields: String =
        case.fields.iter().map(|field| format!("{}\r\n", field.replace("ETAG", tag))).collect();
    format!("{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n", case.request)
}

struct Answer {
    status: u16,
    etag: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The status and the ranges; and what is wrong beside that.
    fn shown(&self, case: &Case) -> (String, String) {
        let mut wrong = String::new();
        let range = self.field("content-range").map(|range| range.trim_start_matches("bytes ").to_string());
        let whole = if case.request == EMPTY { Vec::new() } else { content() };
        let is_head = case.request == HEAD;
        let shown = match (self.status, range) {
            (206, Some(range)) => {
                let range = range.trim_end_matches("/100").to_string();
                if !is_head && self.body != slice(&range) {
                    wrong.push_str("the body is another");
                }
                format!("206 {range}")
            }
            (206, None) => format!("206 {}", self.parts(&mut wrong)),
            (416, Some(range)) => format!("416 {range}"),
            (200, _) => {
                if !is_head && self.body != whole {
                    wrong.push_str("the body is not the file");
                }
                "200".to_string()
            }
            (status, _) => status.to_string(),
        };
        if self.status == 304 && (self.field("etag").is_none() || !self.body.is_empty()) {
            wrong.push_str("no tag, or a body");
        }
        if matches!(self.status, 200 | 206) && self.field("last-modified") != Some(DATE) {
            wrong.push_str("another date");
        }
        (shown, wrong)
    }

    /// The ranges of a body of several parts, each part compared.
    fn parts(&self, wrong: &mut String) -> String {
        let media_type = self.field("content-type").unwrap_or_default();
        let Some(boundary) = media_type.strip_prefix("multipart/byteranges; boundary=") else {
            wrong.push_str(media_type);
            return String::new();
        };
        let body = String::from_utf8(self.body.clone()).unwrap();
        let mark = format!("\r\n--{boundary}");
        let mut parts = body.split(mark.as_str());
        if parts.next() != Some("") || !body.ends_with(&format!("{mark}--\r\n")) {
            wrong.push_str("the body begins or ends otherwise");
        }
        let mut ranges = Vec::new();
        for part in parts.filter(|part| *part != "--\r\n") {
            let (head, content) = part.split_once("\r\n\r\n").unwrap();
            let line = head.lines().find_map(|line| line.strip_prefix("Content-Range: bytes ")).unwrap();
            let range = line.trim_end_matches("/100").to_string();
            if content.as_bytes() != slice(&range) {
                wrong.push_str("a part is another");
            }
            ranges.push(range);
        }
        ranges.join(" ")
    }
}

fn slice(range: &str) -> Vec<u8> {
    let (first, last) = range.split_once('-').unwrap();
    content()[first.parse().unwrap()..=last.parse::<usize>().unwrap()].to_vec()
}

fn ours(client: &mut Client, case: &Case) -> Answer {
    let shape = if case.request == HEAD { Shape::HeadOnly } else { Shape::WithBody };
    let reply = client.try_reply(shape).unwrap_or_else(|end| panic!("{:?}: {end:?}", case.fields));
    let etag = reply.field("etag").unwrap_or_default().to_string();
    Answer { status: reply.status, etag, fields: reply.fields, body: reply.body }
}

/// Asks nginx, in clear.
fn theirs(address: SocketAddr, request: &str, case: &Case) -> Answer {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(SAFETY)).unwrap();
    tcp.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(tcp);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let status = lines[0][9..12].parse().unwrap_or_else(|_| panic!("{:?}: {lines:?}", case.fields));
    let fields: Vec<(String, String)> = lines[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    let etag = fields.iter().find(|(name, _)| name == "etag").map(|(_, value)| value.clone());
    Answer { status, etag: etag.unwrap_or_default(), fields, body }
}

/// nginx, serving this folder on a port that is free; `None` when there is no such program here.
fn start(test: &str, dir: &Path, root: &Path) -> Option<(Child, SocketAddr)> {
    // Another program may take a port between its choice and its use.
    for _ in 0..5 {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (dir, root) = (dir.to_str().unwrap(), root.to_str().unwrap());
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("    {of}_temp_path {dir}/temp;\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error info;\nevents {{}}\nhttp {{\n{temp}    \
             access_log off;\n    server {{ listen {address}; root {root}; }}\n}}\n"
        );
        fs::write(format!("{dir}/conf"), config).unwrap();
        let mut command = NGINX.command(test, &[])?;
        let prefix = format!("{dir}/");
        command.args(["-p", &prefix, "-e", &format!("{dir}/error"), "-c", &format!("{dir}/conf")]);
        let mut child = command.spawn().unwrap();
        let until = Instant::now() + SAFETY;
        loop {
            if TcpStream::connect(address).is_ok() {
                return Some((child, address));
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            assert!(Instant::now() < until, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("nginx does not start");
}
