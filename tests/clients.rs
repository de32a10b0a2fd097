//! Real clients: curl, openssl s_client, Node's https and Python's, against the built command and, where it has no route,
//! against the library. A test whose program is missing is left out, and says so (see `peers`).

mod support_command;

use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::process::Command;

use lockgate::{Error, Identity, Request, Response, Router, Running};
use serde_json::{json, Value};

use support_command::certificates::{Authority, Pair};
use support_command::peers::{leave_out, CURL, NODE, OPENSSL, PYTHON};
use support_command::{outcome, text, Server, BODY};

/// What a request of `openssl s_client` ends with, so that the server ends the connection and with it the program.
const GET_AND_CLOSE: &[u8] = b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

// curl.

#[test]
fn curl_gets_the_data_over_one_kept_connection() {
    let Some(mut curl) = curl("curl_gets_the_data_over_one_kept_connection") else { return };
    let site = Site::serve(&[]);
    let url = site.https("/api/data");
    curl.args(["--write-out", "|%{http_version} %{http_code} %{content_type} %{num_connects}\n"]);
    curl.args(["--cacert", site.ca(), &url, &url, &url]);
    let line = |connects| format!("{BODY}|1.1 200 application/json {connects}\n");
    let expected = [line(1), line(0), line(0)].concat();
    assert_eq!(outcome(curl, b""), (0, expected, String::new()));
}

#[test]
fn curl_is_served_whichever_version_it_speaks() {
    let test = "curl_is_served_whichever_version_it_speaks";
    let mut site = Site::serve(&[]);
    for (option, version) in [
        (&["--tls-max", "1.2"][..], "TLSv1.2"),
        (&["--tlsv1.3"], "TLSv1.3"),
        (&["--http1.0"], "TLSv1.3"),
        // A client that would rather have HTTP/2 gets HTTP/1.1 by ALPN.
        (&["--http2"], "TLSv1.3"),
    ] {
        let Some(mut curl) = curl(test) else { return };
        curl.args(option).args([
            "--write-out",
            "|%{http_version}",
            "--cacert",
            site.ca(),
            &site.https("/api/data"),
        ]);
        assert_eq!(outcome(curl, b""), (0, format!("{BODY}|1.1"), String::new()), "{option:?}");
        let line = site.server.stderr.expect("lockgate::access");
        assert!(line.ends_with(version), "{option:?}: {line}");
    }
}

#[test]
fn curl_gets_the_certificate_of_the_name_that_it_asks_for() {
    let test = "curl_gets_the_certificate_of_the_name_that_it_asks_for";
    let authority = Authority::new();
    let pair = |name: &str| authority.pair_for(name, &[name], -3_600, 3_600);
    let (first, second) = (pair("first.example"), pair("second.example"));
    let further = ["--cert", text(&second.cert), "--key", text(&second.key)];
    let mut server = Server::serve(&first, &further);
    let port = server.https_port();
    for (name, trusted) in [("first.example", true), ("second.example", true), ("third.example", false)] {
        let Some(mut curl) = curl(test) else { return };
        curl.args(["--cacert", text(&authority.ca), "--resolve", &format!("{name}:{port}:127.0.0.1")]);
        curl.arg(format!("https://{name}:{port}/api/data"));
        let (code, body, errors) = outcome(curl, b"");
        // 60: the certificate is for others.
        assert_eq!((code, body.as_str()), if trusted { (0, BODY) } else { (60, "") }, "{name}: {errors}");
    }
}

#[test]
fn curl_gets_a_head_without_a_body() {
    let Some(mut curl) = curl("curl_gets_a_head_without_a_body") else { return };
    let site = Site::serve(&[]);
    let url = site.https("/api/data");
    curl.args(["--head", "--write-out", "|%{num_connects}\n", "--cacert", site.ca(), &url, &url]);
    let (code, heads, errors) = outcome(curl, b"");
    assert_eq!((code, errors.as_str()), (0, ""), "{heads}");
    assert_eq!(heads.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{heads}");
    assert_eq!(heads.matches("content-length: 36\r\n").count(), 2, "{heads}");
    assert!(heads.ends_with("\r\n\r\n|0\n") && !heads.contains("Secure data"), "{heads}");
}

#[test]
fn curl_believes_the_certificate_for_its_names_only() {
    let test = "curl_believes_the_certificate_for_its_names_only";
    /// "The remote server's SSL certificate or SSH fingerprint was deemed not OK."
    const NOT_BELIEVED: i32 = 60;
    let site = Site::serve(&[]);
    for (host, believed) in [
        ("localhost", true),
        ("device.test", true),
        ("sub.wild.test", true),
        ("other.test", false),
        ("wild.test", false),
    ] {
        let Some(mut curl) = curl(test) else { return };
        let port = site.https;
        curl.args(["--resolve", &format!("{host}:{port}:127.0.0.1"), "--cacert", site.ca()]);
        curl.arg(format!("https://{host}:{port}/api/data"));
        let (code, body, errors) = outcome(curl, b"");
        if believed {
            assert_eq!((code, body.as_str()), (0, BODY), "{host}: {errors}");
        } else {
            assert_eq!((code, body.as_str()), (NOT_BELIEVED, ""), "{host}: {errors}");
        }
    }
    // Without the authority it is not believed either.
    let Some(mut curl) = curl(test) else { return };
    curl.arg(site.https("/api/data"));
    assert_eq!(outcome(curl, b"").0, NOT_BELIEVED);
}

#[test]
fn curl_sends_bodies_in_every_way_it_knows() {
    let test = "curl_sends_bodies_in_every_way_it_knows";
    let library = Library::start();
    let large = vec![b'x'; 300_000];
    let length = |bytes: usize| format!("{{\"length\":{bytes}}}");
    for (what, options, input, expected) in [
        ("a form", &["--data", "a=1&b=2"][..], &b""[..], length(7)),
        ("a large body", &["--data-binary", "@-"], &large, length(large.len())),
        (
            "a body after 100 Continue",
            &[
                "--data-binary",
                "@-",
                "--header",
                "Expect: 100-continue",
                "--expect100-timeout",
                "50",
                "--verbose",
            ],
            &large,
            length(large.len()),
        ),
        ("a chunked body", &["--upload-file", "-"], b"in pieces", length(9)),
        ("a large chunked body", &["--upload-file", "-"], &large, length(large.len())),
        ("an empty body", &["--request", "POST"], b"", length(0)),
    ] {
        let Some(mut curl) = curl(test) else { return };
        curl.args(options).args(["--cacert", library.ca(), &library.https("/length")]);
        let (code, body, errors) = outcome(curl, input);
        assert_eq!((code, body), (0, expected), "{what}: {errors}");
        let verbose = options.contains(&"--verbose");
        assert_eq!(verbose, errors.contains("< HTTP/1.1 100 Continue"), "{what}: {errors}");
    }
    let Some(mut curl) = curl(test) else { return };
    curl.args(["--header", "Content-Type: application/json", "--data", r#"{"on": true}"#]);
    curl.args(["--cacert", library.ca(), &library.https("/echo")]);
    assert_eq!(outcome(curl, b""), (0, r#"{"on":true}"#.into(), String::new()));
}

#[test]
fn curl_is_told_before_it_sends_a_body_that_is_too_large() {
    let Some(mut curl) = curl("curl_is_told_before_it_sends_a_body_that_is_too_large") else { return };
    let library = Library::start();
    let too_large = vec![b'x'; 1024 * 1024 + 1];
    curl.args(["--data-binary", "@-", "--header", "Expect: 100-continue", "--expect100-timeout", "50"]);
    curl.args([
        "--write-out",
        "|%{http_code} %{size_upload}",
        "--cacert",
        library.ca(),
        &library.https("/length"),
    ]);
    let (code, answer, errors) = outcome(curl, &too_large);
    assert_eq!(code, 0, "{errors}");
    let (problem, figures) = answer.rsplit_once('|').unwrap();
    assert_eq!(figures, "413 0", "{answer}");
    assert_eq!(serde_json::from_str::<Value>(problem).unwrap()["status"], 413);
}

// The redirect.

#[test]
fn curl_follows_the_redirect_and_stays_a_post() {
    let Some(mut curl) = curl("curl_follows_the_redirect_and_stays_a_post") else { return };
    let library = Library::start();
    curl.args(["--location", "--header", "Content-Type: application/json", "--data", "[1,2]"]);
    curl.args([
        "--write-out",
        "|%{method} %{http_code} %{num_redirects} %{url_effective}",
        "--cacert",
        library.ca(),
    ]);
    curl.arg(library.http("/echo?a=1"));
    let expected = format!("[1,2]|POST 200 1 {}", library.https("/echo?a=1"));
    assert_eq!(outcome(curl, b""), (0, expected, String::new()));
}

#[test]
fn the_redirect_keeps_path_and_query_as_they_are() {
    let test = "the_redirect_keeps_path_and_query_as_they_are";
    let site = Site::serve(&[]);
    for target in ["/", "/a/b%20c/?x=1&y=%2F%3f&&z", "/?https://evil.example/"] {
        let Some(mut curl) = curl(test) else { return };
        curl.args(["--path-as-is", "--write-out", "%{http_code} %{redirect_url}", &site.http(target)]);
        let expected = format!("301 {}", site.https(target));
        assert_eq!(outcome(curl, b""), (0, expected, String::new()), "{target}");
    }
    // Followed without its host, this would lead to another one.
    let Some(mut curl) = curl(test) else { return };
    curl.args([
        "--output",
        "-",
        "--write-out",
        "|%{http_code} %{redirect_url}",
        &site.http("//evil.example/x"),
    ]);
    let (code, answer, errors) = outcome(curl, b"");
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(answer.ends_with("|400 "), "{answer}");
}

#[test]
fn a_foreign_host_is_never_redirected_to() {
    let test = "a_foreign_host_is_never_redirected_to";
    let site = Site::serve(&[]);
    let foreign = ["evil.example", "localhost.evil.example", "evil.example:80", "10.0.0.1", "[::2]"];
    for host in foreign {
        let Some(mut curl) = curl(test) else { return };
        curl.args(["--include", "--header", &format!("Host: {host}"), &site.http("/")]);
        let (code, answer, errors) = outcome(curl, b"");
        assert_eq!((code, errors.as_str()), (0, ""), "{host}");
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
        assert!(
            !answer.to_ascii_lowercase().contains("location:") && !answer.contains("evil"),
            "{host}: {answer}"
        );
    }
    let Some(mut curl) = curl(test) else { return };
    curl.args([
        "--header",
        "Host: device.test:81",
        "--write-out",
        "%{http_code} %{redirect_url}",
        &site.http("/a"),
    ]);
    let own = format!("301 https://device.test:{}/a", site.https);
    assert_eq!(outcome(curl, b""), (0, own, String::new()));
}

#[test]
fn a_public_name_and_port_lead_every_redirect() {
    let Some(mut curl) = curl("a_public_name_and_port_lead_every_redirect") else { return };
    let site = Site::serve(&["--public-name", "gate.example", "--public-port", "443"]);
    curl.args([
        "--header",
        "Host: evil.example",
        "--write-out",
        "%{http_code} %{redirect_url}",
        &site.http("/a?b"),
    ]);
    assert_eq!(outcome(curl, b""), (0, "301 https://gate.example/a?b".into(), String::new()));
}

#[test]
fn credentials_in_clear_are_refused_if_asked_and_never_logged() {
    let test = "credentials_in_clear_are_refused_if_asked_and_never_logged";
    for policy in ["warn", "refuse"] {
        let mut site =
            Site::serve(&["-vv", "--http-credentials", policy, "--credential-header", "X-Device-Token"]);
        for (field, name) in [
            ("Authorization: Bearer s3cret", "authorization"),
            ("X-API-Key: s3cret", "x-api-key"),
            ("x-device-token: s3cret", "x-device-token"),
        ] {
            let Some(mut curl) = curl(test) else { return };
            curl.args(["--include", "--header", field, &site.http("/api/data?key=s3cret")]);
            let (code, answer, errors) = outcome(curl, b"");
            assert_eq!((code, errors.as_str()), (0, ""), "{field}");
            let line = site.server.stderr.expect("sent credentials over plain HTTP");
            assert!(line.contains("WARN") && line.contains(&format!("({name})")), "{line}");
            if policy == "warn" {
                assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
                continue;
            }
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
            assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
            assert!(
                !answer.to_ascii_lowercase().contains("location:") && !answer.contains("s3cret"),
                "{answer}"
            );
        }
        // Without credentials it redirects as ever.
        let Some(mut curl) = curl(test) else { return };
        curl.args(["--write-out", "%{http_code}", &site.http("/api/data")]);
        assert_eq!(outcome(curl, b""), (0, "301".into(), String::new()));
        let log = site.server.stop();
        assert!(!log.contains("s3cret"), "{log}");
        assert!(log.contains("such requests so far: 3"), "{log}");
    }
}

#[test]
fn an_ipv6_address_keeps_its_brackets() {
    let test = "an_ipv6_address_keeps_its_brackets";
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        leave_out(&format!("{test}: this machine has no IPv6 on its loopback"));
        return;
    }
    let mut site = Site::serve(&["--https", "[::1]:0", "--http", "[::1]:0"]);
    let Some(mut curl) = curl(test) else { return };
    let (http, https) = (site.http, site.https);
    curl.args(["--globoff", "--location", "--write-out", "|%{url_effective}", "--cacert", site.ca()]);
    curl.arg(format!("http://[::1]:{http}/api/data?a"));
    let expected = format!("{BODY}|https://[::1]:{https}/api/data?a");
    assert_eq!(outcome(curl, b""), (0, expected, String::new()));
    site.server.stop();
}

// openssl s_client.

#[test]
fn openssl_verifies_the_certificate_and_agrees_on_http_1_1() {
    let test = "openssl_verifies_the_certificate_and_agrees_on_http_1_1";
    let site = Site::serve(&[]);
    for (option, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let Some(mut openssl) = s_client(test, &site) else { return };
        openssl.args([
            option,
            "-alpn",
            "h2,http/1.1",
            "-verify_hostname",
            "device.test",
            "-verify_return_error",
        ]);
        let (code, shown, errors) = outcome(openssl, GET_AND_CLOSE);
        assert_eq!(code, 0, "{shown}{errors}");
        for words in [
            "Verification: OK",
            "Verified peername: device.test",
            "ALPN protocol: http/1.1",
            &format!("New, {version}, Cipher is "),
            "Verify return code: 0 (ok)",
            "HTTP/1.1 200 OK",
            BODY,
        ] {
            assert!(shown.contains(words), "{option}: {words:?} is not in:\n{shown}{errors}");
        }
    }
    // Below TLS 1.2 there is nothing to be had, whatever openssl itself allows.
    let Some(mut openssl) = s_client(test, &site) else { return };
    openssl.args(["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    let (code, shown, errors) = outcome(openssl, GET_AND_CLOSE);
    assert_ne!(code, 0, "{shown}{errors}");
    assert!(!shown.contains(BODY), "{shown}");
}

#[test]
fn openssl_resumes_a_session_with_its_ticket() {
    let test = "openssl_resumes_a_session_with_its_ticket";
    let site = Site::serve(&[]);
    let file = site.authority.dir().join("session.pem");
    let session = text(&file);
    for (option, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        for (use_session, words) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let Some(mut openssl) = s_client(test, &site) else { return };
            openssl.args([option, use_session, session]);
            let (code, shown, errors) = outcome(openssl, GET_AND_CLOSE);
            assert_eq!(code, 0, "{shown}{errors}");
            assert!(
                shown.contains(&format!("{words}{version}, Cipher is ")),
                "{option} {use_session}:\n{shown}"
            );
            assert!(shown.contains(BODY), "{shown}");
        }
    }
}

// Node and Python.

#[test]
fn node_gets_posts_and_reuses_its_connection() {
    const SCRIPT: &str = r#"
        const https = require('https');
        const fs = require('fs');
        const [ca, data, echo] = [fs.readFileSync(process.argv[1]), process.argv[2], process.argv[3]];
        const agent = new https.Agent({ ca, keepAlive: true, maxSockets: 1 });
        const ask = (url, options, body) => new Promise((resolve, reject) => {
            const request = https.request(url, { agent, ...options }, response => {
                let text = '';
                response.setEncoding('utf8');
                response.on('data', piece => text += piece);
                response.on('end', () => resolve(
                    `${response.statusCode} ${request.reusedSocket} ${response.headers['content-type']} ${text}`));
            });
            request.on('error', reject);
            request.end(body);
        });
        (async () => {
            console.log(await ask(data, {}));
            console.log(await ask(data, { method: 'HEAD' }));
            console.log(await ask(data, {}));
            const headers = { 'Content-Type': 'application/json' };
            const body = JSON.stringify({ celsius: 21.5, room: 'Küche' });
            console.log(await ask(echo, { method: 'POST', headers }, body));
            console.log(await ask(echo, { method: 'POST', headers: { ...headers, 'Content-Length': Buffer.byteLength(body) } }, body));
            console.log(await ask(echo, { method: 'POST', headers }, 'no JSON'));
            agent.destroy();
            https.get(data, { ca: [] }, () => console.log('believed')).on('error', error => console.log(error.code));
        })();
    "#;
    let library = Library::start();
    let line = [library.ca(), &library.https("/api/data"), &library.https("/echo")];
    let Some(node) =
        NODE.command("node_gets_posts_and_reuses_its_connection", &[&["-e", SCRIPT][..], &line].concat())
    else {
        return;
    };
    let (code, said, errors) = outcome(node, b"");
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    let said: Vec<&str> = said.lines().collect();
    let posted = r#"200 true application/json {"celsius":21.5,"room":"Küche"}"#;
    assert_eq!(said[0], format!("200 false application/json {BODY}"));
    assert_eq!(said[1], "200 true application/json ");
    assert_eq!(said[2], format!("200 true application/json {BODY}"));
    assert_eq!(said[3..5], [posted, posted]);
    assert!(said[5].starts_with("400 true application/problem+json {"), "{said:?}");
    assert!(
        ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"].contains(&said[6]),
        "{said:?}"
    );
}

/// An agent that may keep its connections for longer than the server does sends a request just as the server closes, unless it
/// is told for how long they are kept.
#[test]
fn nodes_agent_posts_around_the_end_of_a_kept_connection_and_none_is_reset() {
    const SCRIPT: &str = r#"
        const https = require('https');
        const ca = require('fs').readFileSync(process.argv[1]);
        const [url, idle] = [process.argv[2], Number(process.argv[3])];
        const wait = time => new Promise(resolve => setTimeout(resolve, time));
        const post = agent => new Promise(resolve => {
            const request = https.request(url, { method: 'POST', agent, ca, headers: { 'Content-Length': 5 } }, response => {
                response.resume();
                response.on('end', () => resolve(request.reusedSocket ? 'reused' : 'new'));
            });
            request.on('error', error => resolve(error.code));
            request.write('a');
            request.end('bcde');
        });
        const one = async number => {
            const agent = new https.Agent({ keepAlive: true, maxSockets: 1, timeout: 60000 });
            await wait(number * 5);
            const outcomes = [await post(agent), await post(agent)];
            await wait(idle - 6 + number % 13);
            outcomes.push(await post(agent));
            agent.destroy();
            return outcomes.join(' ');
        };
        Promise.all(Array.from({ length: 100 }, (_, number) => one(number))).then(outcomes => {
            const counts = {};
            for (const outcome of outcomes) counts[outcome] = (counts[outcome] || 0) + 1;
            console.log(JSON.stringify(counts));
        });
    "#;
    let site = Site::serve(&["--idle-timeout", "3s"]);
    let line = ["-e", SCRIPT, site.ca(), &site.https("/api/data"), "3000"];
    let test = "nodes_agent_posts_around_the_end_of_a_kept_connection_and_none_is_reset";
    let Some(node) = NODE.command(test, &line) else { return };
    assert_eq!(outcome(node, b""), (0, "{\"new reused new\":100}\n".into(), String::new()));
}

#[test]
fn node_is_answered_by_the_command_as_by_the_reference() {
    const SCRIPT: &str = r#"
        const [ca, url] = [require('fs').readFileSync(process.argv[1]), process.argv[2]];
        require('https').get(url, { ca }, response => {
            response.on('data', piece => process.stdout.write(piece));
        });
    "#;
    let site = Site::serve(&[]);
    let line = ["-e", SCRIPT, site.ca(), &site.https("/api/data")];
    let Some(node) = NODE.command("node_is_answered_by_the_command_as_by_the_reference", &line) else {
        return;
    };
    assert_eq!(outcome(node, b""), (0, BODY.into(), String::new()));
}

#[test]
fn python_gets_posts_and_reuses_its_connection() {
    const SCRIPT: &str = r#"
import http.client, json, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
client = http.client.HTTPSConnection("localhost", int(sys.argv[2]), timeout=50, context=context)
client.connect()
socket = client.sock
client.request("GET", "/api/data")
print(client.getresponse().read().decode())
client.request("POST", "/echo", json.dumps([1, 2]), {"Content-Type": "application/json"})
print(client.getresponse().read().decode())
client.request("POST", "/length", iter([b"in ", b"pieces"]), encode_chunked=True)
print(client.getresponse().read().decode())
print(client.sock is socket, socket.version())
"#;
    let library = Library::start();
    let line = ["-c", SCRIPT, library.ca(), &library.https.to_string()];
    let Some(python) = PYTHON.command("python_gets_posts_and_reuses_its_connection", &line) else { return };
    let expected = format!("{BODY}\n[1,2]\n{{\"length\":9}}\nTrue TLSv1.3\n");
    assert_eq!(outcome(python, b""), (0, expected, String::new()));
}

// Helpers.

const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", "device.test", "*.wild.test"];

fn pair_of(authority: &Authority) -> Pair {
    authority.pair_for("site", &NAMES, -60, 3600)
}

/// The built command, serving.
struct Site {
    authority: Authority,
    server: Server,
    https: u16,
    http: u16,
}

impl Site {
    fn serve(further: &[&str]) -> Site {
        let authority = Authority::new();
        let mut server = Server::serve(&pair_of(&authority), further);
        let https = server.https_port();
        let http = server.http_port();
        Site { authority, server, https, http }
    }

    fn ca(&self) -> &str {
        text(&self.authority.ca)
    }

    fn https(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.https)
    }

    fn http(&self, target: &str) -> String {
        format!("http://localhost:{}{target}", self.http)
    }
}

/// The library, serving in this process, with the routes that the command does not have.
struct Library {
    authority: Authority,
    running: Option<Running>,
    https: u16,
    http: u16,
}

impl Library {
    fn start() -> Library {
        let authority = Authority::new();
        let pair = pair_of(&authority);
        let length = |request: &mut Request| -> Result<Response, Error> {
            let length = io::copy(request.body(), &mut io::sink())?;
            Ok(Response::json(&json!({ "length": length })))
        };
        let router = Router::new()
            .get("/api/data", |_: &mut Request| Response::json(&json!({"message": "Secure data over HTTPS"})))
            .post("/echo", |request: &mut Request| -> Result<Response, Error> {
                let value: Value = request.json()?;
                Ok(Response::json(&value))
            })
            .post("/length", length)
            .put("/length", length);
        let server = lockgate::Server::builder(router)
            .https("127.0.0.1:0")
            .redirect_http("127.0.0.1:0")
            .identity(Identity::from_pem_files(&pair.cert, &pair.key).unwrap())
            .bind()
            .unwrap();
        let (https, http) = (server.local_addr().port(), server.redirect_addr().unwrap().port());
        Library { authority, running: Some(server.spawn().unwrap()), https, http }
    }

    fn ca(&self) -> &str {
        text(&self.authority.ca)
    }

    fn https(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.https)
    }

    fn http(&self, target: &str) -> String {
        format!("http://localhost:{}{target}", self.http)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.handle().stop();
            running.join().unwrap();
        }
    }
}

/// curl as these tests want it: whatever the user's own configuration says, quiet but for errors.
fn curl(test: &str) -> Option<Command> {
    CURL.command(test, &["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "50"])
}

/// Connects as device.test. It ends when the server ends the connection, not before.
fn s_client(test: &str, site: &Site) -> Option<Command> {
    let address = format!("127.0.0.1:{}", site.https);
    let line =
        ["s_client", "-connect", &address, "-servername", "device.test", "-CAfile", site.ca(), "-ign_eof"];
    OPENSSL.command(test, &line)
}
