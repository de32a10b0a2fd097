//! Forms with files as real clients send them: curl, Node's FormData, Python's requests and Chromium. A test whose program is
//! missing is left out, and says so (see `peers`).

// A part of it is used here.
#[allow(dead_code)]
#[path = "support_command/peers.rs"]
mod peers;
mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Mutex;

use lockgate::{Error, Identity, Limits, Request, Response, Router, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ring::digest::{digest, SHA256};
use serde_json::{json, Value};
use tempfile::TempDir;

use peers::{CURL, NODE, PYTHON};
use support::{noise, serve_as, Serving, SAFETY};

/// What a browser does with names that hold everything, and with an empty file.
const PAGE: &str = r#"<!doctype html>
<form method=post action=/form enctype=multipart/form-data>
<textarea name='a"b'></textarea><input type=file name=file multiple></form>
<script>
const files = new DataTransfer();
files.items.add(new File([new Uint8Array(100000).fill(7)], 'x"y\\z;ü.bin'));
files.items.add(new File([], 'empty', {type: 'text/plain'}));
document.forms[0][1].files = files.files;
document.forms[0][0].value = 'one\ntwo';
document.forms[0].submit();
</script>"#;

/// `/form` answers with all that is in the form, and gives it to the test too.
struct Site {
    serving: Serving,
    seen: Receiver<Value>,
    dir: TempDir,
}

impl Site {
    fn serve() -> Site {
        let dir = TempDir::new().unwrap();
        let (identity, ca) = identity();
        fs::write(dir.path().join("ca.pem"), ca).unwrap();
        let (sender, seen) = channel();
        let sender = Mutex::new(sender);
        let router = Router::new()
            .get("/", |_: &mut Request| {
                Response::text(PAGE).with_header("content-type", "text/html; charset=utf-8")
            })
            .post("/form", move |request: &mut Request| -> Result<Response, Error> {
                let form = read(request)?;
                sender.lock().unwrap().send(form.clone()).unwrap();
                Ok(Response::json(&form))
            });
        let mut limits = Limits::default();
        limits.body_bytes = 16 << 20;
        let serving = serve_as(Server::builder(router).identity(identity).limits(limits));
        Site { serving, seen, dir }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/form", self.serving.address.port())
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

/// A certificate for localhost, and the authority's, whose names differ: else OpenSSL takes the first for its own issuer.
fn identity() -> (Identity, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Authority of the forms");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &*authority).unwrap().pem();
    let identity = Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (identity, authority.pem())
}

/// Each part: its name, the name of its file, its type, its length and its SHA-256, or its text.
fn read(request: &mut Request) -> Result<Value, Error> {
    let mut parts = Vec::new();
    let mut form = request.multipart()?;
    while let Some(mut part) = form.next_part()? {
        let (name, file) = (part.name().to_string(), part.file_name().map(String::from));
        let media_type = part.media_type().map(String::from);
        if file.is_none() {
            parts.push(json!([name, part.text()?]));
            continue;
        }
        let mut content = Vec::new();
        part.read_to_end(&mut content)?;
        parts.push(json!([name, file, media_type, content.len(), sha256(&content)]));
    }
    Ok(Value::Array(parts))
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(mut command: Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said} {errors}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn curls_forms_come_in_as_they_are_sent() {
    let site = Site::serve();
    let large = noise(3_000_000);
    let (file, empty) = (site.file("image.bin", &large), site.file("empty", b""));
    let Some(mut curl) =
        CURL.command("curls_forms_come_in_as_they_are_sent", &["--silent", "--max-time", "60"])
    else {
        return;
    };
    curl.args(["--cacert", text(&site.ca()), "--form-string", "comment=first; type=x\r\n--b"]);
    curl.args(["--form", &format!("image=@{};filename=\"a\\\"b.bin\"", text(&file))]);
    curl.args(["--form", &format!("image=@{};type=text/plain", text(&empty)), &site.url()]);
    let expected = json!([
        ["comment", "first; type=x\r\n--b"],
        ["image", "a\"b.bin", "application/octet-stream", 3_000_000, sha256(&large)],
        ["image", "empty", "text/plain", 0, sha256(b"")],
    ]);
    assert_eq!(answer(curl), expected);
}

#[test]
fn nodes_forms_come_in_as_they_are_sent() {
    const SCRIPT: &str = r#"
        const form = new FormData();
        form.append('a"b\r\nc', 'one\ntwo');
        form.append('image', new Blob([new Uint8Array(200000).fill(9)]), 'x"\\y/../ü.bin');
        form.append('image', new Blob([], { type: 'text/plain' }), 'empty');
        fetch(process.argv[1], { method: 'POST', body: form, signal: AbortSignal.timeout(60000) })
            .then((response) => response.text()).then(console.log);
    "#;
    let site = Site::serve();
    let Some(mut node) = NODE.command("nodes_forms_come_in_as_they_are_sent", &["-e", SCRIPT, &site.url()])
    else {
        return;
    };
    node.env("NODE_EXTRA_CA_CERTS", site.ca());
    let expected = json!([
        ["a\"b\r\nc", "one\r\ntwo"],
        ["image", "x\"\\y/../ü.bin", "application/octet-stream", 200_000, sha256(&[9; 200_000])],
        ["image", "empty", "text/plain", 0, sha256(b"")],
    ]);
    assert_eq!(answer(node), expected);
}

/// Where the module is installed; it is a further witness only.
#[test]
fn pythons_forms_come_in_as_they_are_sent() {
    const SCRIPT: &str = r#"
import io, requests, sys
files = [('image', ('ü "x".bin', io.BytesIO(b'\x09' * 200000), 'image/png')), ('image', ('empty', b''))]
answer = requests.post(sys.argv[1], data={'comment': 'ä\n'}, files=files, verify=sys.argv[2], timeout=60)
print(answer.text)
"#;
    let there = PYTHON.command_if_there(&["-c", "import requests"]);
    if !there.is_some_and(|mut python| python.output().is_ok_and(|output| output.status.success())) {
        return;
    }
    let site = Site::serve();
    let python = PYTHON.command_if_there(&["-c", SCRIPT, &site.url(), text(&site.ca())]).unwrap();
    let expected = json!([
        ["comment", "ä\n"],
        ["image", "ü \"x\".bin", "image/png", 200_000, sha256(&[9; 200_000])],
        ["image", "empty", null, 0, sha256(b"")],
    ]);
    assert_eq!(answer(python), expected);
}

#[test]
fn a_browsers_form_comes_in_as_it_is_sent() {
    let site = Site::serve();
    let url = site.url().replace("/form", "/");
    let arguments = ["--ignore-certificate-errors", "--remote-debugging-port=0", &url];
    let test = "a_browsers_form_comes_in_as_it_is_sent";
    let Some(mut chromium) = peers::chromium(test, site.dir.path(), "127.0.0.1", &arguments) else { return };
    chromium.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut chromium = chromium.spawn().unwrap();
    let form = site.seen.recv_timeout(3 * SAFETY);
    chromium.kill().unwrap();
    chromium.wait().unwrap();
    let expected = json!([
        ["a\"b", "one\r\ntwo"],
        ["file", "x\"y\\z;ü.bin", "application/octet-stream", 100_000, sha256(&[7; 100_000])],
        ["file", "empty", "text/plain", 0, sha256(b"")],
    ]);
    assert_eq!(form.expect("the browser sends its form"), expected);
}
