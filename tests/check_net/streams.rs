//! Answers that never end, or are too large to be read whole: the part that was read is judged.

use std::sync::Arc;

use lockgate::check::Report;

use crate::certs::Root;
use crate::site::{beside, date, good, Answer, Request, Site};

fn over_https(handler: fn(&Request) -> Answer) -> Report {
    let root = Root::new();
    let site = Site { https: Arc::new(handler), ..Site::new(&root) }.start();
    site.check().phase_timeout(std::time::Duration::from_millis(500)).ca_file(root.file()).run().unwrap()
}

/// A head with these fields, and some of a body.
fn begun(fields: &str, body: &str) -> Answer {
    let text = format!("HTTP/1.1 200 OK\r\nDate: {}\r\n{fields}\r\n{body}", date(0));
    Answer { bytes: text.into_bytes(), closes: false }
}

const EVENTS: &str = "Content-Type: text/event-stream\r\n";

#[test]
fn a_streamed_answer_is_judged_by_its_first_part() {
    type Handler = fn(&Request) -> Answer;
    let cases: [(&[&str], Handler); 6] = [
        (&[], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => {
                begun(&format!("{EVENTS}Transfer-Encoding: chunked\r\n"), "9\r\ndata: 1\n\n\r\n")
            }
            ("HEAD", "/api/data") => begun(EVENTS, ""),
            _ => good(r),
        }),
        // Neither a length nor chunks: such a body ends with the connection.
        (&[], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => begun(EVENTS, "data: 1\n\n"),
            ("HEAD", "/api/data") => begun(EVENTS, ""),
            _ => good(r),
        }),
        // A stream that is not declared as one.
        (&[], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => begun("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n"),
            ("HEAD", "/api/data") => begun("", ""),
            _ => good(r),
        }),
        // The head is judged all the same.
        (&["cookie-not-secure"], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => begun(&format!("{EVENTS}Set-Cookie: a=b\r\n"), "data: 1\n\n"),
            ("HEAD", "/api/data") => begun(EVENTS, ""),
            _ => good(r),
        }),
        // Larger than what is read, in each framing.
        (&[], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => begun("Content-Length: 400000\r\n", &"x".repeat(400_000)),
            ("HEAD", "/api/data") => begun("Content-Length: 400000\r\n", ""),
            _ => good(r),
        }),
        (&[], |r| match (&r.method[..], &r.path[..]) {
            ("GET", "/api/data") => begun(
                "Transfer-Encoding: chunked\r\n",
                &format!("61a80\r\n{}\r\n0\r\n\r\n", "x".repeat(400_000)),
            ),
            ("HEAD", "/api/data") => begun("", ""),
            _ => good(r),
        }),
    ];
    for (index, (expected, handler)) in cases.into_iter().enumerate() {
        let report = over_https(handler);
        assert_eq!(beside(&report), expected, "case {index}: {:?}", report.unknown());
        assert_eq!(report.facts()["https"]["status"], 200, "case {index}");
        assert!(
            report.unknown().iter().any(|unknown| unknown.starts_with("the end of the answer")),
            "case {index}: {:?}",
            report.unknown()
        );
        assert!(report.facts()["https"].get("keep_alive").is_none(), "case {index}");
    }
}

#[test]
fn an_answer_that_ends_is_judged_whole_at_any_length() {
    let report = over_https(|r| match (&r.method[..], &r.path[..]) {
        ("GET", "/api/data") => begun("Content-Length: 200000\r\n", &"x".repeat(200_000)),
        ("HEAD", "/api/data") => begun("Content-Length: 200000\r\n", ""),
        _ => good(r),
    });
    assert_eq!(beside(&report), [""; 0]);
    assert_eq!(report.unknown(), [""; 0]);
    assert_eq!(report.facts()["https"]["keep_alive"], true);
}

#[test]
fn an_answer_without_a_head_is_none() {
    let nothing = over_https(|_| Answer { bytes: b"HTTP/1.1 200 OK\r\n".to_vec(), closes: false });
    assert_eq!(beside(&nothing), ["no-answer"]);
}
