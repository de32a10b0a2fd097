//! The findings about HTTP, over TLS and without.

use std::sync::Arc;

use lockgate::check::Report;

use crate::certs::{leaf, Root};
use crate::site::{answer, beside, good, good_with, redirect, seen, Answer, Request, Site};

type Handler = fn(&Request) -> Answer;

fn over_https(root: &Root, handler: Handler) -> Report {
    Site { https: Arc::new(handler), ..Site::new(root) }.start().report(root)
}

fn over_http(root: &Root, handler: Handler) -> Report {
    Site { http: Some(Arc::new(handler)), ..Site::new(root) }.start().report(root)
}

#[test]
fn each_fault_of_the_answer_is_found_alone() {
    let root = Root::new();
    let cases: &[(&[&str], Handler)] = &[
        (&[], good),
        (&["cookie-not-secure"], |r| good_with(r, "Set-Cookie: session=abc; HttpOnly\r\n")),
        (&[], |r| good_with(r, "Set-Cookie: session=abc; HttpOnly; secure\r\n")),
        // RFC 6265 §5.2.5: the name decides, whatever the value.
        (&[], |r| good_with(r, "Set-Cookie: session=abc; Secure=1; HttpOnly\r\n")),
        (&[], |r| good_with(r, "Set-Cookie: session=abc;Secure = false\r\n")),
        (&["cookie-not-secure"], |r| {
            good_with(r, "Set-Cookie: session=Secure; Secured; SameSite=Secure\r\n")
        }),
        (&["hsts-invalid"], |r| good_with(r, "Strict-Transport-Security: includeSubDomains\r\n")),
        (&["hsts-locks-out"], |r| good_with(r, "Strict-Transport-Security: max-age=31536000\r\n")),
        // It removes an earlier HSTS.
        (&[], |r| good_with(r, "Strict-Transport-Security: max-age=0\r\n")),
        (&["http-links"], |r| answer(r, "200 OK", "", r#"{"next": "http://localhost/api/data?page=2"}"#)),
        (&[], |r| {
            answer(r, "200 OK", "", r#"{"next": "/api/data?page=2", "$schema": "http://localhost/s"}"#)
        }),
        (&["https-redirects-to-http"], |r| answer(r, "302 Found", "Location: http://localhost/\r\n", "")),
        (&["https-redirect-loop"], |r| answer(r, "302 Found", "Location: /elsewhere\r\n", "")),
        (&["https-redirect-loop"], |r| {
            answer(r, "308 Permanent Redirect", &format!("Location: {}x\r\n", r.path), "")
        }),
        // With the cookie the redirect may be another one.
        (&[], |r| answer(r, "302 Found", "Location: /api/data\r\nSet-Cookie: a=b; Secure\r\n", "")),
        (&[], |r| match r.path.as_str() {
            "/elsewhere" => answer(r, "200 OK", "", "{}"),
            _ => answer(r, "302 Found", "Location: /elsewhere\r\n", ""),
        }),
        // Over another address of the same server.
        (&["https-redirects-to-http"], |r| match r.path.as_str() {
            "/elsewhere" => answer(r, "302 Found", "Location: http://localhost/login\r\n", ""),
            _ => answer(r, "302 Found", "Location: /elsewhere\r\n", ""),
        }),
        // Other servers are not requested.
        (&[], |r| answer(r, "302 Found", "Location: https://other.test/\r\n", "")),
        // The request did not offer it, so a client need not understand it.
        (&["content-coding-unasked"], |r| good_with(r, "Content-Encoding: gzip\r\n")),
        (&["content-coding-unasked"], |r| good_with(r, "Content-Encoding: br\r\n")),
        (&[], |r| good_with(r, "Content-Encoding: identity\r\n")),
        (&["no-keep-alive"], |r| Answer { closes: true, ..good_with(r, "Connection: close\r\n") }),
        // The answer does not even say so.
        (&["no-keep-alive"], |r| Answer { closes: true, ..good(r) }),
        (&["head-refused"], |r| match r.method.as_str() {
            "HEAD" => answer(r, "405 Method Not Allowed", "", ""),
            _ => good(r),
        }),
        (&["date-missing"], |r| without(good(r), "Date: ")),
        (&["no-answer"], |_| Answer { bytes: b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), closes: true }),
        (&["no-answer"], |_| Answer { bytes: Vec::new(), closes: true }),
        // A server that only answers 404 is secure all the same.
        (&[], |r| answer(r, "404 Not Found", "", "")),
        (&[], |r| answer(r, "500 Internal Server Error", "", "")),
        // The server is, and the API behind it is not there.
        (&["gateway-error"], |r| answer(r, "502 Bad Gateway", "", "")),
        (&["gateway-error"], |r| answer(r, "503 Service Unavailable", "", "")),
        (&["gateway-error"], |r| answer(r, "504 Gateway Timeout", "", "")),
    ];
    for (index, (expected, handler)) in cases.iter().enumerate() {
        assert_eq!(beside(&over_https(&root, *handler)), *expected, "case {index}");
    }
}

/// Without the line that begins so.
fn without(answer: Answer, field: &str) -> Answer {
    let text = String::from_utf8(answer.bytes).unwrap();
    let kept: String = text.split_inclusive("\r\n").filter(|line| !line.starts_with(field)).collect();
    Answer { bytes: kept.into_bytes(), ..answer }
}

#[test]
fn an_answer_to_head_has_no_body_and_the_length_of_get() {
    let root = Root::new();
    let with_body = over_https(&root, |r| match r.method.as_str() {
        "HEAD" => answer(
            &Request { method: "GET".into(), path: r.path.clone(), head: String::new(), ports: r.ports },
            "200 OK",
            "",
            "no answer",
        ),
        _ => good(r),
    });
    assert_eq!(beside(&with_body), ["head-wrong"]);
    let other_length = over_https(&root, |r| match r.method.as_str() {
        "HEAD" => answer(r, "200 OK", "", "another body"),
        _ => good(r),
    });
    assert_eq!(beside(&other_length), ["head-wrong"]);
    assert!(seen(&other_length, "head-wrong").contains("Content-Length: 12"));
    // Contents that change with each request have another length each time.
    let changing = over_https(&root, |r| {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        answer(r, "200 OK", "", &"x".repeat(COUNT.fetch_add(1, Ordering::SeqCst)))
    });
    assert_eq!(beside(&changing), [""; 0]);
}

#[test]
fn hsts_belongs_to_public_certificates_of_names() {
    let root = Root::new();
    const FIELD: &str = "Strict-Transport-Security: max-age=31536000\r\n";
    let without = Site::new(&root).start();
    let with = Site { https: Arc::new(|r: &Request| good_with(r, FIELD)), ..Site::new(&root) }.start();
    let public =
        |site: &crate::site::Running| beside(&site.check().public_roots_file(root.file()).run().unwrap());
    assert_eq!(public(&without), ["hsts-missing"]);
    assert_eq!(public(&with), [""; 0]);
    assert_eq!(with.found(&root), ["hsts-locks-out"]);

    // A self-signed certificate, and an address.
    let own =
        Site { https: Arc::new(|r: &Request| good_with(r, FIELD)), ..Site::with(leaf(None, |_| {})) }.start();
    assert_eq!(own.found(&root), ["hsts-locks-out", "untrusted-self-signed"]);
    let address = |p: &mut rcgen::CertificateParams| {
        p.subject_alt_names.push(rcgen::SanType::IpAddress("127.0.0.1".parse().unwrap()));
    };
    for (fields, expected) in [(FIELD, &["hsts-on-address"][..]), ("", &[])] {
        let mut site = Site::with(root.leaf(address));
        site.https = Arc::new(move |r: &Request| good_with(r, fields));
        site.http = None;
        let site = site.start();
        let check = lockgate::check::Check::new(format!("https://127.0.0.1:{}/api/data", site.port));
        let report = check.http_port(None).public_roots_file(root.file()).run().unwrap();
        assert_eq!(beside(&report), expected, "{fields}");
        assert_eq!(report.verdict(), lockgate::check::Verdict::Clean, "{fields}");
    }
}

#[test]
fn a_redirect_to_another_name_of_the_same_server_is_less_than_one_to_another_server() {
    let root = Root::new();
    let with = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        root.leaf(move |p| {
            p.subject_alt_names = rcgen::CertificateParams::new(names).unwrap().subject_alt_names
        })
    };
    for (url, names, target, expected) in [
        ("example.test", &["example.test"][..], "www.example.test", &["http-redirect-name"][..]),
        ("www.example.test", &["www.example.test"], "example.test", &["http-redirect-name"]),
        ("example.test", &["example.test"], "other.test", &["http-redirect-host"]),
        ("127.0.0.1", &["127.0.0.1", "device.local"], "device.local", &["http-redirect-name"]),
        // A name that is not in the certificate is another server's.
        ("127.0.0.1", &["127.0.0.1", "device.local"], "other.local", &["http-redirect-host"]),
        ("127.0.0.1", &["127.0.0.1", "device.local"], "127.0.0.1", &[]),
        ("b\u{fc}cher.test", &["xn--bcher-kva.test"], "xn--bcher-kva.test", &[]),
    ] {
        let mut site = Site::with(with(names));
        site.http = Some(Arc::new(move |r: &Request| {
            let asked = r.field("host").split(':').next().unwrap_or_default();
            if asked == "lockgate-check.invalid" {
                return answer(r, "421 Misdirected Request", "", "");
            }
            leads(r, "308 Permanent Redirect", |https, _| format!("https://{target}:{https}{}", r.path))
        }));
        let site = site.start();
        let check = lockgate::check::Check::new(format!("https://{url}:{}/api/data", site.port))
            .connect(std::net::Ipv4Addr::LOCALHOST.into(), None)
            .http_port(site.plain_port);
        let report = check.ca_file(root.file()).run().unwrap();
        assert_eq!(beside(&report), expected, "{url} {target}");
        if expected == ["http-redirect-name"] {
            assert_eq!(report.verdict(), lockgate::check::Verdict::Warnings, "{url} {target}");
        }
    }
}

#[test]
fn servers_in_the_clear_are_found_in_a_description_of_the_api() {
    let root = Root::new();
    const CLEAR: &str = r#"{"openapi": "3.1.0", "servers": [{"url": "http://localhost/api"}]}"#;
    const SECURE: &str =
        r#"{"openapi": "3.1.0", "servers": [{"url": "https://localhost/api"}, {"url": "/api"}]}"#;
    let cases: &[(&[&str], Handler)] = &[
        (&["openapi-http-server"], |r| match r.path.as_str() {
            "/openapi.json" => answer(r, "200 OK", "", CLEAR),
            _ => good(r),
        }),
        (&[], |r| match r.path.as_str() {
            "/openapi.json" => answer(r, "200 OK", "", SECURE),
            _ => good(r),
        }),
        // At the address to which the answer links.
        (&["openapi-http-server"], |r| match r.path.as_str() {
            "/v1/spec" => answer(r, "200 OK", "", CLEAR),
            _ => good_with(r, "Link: </v1/spec>; rel=\"service-desc\"\r\n"),
        }),
        // Documents on other servers are not requested.
        (&[], |r| good_with(r, "Link: <https://other.test/openapi.json>; rel=\"service-desc\"\r\n")),
        // A document that only looks like one.
        (&[], |r| match r.path.as_str() {
            "/openapi.json" => answer(r, "404 Not Found", "", CLEAR),
            _ => good(r),
        }),
    ];
    for (index, (expected, handler)) in cases.iter().enumerate() {
        assert_eq!(beside(&over_https(&root, *handler)), *expected, "case {index}");
    }
}

/// A redirect of this status to a place made of the ports of HTTPS and HTTP, for all requests but those with credentials.
fn leads(request: &Request, status: &str, place: impl Fn(u16, u16) -> String) -> Answer {
    if request.field("authorization").is_empty() {
        let (https, http) = request.ports;
        answer(request, status, &format!("Location: {}\r\n", place(https, http)), "")
    } else {
        answer(request, "403 Forbidden", "", "")
    }
}

#[test]
fn each_fault_of_plain_http_is_found_alone() {
    let root = Root::new();
    const PERMANENT: &str = "308 Permanent Redirect";
    let cases: &[(&[&str], Handler)] = &[
        (&[], redirect),
        (&[], |r| answer(r, "403 Forbidden", "", "")),
        (&["http-content", "http-credentials-accepted"], good),
        (&["http-content"], |r| match r.field("authorization") {
            "" => good(r),
            _ => answer(r, "403 Forbidden", "", ""),
        }),
        (&["http-redirect-host"], |r| leads(r, PERMANENT, |https, _| format!("https://other.test:{https}/"))),
        (&["http-redirect-port"], |r| leads(r, PERMANENT, |_, _| "https://localhost/api/data".into())),
        (&["http-redirect-scheme"], |r| leads(r, PERMANENT, |_, _| "http://other.test/".into())),
        (&["http-redirect-loop"], |r| leads(r, PERMANENT, |_, _| r.path.clone())),
        // It never comes back to an earlier address, and never ends.
        (&["http-redirect-loop"], |r| leads(r, PERMANENT, |_, _| format!("{}x", r.path))),
        // Over another plain address, and then to HTTPS.
        (&[], |r| match r.path.as_str() {
            "/api/data" => leads(r, PERMANENT, |_, _| "/step".into()),
            _ => leads(r, PERMANENT, |https, _| format!("https://localhost:{https}/api/data")),
        }),
        (&["http-redirect-scheme"], |r| match r.path.as_str() {
            "/api/data" => leads(r, PERMANENT, |_, _| "/step".into()),
            _ => answer(r, "404 Not Found", "", ""),
        }),
        (&["http-foreign-host"], |r| {
            let host = r.field("host").split(':').next().unwrap().to_string();
            leads(r, PERMANENT, |https, _| format!("https://{host}:{https}/api/data"))
        }),
        (&["http-post-becomes-get"], |r| {
            leads(r, "301 Moved Permanently", |https, _| format!("https://localhost:{https}/"))
        }),
        (&["http-post-becomes-get"], |r| {
            leads(r, "302 Found", |https, _| format!("https://localhost:{https}/"))
        }),
        (&[], |r| leads(r, "307 Temporary Redirect", |https, _| format!("https://localhost:{https}/"))),
        (&["http-credentials-redirected"], |r| {
            let place = format!("Location: https://localhost:{}/\r\n", r.ports.0);
            answer(r, PERMANENT, &place, "")
        }),
        (&["hsts-over-http"], |r| {
            let fields = "Strict-Transport-Security: max-age=1\r\n";
            answer(r, "403 Forbidden", fields, "")
        }),
        // Not HTTP at all.
        (&["http-silent"], |_| Answer { bytes: b"220 mail\r\n".to_vec(), closes: true }),
    ];
    for (index, (expected, handler)) in cases.iter().enumerate() {
        assert_eq!(beside(&over_http(&root, *handler)), *expected, "case {index}");
    }
}

#[test]
fn a_port_where_nothing_listens_is_a_note_and_one_that_is_not_tried_is_none() {
    let root = Root::new();
    let site = Site { http: None, ..Site::new(&root) }.start();
    assert_eq!(site.found(&root), ["http-silent"]);
    assert_eq!(beside(&site.check().http_port(None).ca_file(root.file()).run().unwrap()), [""; 0]);
}

#[test]
fn nothing_is_posted_to_the_path_that_is_checked() {
    let root = Root::new();
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let note = {
        let seen = seen.clone();
        move |request: &Request| {
            seen.lock().unwrap().push(format!("{} {}", request.method, request.path));
            redirect(request)
        }
    };
    Site { http: Some(Arc::new(note)), ..Site::new(&root) }.start().report(&root);
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|line| line.starts_with("POST /.well-known/lockgate-check-")), "{seen:?}");
    assert!(
        seen.iter().all(|line| line.starts_with("GET ") || line.starts_with("POST /.well-known/")),
        "{seen:?}"
    );
}
