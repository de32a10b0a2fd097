//! An upload is in its folder whole or not at all: whatever the client sends, however it leaves, and whatever the disk says.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use lockgate::web::{Progress, Saved, Upload, UploadFault};
use lockgate::{Error, Limits, Request, Response, Router, StatusCode};
use ring::digest::{digest, SHA256, SHA512};
use tempfile::TempDir;

use support::{await_lines, chunked, noise, post, serve_within, Gate, Serving};

const MIB: usize = 1024 * 1024;

fn large_bodies(limits: &mut Limits) {
    limits.body_bytes = 8 * MIB as u64;
}

fn answer(saved: &Saved) -> Response {
    let status = if saved.is_new() { StatusCode::CREATED } else { StatusCode::OK };
    Response::text(saved.sha256_hex()).with_status(status).with_header("repr-digest", saved.repr_digest())
}

/// `PUT /upload/{name}` saves into the folder.
fn saving(dir: &Path) -> Router {
    let (dir, small) = (dir.to_path_buf(), dir.to_path_buf());
    Router::new()
        .put("/upload/{name}", move |request: &mut Request| -> Result<Response, Error> {
            let name: String = request.param_as("name")?;
            Ok(answer(&request.save_to(&dir, &name)?))
        })
        .put("/small/{name}", move |request: &mut Request| -> Result<Response, Error> {
            let name: String = request.param_as("name")?;
            Ok(answer(&Upload::to(&small).max_bytes(100_000).mode(0o644).save(request, &name)?))
        })
}

fn serve_saving(dir: &Path) -> Serving {
    serve_within(saving(dir), large_bodies)
}

fn put(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn names(dir: &Path) -> Vec<String> {
    files(dir).into_keys().collect()
}

/// Waits until the folder holds just these files: a handler may still be at work when its client is gone.
fn await_names(dir: &Path, expected: &[&str]) {
    let deadline = std::time::Instant::now() + support::SAFETY;
    loop {
        let entries = fs::read_dir(dir).unwrap();
        let mut found: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        if found == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?}");
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for place in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn a_body_of_any_size_and_framing_is_saved_with_its_sha256() {
    let dir = TempDir::new().unwrap();
    let serving = serve_saving(dir.path());
    let mut client = serving.connect();
    for length in [0, 1, 65_535, 65_536, 65_537, 3 * MIB + 1] {
        let body = noise(length);
        for (name, request) in [
            ("known", put("/upload/known", "", &body)),
            ("chunked", {
                let head =
                    "PUT /upload/chunked HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
                [head.as_bytes(), &chunked(&body, 10_000)].concat()
            }),
        ] {
            client.send(request);
            let reply = client.reply();
            assert_eq!((reply.status, reply.text()), (if length == 0 { 201 } else { 200 }, &*sha256(&body)));
            assert!(fs::read(dir.path().join(name)).unwrap() == body, "{name} {length}");
        }
    }
    assert_eq!(names(dir.path()), ["chunked", "known"]);
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("known"), 0o600);
    client.send(put("/small/open", "", b"x"));
    assert_eq!((client.reply().status, mode("open")), (201, 0o644));
}

#[test]
fn a_name_that_leads_elsewhere_is_refused_and_nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let serving = serve_saving(&inside);
    let long = "x".repeat(256);
    for name in [".profile", ".lockgate-upload-0", "...", "a%5Cb", "a%0Ab", "%7F", "a%C2%9Bb", &long] {
        let mut client = serving.connect();
        client.send(put(&format!("/upload/{name}"), "", b"x"));
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{name}");
        reply.problem();
    }
    // These do not even reach the handler.
    for name in ["..", "%2e%2e", "a%2Fb", "%2Fetc%2Fpasswd", "a%00b"] {
        let mut client = serving.connect();
        client.send(put(&format!("/upload/{name}"), "", b"x"));
        assert!([400, 404].contains(&client.reply().status), "{name}");
    }
    assert_eq!(names(&inside), [""; 0]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_of_the_name_is_a_conflict_and_stays() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("taken")).unwrap();
    let serving = serve_saving(dir.path());
    let mut client = serving.connect();
    client.send(put("/upload/taken", "", b"x"));
    let reply = client.reply();
    assert_eq!(reply.status, 409);
    reply.problem();
    await_names(dir.path(), &["taken"]);
}

#[test]
fn a_digest_that_does_not_match_leaves_what_was_there() {
    let dir = TempDir::new().unwrap();
    let serving = serve_saving(dir.path());
    let mut client = serving.connect();
    let old = noise(10);
    client.send(put("/upload/a", "", &old));
    assert_eq!(client.reply().status, 201);
    for length in [5, 200_000] {
        let body = noise(length);
        let sha256 = format!("sha-256=:{}:", base64(digest(&SHA256, &body).as_ref()));
        let sha512 = format!("sha-512=:{}:", base64(digest(&SHA512, &body).as_ref()));
        let wrong = format!("sha-512=:{}:", base64(&[0; 64]));
        for (fields, status) in [
            (format!("Content-Digest: {wrong}\r\n"), 400),
            (format!("Repr-Digest: {wrong}\r\n"), 400),
            (format!("Content-Digest: {sha256}\r\nContent-Digest: {wrong}\r\n"), 400),
            (format!("Content-Digest: {sha256}\r\nRepr-Digest: {wrong}\r\n"), 400),
            ("Content-Digest: sha-256=nonsense\r\n".to_string(), 400),
            (format!("Content-Digest: {sha256}, {sha512}\r\n"), 201),
            (format!("Repr-Digest: {sha512}\r\n"), 200),
            (format!("Content-Digest: md5=:AAAA:\r\nContent-Digest: {sha512}\r\n"), 200),
        ] {
            let mut client = serving.connect();
            client.send(put(&format!("/upload/of-{length}"), &fields, &body));
            let reply = client.reply();
            assert_eq!(reply.status, status, "{fields}");
            if status == 400 {
                assert!(reply.problem()["detail"].as_str().unwrap().contains("-Digest"), "{fields}");
                assert_eq!(files(dir.path()).len(), if length == 5 { 1 } else { 2 }, "{fields}");
            } else {
                assert_eq!(reply.field("repr-digest"), Some(&*sha256));
            }
        }
    }
    assert!(files(dir.path())["a"] == old);
}

/// A part that is saved as the whole is a damaged file (RFC 9110 §14.5).
#[test]
fn a_part_or_a_coded_body_is_never_saved_as_the_file() {
    let dir = TempDir::new().unwrap();
    let serving = serve_saving(dir.path());
    for (fields, status) in [
        ("Content-Range: bytes 0-3/10\r\n", 400),
        ("Content-Range: bytes 6-9/10\r\n", 400),
        ("Content-Encoding: gzip\r\n", 415),
    ] {
        let mut client = serving.connect();
        client.send(put("/upload/a", fields, b"part"));
        assert_eq!(client.reply().status, status, "{fields}");
    }
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_body_over_a_limit_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let serving = serve_saving(dir.path());
    let large = noise(9 * MIB);
    let head = "HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for request in [
        put("/upload/a", "", &large),
        [format!("PUT /upload/a {head}").as_bytes(), &chunked(&large, 50_000)].concat(),
        put("/small/a", "", &large[..100_001]),
        [format!("PUT /small/a {head}").as_bytes(), &chunked(&large[..100_001], 50_000)].concat(),
    ] {
        let mut client = serving.connect();
        // The server may close before it has all.
        let _ = client.try_send(&request);
        let reply = client.reply();
        assert_eq!(reply.status, 413);
        reply.problem();
        await_names(dir.path(), &[]);
    }
    let mut client = serving.connect();
    client.send(put("/small/a", "", &large[..100_000]));
    assert_eq!(client.reply().status, 201);
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "old").unwrap();
    let serving = serve_saving(dir.path());
    let whole = put("/upload/a", "", &noise(2 * MIB));
    for sent in [100, 66_000, 300_000, MIB, whole.len() - 1] {
        for with_reset in [true, false] {
            let mut client = serving.connect();
            client.send(&whole[..sent]);
            if with_reset {
                client.reset();
            } else {
                drop(client);
            }
        }
    }
    await_names(dir.path(), &["a"]);
    // All handlers have returned: this one gets a place, and none of the others puts anything into the folder after it.
    let mut client = serving.connect();
    client.send(put("/upload/b", "", b"x"));
    assert_eq!(client.reply().status, 201);
    await_names(dir.path(), &["a", "b"]);
    assert_eq!(files(dir.path())["a"], b"old");
}

#[test]
fn of_uploads_of_one_name_at_a_time_the_last_to_end_stays_whole() {
    let dir = TempDir::new().unwrap();
    let serving = serve_saving(dir.path());
    let bodies: Vec<Vec<u8>> = (1..=4).map(|length| noise(length * 150_000)).collect();
    thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| {
                let mut client = serving.connect();
                for _ in 0..5 {
                    client.send(put("/upload/a", "", body));
                    assert!([200, 201].contains(&client.reply().status));
                    let found = fs::read(dir.path().join("a")).unwrap();
                    assert!(bodies.contains(&found), "{} bytes", found.len());
                }
            });
        }
    });
    assert_eq!(names(dir.path()), ["a"]);
}

#[test]
fn progress_is_told_while_the_client_sends_and_ends_with_the_total() {
    let dir = TempDir::new().unwrap();
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let (told, gate) = (seen.clone(), Gate::new());
    let (path, passes) = (dir.path().to_path_buf(), gate.clone());
    let router = Router::new().put("/upload", move |request: &mut Request| -> Result<Response, Error> {
        let upload = Upload::to(&path).on_progress(|progress| {
            told.lock().unwrap().push(progress);
            passes.pass();
        });
        Ok(answer(&upload.save(request, "a")?))
    });
    let serving = serve_within(router, large_bodies);
    let request = put("/upload", "", &noise(MIB));
    let mut client = serving.connect();
    client.send(&request[..MIB / 2]);
    // Half of it is told before the other half is sent.
    gate.wait_for(1);
    gate.open();
    client.send(&request[MIB / 2..]);
    assert_eq!(client.reply().status, 201);
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 16 && seen.iter().all(|progress| progress.total == Some(MIB as u64)), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0].received < pair[1].received), "{seen:?}");
    assert_eq!(seen.last().unwrap().received, MIB as u64);
}

#[test]
fn what_the_file_system_refuses_is_500_for_the_client_and_a_clear_line_in_the_log() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    let serving = serve_saving(&missing);
    let mut client = serving.connect();
    client.send(put("/upload/a", "", b"x"));
    let reply = client.reply();
    assert_eq!(reply.status, 500);
    assert_eq!(reply.problem()["detail"], serde_json::Value::Null);
    let path = missing.display().to_string();
    let lines = await_lines(1, |line| line.contains(&path));
    assert!(lines.len() == 1 && lines[0].contains("the folder for uploads cannot be opened"), "{lines:?}");
}

/// This runs once more as a process of its own, with a file system of 1 MiB that only that process sees.
#[test]
fn a_full_disk_is_507_and_nothing_is_left_behind() {
    const MARK: &str = "LOCKGATE_SMALL_DISK";
    let Some(dir) = std::env::var_os(MARK).map(PathBuf::from) else {
        let dir = TempDir::new().unwrap();
        let name = "a_full_disk_is_507_and_nothing_is_left_behind";
        let script = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
        for namespaces in ["-m", "-rm"] {
            let mut child = Command::new("unshare");
            child.args([namespaces, "sh", "-c", script]).arg(dir.path());
            let able = child.arg("true").output().is_ok_and(|output| output.status.success());
            if able {
                let mut child = Command::new("unshare");
                child.args([namespaces, "sh", "-c", script]).arg(dir.path()).env(MARK, dir.path());
                child.arg(std::env::current_exe().unwrap()).args(["--exact", name]);
                let output = child.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success() && text.contains("1 passed"), "{text}");
                return;
            }
        }
        eprintln!("not tried: this user may make no mount namespaces");
        return;
    };
    fs::write(dir.join("a"), "old").unwrap();
    let serving = serve_saving(&dir);
    for length in [MIB, 2 * MIB, 5 * MIB] {
        let mut client = serving.connect();
        let _ = client.try_send(&put("/upload/a", "", &noise(length)));
        let reply = client.reply();
        assert_eq!(reply.status, 507);
        assert_eq!(reply.problem()["detail"], serde_json::Value::Null);
        await_names(&dir, &["a"]);
    }
    assert_eq!(fs::read(dir.join("a")).unwrap(), b"old");
    let lines = await_lines(1, |line| line.contains("no room for an upload"));
    assert!(lines[0].contains(&dir.display().to_string()), "{lines:?}");
    // There is room for what fits.
    let mut client = serving.connect();
    client.send(put("/upload/a", "", &noise(500_000)));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_program_can_look_at_what_has_come_before_it_gets_its_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_path_buf();
    let router = Router::new().put("/upload", move |request: &mut Request| -> Result<Response, Error> {
        let mut received = Upload::to(&path).receive(request)?;
        let mut first = [0; 4];
        received.open()?.read_exact(&mut first)?;
        if &first != b"GOOD" {
            return Err(Error::answer(StatusCode::UNPROCESSABLE_ENTITY, "the image has another format"));
        }
        Ok(answer(&received.save_as("image")?))
    });
    for (body, status) in [("BAD image", 422), ("GOOD image", 201)] {
        let response = router.call(&mut Request::new(lockgate::Method::PUT, "/upload").with_body(body));
        assert_eq!(response.status(), status);
    }
    assert_eq!(names(dir.path()), ["image"]);
}

#[test]
fn the_fault_of_an_upload_can_be_told_by_its_type() {
    let mut request = Request::post("/").with_body("x");
    let Err(Error::Answer { status, source }) = request.save_to("/", "..") else { panic!("saved") };
    assert_eq!(status, 400);
    assert!(matches!(source.downcast_ref(), Some(UploadFault::Name(_))));
}

/// `POST /form` saves the file of a form.
fn saving_forms(dir: &Path) -> Router {
    let dir = dir.to_path_buf();
    Router::new().post("/form", move |request: &mut Request| -> Result<Response, Error> {
        let mut form = request.multipart()?;
        let mut answer = Response::new(StatusCode::NO_CONTENT);
        while let Some(part) = form.next_part()? {
            if let Some(name) = part.file_name().map(String::from) {
                answer = Response::text(part.save_to(&dir, &name)?.sha256_hex());
            }
        }
        Ok(answer)
    })
}

fn form(file_name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{file_name}\"\r\n\r\n");
    let form = [head.as_bytes(), content, b"\r\n--b--\r\n"].concat();
    let head = format!(
        "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    [head.as_bytes(), &form].concat()
}

#[test]
fn a_forms_file_is_saved_as_it_comes_and_its_connection_is_kept() {
    let dir = TempDir::new().unwrap();
    let serving = serve_within(saving_forms(dir.path()), large_bodies);
    let mut client = serving.connect();
    for length in [0, 1, 40_000, 3 * MIB] {
        let content = noise(length);
        client.send(form("a.bin", &content));
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.text(), reply.closes()),
            (200, &*sha256(&content), false),
            "{length}"
        );
        assert!(fs::read(dir.path().join("a.bin")).unwrap() == content);
    }
}

#[test]
fn a_form_that_is_broken_or_cut_or_names_another_folder_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let serving = serve_within(saving_forms(dir.path()), large_bodies);
    for name in ["../a", "/etc/passwd", ".profile", "C:\\a.bin", ""] {
        let mut client = serving.connect();
        client.send(form(name, b"x"));
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{name}");
        reply.problem();
    }
    // The last boundary is missing: the request is whole, and its form is not.
    for length in [100, 500_000] {
        let whole = String::from_utf8(form("a.bin", "x".repeat(length).as_bytes())).unwrap();
        let mut client = serving.connect();
        client.send(whole.replace("--b--", "--b__"));
        assert_eq!(client.reply().status, 400);
    }
    let whole = form("a.bin", &noise(MIB));
    for sent in [200, 100_000, whole.len() - 3] {
        let mut client = serving.connect();
        client.send(&whole[..sent]);
        client.reset();
    }
    let mut client = serving.connect();
    client.send(post("/form", b"a=b"));
    assert_eq!(client.reply().status, 415);
    await_names(dir.path(), &[]);
}

/// A part is whole before the form is; a program that needs the whole form gives no name before.
#[test]
fn files_of_a_form_can_wait_for_its_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_path_buf();
    let router = Router::new().post("/form", move |request: &mut Request| -> Result<StatusCode, Error> {
        let (mut form, mut files) = (request.multipart()?, Vec::new());
        while let Some(part) = form.next_part()? {
            let name = part.file_name().unwrap_or_default().to_string();
            files.push((name, part.receive(Upload::to(&path))?));
        }
        for (name, received) in files {
            received.save_as(&name)?;
        }
        Ok(StatusCode::NO_CONTENT)
    });
    let call = |body: String| {
        let request = Request::post("/form").with_header("content-type", "multipart/form-data; boundary=b");
        router.call(&mut request.with_body(body)).status()
    };
    let part =
        |name: &str| format!("--b\r\nContent-Disposition: form-data; name=f; filename={name}\r\n\r\nx\r\n");
    assert_eq!(call(part("a") + &part("b") + "--b"), 400);
    assert_eq!(names(dir.path()), [""; 0]);
    assert_eq!(call(part("a") + &part("b") + "--b--"), 204);
    assert_eq!(names(dir.path()), ["a", "b"]);
}
