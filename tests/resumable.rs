//! Uploads that go on: whatever is cut, and whenever the server is started again, the file that comes is the file that was sent.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use lockgate::web::{Received, Resumable};
use lockgate::{Error, Method, Request, Response, Router, StatusCode};
use ring::digest::{digest, SHA256};
use tempfile::TempDir;

use support::{noise, serve_within, Client, Reply, Serving, Shape};

fn save(request: &mut Request, received: Received) -> Result<Response, Error> {
    let name: String = request.param_as("name")?;
    let saved = received.save_as(&name)?;
    Ok(Response::text(saved.sha256_hex()).with_status(StatusCode::CREATED))
}

fn router(uploads: Resumable) -> Router {
    let upload = uploads.handler(save).unwrap();
    Router::new()
        .put("/upload/{name}", upload.clone())
        .route(Method::OPTIONS, "/upload/{name}", upload.clone())
        .route(Method::HEAD, "/upload/{name}/{upload}", upload.clone())
        .patch("/upload/{name}/{upload}", upload.clone())
        .delete("/upload/{name}/{upload}", upload)
}

fn serve(uploads: Resumable) -> Serving {
    serve_within(router(uploads), |limits| limits.body_bytes = 8 << 20)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request, whole.
fn request(method: &str, path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn ask(serving: &Serving, method: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
    let mut client: Client = serving.connect();
    let _ = client.try_send(&request(method, path, fields, body));
    let shape = if method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
    client.try_reply(shape).unwrap()
}

fn patch(serving: &Serving, path: &str, complete: &str, offset: usize, body: &[u8]) -> Reply {
    ask(serving, "PATCH", path, &append(complete, offset), body)
}

fn append(complete: &str, offset: usize) -> String {
    format!("Content-Type: application/partial-upload\r\nUpload-Complete: {complete}\r\nUpload-Offset: {offset}\r\n")
}

fn begin(serving: &Serving, path: &str, fields: &str, body: &[u8]) -> String {
    let reply = ask(serving, "PUT", path, &format!("Upload-Complete: ?0\r\n{fields}"), body);
    assert_eq!((reply.status, reply.field("upload-complete")), (201, Some("?0")), "{reply:?}");
    assert_eq!(reply.field("upload-offset"), Some(&*body.len().to_string()));
    reply.field("location").unwrap().to_string()
}

/// The offset, and whether the upload is complete.
fn state(serving: &Serving, path: &str) -> Option<(usize, bool)> {
    let reply = ask(serving, "HEAD", path, "", b"");
    if reply.status == 404 {
        return None;
    }
    assert_eq!((reply.status, reply.field("cache-control")), (204, Some("no-store")), "{reply:?}");
    assert!(reply.field("upload-limit").unwrap().starts_with("max-size="), "{reply:?}");
    let offset = reply.field("upload-offset").unwrap().parse().unwrap();
    Some((offset, reply.field("upload-complete") == Some("?1")))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_upload_that_is_cut_again_and_again_comes_whole_also_through_restarts() {
    let dir = TempDir::new().unwrap();
    let whole = noise(2_000_000);
    let mut serving = serve(Resumable::in_dir(dir.path()));
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % bound
    };
    for round in 0..3 {
        let name = format!("image-{round}");
        let path = begin(&serving, &format!("/upload/{name}"), "", &whole[..round * 1000]);
        let (mut cuts, mut last) = (0, 0);
        let reply = loop {
            let (offset, is_complete) = state(&serving, &path).expect("it is kept");
            assert!(offset >= last && !is_complete, "{last} {offset}");
            last = offset;
            let mut client = serving.connect();
            let rest = request("PATCH", &path, &append("?1", offset), &whole[offset..]);
            if cuts < 8 {
                client.send(&rest[..below(rest.len())]);
                if cuts % 2 == 0 {
                    client.reset();
                } else {
                    drop(client);
                }
                cuts += 1;
                if cuts == 4 {
                    // One server at a time has the folder.
                    serving.handle.stop();
                    serving.join().unwrap();
                    serving = serve(Resumable::in_dir(dir.path()));
                }
                continue;
            }
            client.send(rest);
            break client.reply();
        };
        assert_eq!((reply.status, reply.field("upload-complete")), (201, Some("?1")), "{reply:?}");
        assert_eq!(reply.text(), sha256(&whole));
        assert!(fs::read(dir.path().join(&name)).unwrap() == whole);
        // A client that has lost the response learns that all is well.
        assert_eq!(state(&serving, &path), Some((whole.len(), true)));
        let again = patch(&serving, &path, "?1", whole.len(), b"");
        assert_eq!((again.status, again.field("upload-complete")), (400, Some("?0")));
    }
}

#[test]
fn an_upload_comes_in_parts_and_what_is_appended_is_where_it_belongs() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()));
    let whole = noise(300_000);
    let path = begin(&serving, "/upload/a%20b", "", &whole[..5]);
    assert!(path.starts_with("/upload/a%20b/") && path.len() == 14 + 32, "{path}");
    let reply = patch(&serving, &path, "?0", 5, &whole[5..200_000]);
    assert_eq!((reply.status, reply.field("upload-offset")), (204, Some("200000")));
    for wrong in [0, 5, 199_999, 200_001, 300_000] {
        let reply = patch(&serving, &path, "?0", wrong, b"x");
        assert_eq!((reply.status, reply.field("upload-offset")), (409, Some("200000")));
        let problem = reply.problem();
        assert_eq!(
            (&problem["expected-offset"], &problem["provided-offset"]),
            (&200_000.into(), &wrong.into())
        );
    }
    for (method, fields, status) in [
        (
            "PATCH",
            "Content-Type: application/octet-stream\r\nUpload-Complete: ?1\r\nUpload-Offset: 200000\r\n",
            415,
        ),
        ("PATCH", "Content-Type: application/partial-upload\r\nUpload-Offset: 200000\r\n", 400),
        ("PATCH", "Content-Type: application/partial-upload\r\nUpload-Complete: ?1\r\n", 400),
        ("PATCH", &(append("?1", 200_000) + "Upload-Length: 5\r\n"), 400),
        ("PATCH", &(append("?1", 200_000) + "Content-Encoding: gzip\r\n"), 415),
    ] {
        assert_eq!(ask(&serving, method, &path, fields, b"x").status, status, "{fields}");
    }
    // The upload belongs to the path that it was begun at.
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(state(&serving, &format!("/upload/other/{id}")), None);
    assert_eq!(state(&serving, "/upload/a%20b/00000000000000000000000000000000"), None);
    assert_eq!(patch(&serving, &path, "?0", 200_000, &whole[200_000..]).status, 204);
    // The last request may be empty.
    let reply = patch(&serving, &path, "?1", 300_000, b"");
    assert_eq!((reply.status, reply.text()), (201, &*sha256(&whole)));
    assert!(fs::read(dir.path().join("a b")).unwrap() == whole);
}

#[test]
fn an_upload_in_one_request_is_as_any_other() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()).max_bytes(400_000));
    let whole = noise(300_000);
    for fields in ["", "Upload-Complete: ?1\r\n", "Upload-Complete: ?1\r\nUpload-Length: 300000\r\n"] {
        let reply = ask(&serving, "PUT", "/upload/a", fields, &whole);
        assert_eq!((reply.status, reply.text()), (201, &*sha256(&whole)));
        assert_eq!(reply.field("upload-complete"), (!fields.is_empty()).then_some("?1"));
    }
    let reply = ask(&serving, "PUT", "/upload/a", "", &noise(400_001));
    assert_eq!(reply.status, 413);
    let reply = ask(&serving, "OPTIONS", "/upload/a", "", b"");
    assert_eq!((reply.status, reply.field("upload-limit")), (204, Some("max-size=400000, max-age=86400")));
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn what_is_longer_than_it_may_be_ends_the_upload() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()).max_bytes(100_000));
    let reply = ask(&serving, "PUT", "/upload/a", "Upload-Complete: ?0\r\nUpload-Length: 100001\r\n", b"");
    assert_eq!((reply.status, reply.field("upload-limit")), (413, Some("max-size=100000")));
    for (fields, most) in [("Upload-Length: 80000\r\n", 80_000), ("", 100_000)] {
        let path = begin(&serving, "/upload/a", fields, b"");
        assert_eq!(patch(&serving, &path, "?0", 0, &noise(most)).status, 204);
        assert_eq!(patch(&serving, &path, "?0", most, b"x").status, 413);
        assert_eq!(state(&serving, &path), None);
    }
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_digest_that_does_not_match_appends_nothing_and_one_of_the_whole_ends_it() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()));
    let wrong = format!("sha-256=:{}=:", "A".repeat(43));
    let path = begin(&serving, "/upload/a", &format!("Repr-Digest: {wrong}\r\n"), b"abc");
    for length in [3, 200_000] {
        let fields = append("?0", 3) + &format!("Content-Digest: {wrong}\r\n");
        assert_eq!(ask(&serving, "PATCH", &path, &fields, &noise(length)).status, 400);
        assert_eq!(state(&serving, &path), Some((3, false)));
    }
    let reply = patch(&serving, &path, "?1", 3, b"def");
    assert_eq!((reply.status, reply.field("upload-complete")), (400, Some("?1")));
    assert!(reply.problem()["detail"].as_str().unwrap().contains("Repr-Digest"));
    assert_eq!(names(dir.path()).iter().filter(|name| !name.ends_with(".state")).count(), 0);
}

#[test]
fn a_cancelled_upload_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()));
    let path = begin(&serving, "/upload/a", "", &noise(100_000));
    assert_eq!(names(dir.path()).len(), 2);
    assert_eq!(ask(&serving, "DELETE", &path, "", b"").status, 204);
    assert_eq!(names(dir.path()), [""; 0]);
    assert_eq!(state(&serving, &path), None);
    assert_eq!(ask(&serving, "DELETE", &path, "", b"").status, 404);
}

/// The client has given up a request that the server still waits for: it must not wait for that.
#[test]
fn a_later_request_takes_the_upload_over_from_one_that_hangs() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()));
    let whole = noise(1_000_000);
    let path = begin(&serving, "/upload/a", "", b"");
    let rest = request("PATCH", &path, &append("?1", 0), &whole);
    let mut hanging = serving.connect();
    hanging.send(&rest[..400_000]);
    let (offset, _) = state(&serving, &path).unwrap();
    let reply = patch(&serving, &path, "?1", offset, &whole[offset..]);
    assert_eq!((reply.status, reply.text()), (201, &*sha256(&whole)));
    // Now the first one goes on, and changes nothing.
    let _ = hanging.try_send(&rest[400_000..]);
    if let Ok(reply) = hanging.try_reply(Shape::WithBody) {
        assert_eq!(reply.status, 409);
    }
    assert!(fs::read(dir.path().join("a")).unwrap() == whole);
}

#[test]
fn many_at_a_time_do_not_mix() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()));
    let bodies: BTreeMap<String, Vec<u8>> = (1..=4).map(|n| (format!("f{n}"), noise(n * 70_000))).collect();
    thread::scope(|scope| {
        for (name, body) in &bodies {
            let serving = &serving;
            scope.spawn(move || {
                let path = begin(serving, &format!("/upload/{name}"), "", b"");
                for (number, piece) in body.chunks(50_000).enumerate() {
                    assert_eq!(patch(serving, &path, "?0", number * 50_000, piece).status, 204);
                }
                assert_eq!(patch(serving, &path, "?1", body.len(), b"").text(), sha256(body));
            });
        }
    });
    for (name, body) in &bodies {
        assert!(fs::read(dir.path().join(name)).unwrap() == *body, "{name}");
    }
}

#[test]
fn there_is_room_for_so_many_and_so_much_only() {
    let dir = TempDir::new().unwrap();
    let serving = serve(Resumable::in_dir(dir.path()).max_uploads(2).max_total_bytes(200_000));
    let first = begin(&serving, "/upload/a", "", &noise(100_000));
    let second = begin(&serving, "/upload/b", "", b"");
    let none = |reply: Reply| assert_eq!(reply.status, 507, "{reply:?}");
    none(ask(&serving, "PUT", "/upload/c", "Upload-Complete: ?0\r\n", b""));
    none(patch(&serving, &second, "?0", 0, &noise(100_001)));
    let (offset, _) = state(&serving, &second).unwrap();
    assert!(offset <= 100_000);
    // What is complete makes room at once.
    assert_eq!(patch(&serving, &first, "?1", 100_000, b"").status, 201);
    begin(&serving, "/upload/c", "", b"");
}
