//! Who answers for `lockgate serve`: servers behind it, by the prefix of the path, files, and JSON files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::support_command::certificates::{Authority, Pair};
use super::support_command::client::{tcp, Client};
use super::support_command::{lockgate, outcome, serve_line, text, Server};

/// A server behind the command: it answers with its name, and says what it was asked for.
struct Backend {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Answers with its name and the request's line. `fields` are added to answers.
    fn named(name: &'static str, fields: &'static str) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Backend { url, heads: answer(move || listener.accept().map(|(peer, _)| peer).unwrap(), name, fields) }
    }

    fn on_socket(path: &Path, name: &'static str) -> Backend {
        let listener = UnixListener::bind(path).unwrap();
        let heads = answer(move || listener.accept().map(|(peer, _)| peer).unwrap(), name, "");
        Backend { url: format!("unix:{}", text(path)), heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer<P: Read + Write>(
    accept: impl Fn() -> P + Send + 'static,
    name: &'static str,
    fields: &'static str,
) -> Arc<Mutex<Vec<String>>> {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heads.clone();
    thread::spawn(move || loop {
        let mut peer = accept();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(peer.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        if head.is_empty() {
            continue;
        }
        let head = String::from_utf8(head).unwrap();
        let body = format!("{name}: {}", head.split(" HTTP/").next().unwrap());
        kept.lock().unwrap().push(head);
        let length = body.len();
        let _ = write!(
            peer,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
    });
    heads
}

/// What a client gets: the head and the body.
fn ask(client: &mut Client, line: &str) -> (String, String) {
    client.send(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.response()
}

fn status(head: &str) -> &str {
    &head[9..12]
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

struct Served {
    authority: Authority,
    pair: Pair,
}

impl Served {
    fn new() -> Served {
        let authority = Authority::new();
        let pair = authority.pair("a");
        Served { authority, pair }
    }

    fn start(&self, further: &[&str]) -> (Server, Client) {
        let mut server = Server::serve(&self.pair, further);
        let client = Client::connect(server.https_port(), &self.authority.certificate());
        (server, client)
    }

    /// A file of settings with this certificate.
    fn file(&self, folder: &Path, settings: &str) -> String {
        let file = folder.join("lockgate.toml");
        let (cert, key) = (text(&self.pair.cert), text(&self.pair.key));
        let general =
            format!("cert = \"{cert}\"\nkey = \"{key}\"\nhttps = \"127.0.0.1:0\"\nhttp = \"off\"\n");
        fs::write(&file, general + settings).unwrap();
        text(&file).to_string()
    }
}

#[test]
fn the_longest_prefix_wins_and_the_backend_gets_the_path_that_the_table_of_the_help_says() {
    let dir = TempDir::new().unwrap();
    let (rest, keep, strip) =
        (Backend::named("rest", ""), Backend::named("keep", ""), Backend::named("strip", ""));
    let (folder, socket) =
        (Backend::named("folder", ""), Backend::on_socket(&dir.path().join("app.sock"), "socket"));
    let routes = [
        format!("/keep={}", keep.url),
        format!("/keep/strip={}/", strip.url),
        format!("/folder/={}/", folder.url),
        format!("/sock={}/", socket.url),
    ];
    let mut line = vec!["--to", &rest.url];
    routes.iter().for_each(|route| line.extend(["--route", route]));
    let served = Served::new();
    let (mut server, mut client) = served.start(&line);
    for (path, expected) in [
        ("/", "rest: GET /"),
        ("/x?a=b&c", "rest: GET /x?a=b&c"),
        ("/keepx", "rest: GET /keepx"),
        ("/x/keep", "rest: GET /x/keep"),
        ("/keep", "keep: GET /keep"),
        ("/keep/", "keep: GET /keep/"),
        ("/keep?a", "keep: GET /keep?a"),
        ("/keep/a%20b/..c/", "keep: GET /keep/a%20b/..c/"),
        ("/keep//a", "keep: GET /keep//a"),
        ("/%6beep/a", "keep: GET /%6beep/a"),
        ("/keep/stripx", "keep: GET /keep/stripx"),
        ("/keep/strip", "strip: GET /"),
        ("/keep/strip/", "strip: GET /"),
        ("/keep/strip?a=/keep/strip/", "strip: GET /?a=/keep/strip/"),
        ("/keep/strip/a/%3D?b", "strip: GET /a/%3D?b"),
        ("/keep/%73trip/a//b/", "strip: GET /a//b/"),
        ("/folder/", "folder: GET /"),
        ("/folder/a", "folder: GET /a"),
        ("/sock/a", "socket: GET /a"),
    ] {
        let (head, body) = ask(&mut client, &format!("GET {path}"));
        assert_eq!((status(&head), &*body), ("200", expected), "{path}");
    }
    // As with nginx: the links of the page there lead below it.
    let (head, _) = ask(&mut client, "POST /folder?a=b");
    assert_eq!((status(&head), field(&head, "location")), ("307", Some("./folder/?a=b")));
    assert!(strip.heads()[0].contains("\r\nx-forwarded-prefix: /keep/strip\r\n"));
    assert!(!keep.heads()[0].contains("x-forwarded-prefix"));
    server.stop();
}

#[test]
fn a_target_over_https_is_verified_by_the_authority_that_is_given() {
    let served = Served::new();
    let behind = Authority::new();
    let mut backend = Server::serve(&behind.pair("backend"), &[]);
    let url = format!("https://localhost:{}", backend.https_port());
    let route = format!("/in/={url}/");
    let (mut server, mut client) =
        served.start(&["--to", &url, "--route", &route, "--backend-ca", text(&behind.ca)]);
    for path in ["/api/data", "/in/api/data"] {
        let (head, body) = ask(&mut client, &format!("GET {path}"));
        assert_eq!((status(&head), &*body), ("200", super::support_command::BODY));
    }
    server.stop();
    let (mut server, mut client) = served.start(&["--to", &url, "--backend-ca", text(&served.authority.ca)]);
    assert_eq!(status(&ask(&mut client, "GET /api/data").0), "502");
    server.stop();
    backend.stop();
}

#[test]
fn a_target_that_asks_for_a_certificate_is_shown_one_and_its_backend_is_told_of_it() {
    let (served, clients) = (Served::new(), Authority::new());
    let client = clients.client("front");
    let backend = Backend::named("backend", "");
    let own = ["--to", &backend.url, "--client-ca", text(&clients.ca), "--client-cert-field", "own"];
    let mut behind = Server::serve(&served.pair, &own);
    let url = format!("https://localhost:{}", behind.https_port());
    let secure = ["--to", &url, "--backend-ca", text(&served.authority.ca)];
    let shown = ["--backend-cert", text(&client.cert), "--backend-key", text(&client.key)];
    fs::set_permissions(&client.key, fs::Permissions::from_mode(0o644)).unwrap();
    let (mut server, mut client_of_front) = served.start(&[&secure[..], &shown].concat());
    let warning = server.stderr.expect("chmod 600");
    assert!(warning.contains(text(&client.key)), "{warning}");
    client_of_front.send("GET / HTTP/1.1\r\nHost: localhost\r\nClient-Cert: :AAAA:\r\n\r\n");
    assert_eq!(client_of_front.response().1, "backend: GET /");
    let head = backend.heads().remove(0);
    let told: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("client-cert: ")).collect();
    assert!(matches!(told[..], [one] if one.starts_with(":MII") && one.ends_with(':')), "{head}");
    server.stop();
    let (mut server, mut client_of_front) = served.start(&secure);
    assert_eq!(status(&ask(&mut client_of_front, "GET /").0), "502");
    let log = server.stop();
    assert!(log.contains("requires a client's certificate; give one with --backend-cert"), "{log}");
    assert!(!log.contains("Proxy::"), "{log}");
    behind.stop();
}

#[test]
fn requests_wait_for_room_at_a_server_as_many_and_as_long_as_is_said() {
    let dir = TempDir::new().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("to = \"http://{}\"\n", silent.local_addr().unwrap());
    let served = Served::new();
    let of_route = |further: &str| format!("[[route]]\npath = \"/\"\n{to}{further}");
    for (settings, words) in [
        (format!("{to}backend-requests = 1\nbackend-queue = 0\n"), "as many requests as may wait for it"),
        (of_route("backend-requests = 1\nbackend-queue = 0\n"), "as many requests as may wait for it"),
        (
            format!("{to}backend-requests = 1\nbackend-queue-timeout = \"50ms\"\n"),
            "no room for a further request within 50ms",
        ),
        (
            of_route("backend-requests = 1\nbackend-queue-timeout = \"50ms\"\n"),
            "no room for a further request within 50ms",
        ),
    ] {
        let config = served.file(dir.path(), &settings);
        let mut server = Server::spawn(lockgate(&["serve", "--config", &config]));
        let port = server.https_port();
        let connect = || Client::connect(port, &served.authority.certificate());
        let mut first = connect();
        first.send("GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // The start connects too, and sends nothing.
        let _held = loop {
            let mut peer = silent.accept().unwrap().0;
            if matches!(peer.read(&mut [0]), Ok(1)) {
                break peer;
            }
        };
        assert_eq!(status(&ask(&mut connect(), "GET /second").0), "503", "{settings}");
        server.stderr.expect(words);
    }
}

#[test]
fn several_targets_of_one_prefix_share_its_requests() {
    let (one, other) = (Backend::named("one", ""), Backend::named("other", ""));
    let routes = [format!("/api={}/", one.url), format!("/api={}/", other.url)];
    let served = Served::new();
    let (mut server, mut client) =
        served.start(&["--to", &one.url, "--to", &other.url, "--route", &routes[0], "--route", &routes[1]]);
    for path in ["/a", "/api/a"] {
        for _ in 0..4 {
            assert!(ask(&mut client, &format!("GET {path}")).1.ends_with(": GET /a"));
        }
    }
    assert_eq!((one.heads().len(), other.heads().len()), (4, 4));
    server.stop();
}

#[test]
fn no_other_spelling_of_a_path_gets_past_its_route() {
    let (rest, api) = (Backend::named("rest", ""), Backend::named("api", ""));
    let (route, below) = (format!("/api/={}/", api.url), format!("/api/admin={}", rest.url));
    let served = Served::new();
    let line = ["--to", &rest.url, "--route", &route, "--route", &below];
    let mut server = Server::serve(&served.pair, &line);
    let port = server.https_port();
    let mut client = Client::connect(port, &served.authority.certificate());
    for path in [
        "/API",
        "/Api/x",
        "/x/../api",
        "/x/%2e%2e/api",
        "/x/.%2E/api",
        "/./api",
        "//api",
        "/api//admin",
        "/api//x",
        "/api/../x",
        "/api/%2e%2e/x",
        "/api../x",
        "/api%2e%2e/x",
        "/api/..;/x",
        "/api/..%3b/x",
        "/api/.;/x",
        "/api/..;a=b/..;c/x",
        "/x/..;/api",
        "/api;a=b/x",
        "/api%3b/x",
        "/;/api",
        "/api%2Fx",
        "/api%2f..%2fx",
        "/api%5c..%5cx",
        "/api\\..\\x",
        "/api%00",
        "/api%20/x",
        "/api%2e",
        "/api/ADMIN",
        "/api/admin;x",
        "/api/admin./x",
        "/api/x/../admin",
        "/%61pi/%41dmin",
    ] {
        let (head, body) = ask(&mut client, &format!("GET {path}"));
        assert_eq!(status(&head), "400", "{path}: {body}");
        if head.contains("\r\nconnection: close\r\n") {
            client = Client::connect(port, &served.authority.certificate());
        }
    }
    assert_eq!((rest.heads(), api.heads()), (Vec::new(), Vec::new()));
    // Spellings that no rule is about are passed on as they are.
    for path in ["/Other", "/x;a=b/y", "/x//y", "/x./y", "/%2561pi"] {
        assert_eq!(ask(&mut client, &format!("GET {path}")).1, format!("rest: GET {path}"));
    }
    for (path, expected) in [("/%61pi/x", "api: GET /x"), ("/api/%61dmin", "rest: GET /api/%61dmin")] {
        assert_eq!(ask(&mut client, &format!("GET {path}")).1, expected);
    }
    server.stop();
}

#[test]
fn files_answer_what_no_route_takes_and_json_files_their_path() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("index.html"), "page").unwrap();
    fs::create_dir(dir.path().join("api")).unwrap();
    fs::write(dir.path().join("api/secret"), "file").unwrap();
    let json = dir.path().join("version.json");
    fs::write(&json, "{\"version\": 7}\n").unwrap();
    let api = Backend::named("api", "");
    let (route, answer) = (format!("/api/={}", api.url), format!("/api/version={}", text(&json)));
    let served = Served::new();
    let (mut server, mut client) =
        served.start(&["--files", text(dir.path()), "--route", &route, "--answer", &answer]);
    for (line, expected, body) in [
        ("GET /", "200", Some("page")),
        ("GET /api/x", "200", Some("api: GET /api/x")),
        ("POST /api/x", "200", Some("api: POST /api/x")),
        ("GET /api/secret", "200", Some("api: GET /api/secret")),
        ("GET /API/secret", "400", None),
        ("GET /none", "404", None),
        ("POST /", "405", None),
        ("GET /api/version", "200", Some("{\"version\": 7}\n")),
        ("POST /api/version", "405", None),
        ("GET /api/version/", "200", Some("api: GET /api/version/")),
    ] {
        let (head, got) = ask(&mut client, line);
        assert_eq!(status(&head), expected, "{line}: {got}");
        assert!(body.map_or(true, |body| body == got), "{line}: {got}");
    }
    // The file is taken when it changes, and the last good one stays.
    fs::write(&json, "[8]").unwrap();
    assert_eq!(ask(&mut client, "GET /api/version").1, "[8]");
    fs::write(&json, "[8,").unwrap();
    assert_eq!(ask(&mut client, "GET /api/version").1, "[8]");
    server.stderr.expect("version.json: is not JSON: EOF while parsing a value at line 1 column 3");
    server.stop();
}

#[test]
fn redirects_and_cookies_of_a_backend_below_a_prefix_lead_below_it() {
    let fields = "Location: /login\r\nSet-Cookie: a=b; Path=/\r\n";
    let (below, rest) = (Backend::named("below", fields), Backend::named("rest", fields));
    let route = format!("/app={}/", below.url);
    let served = Served::new();
    let again = format!("/again={}/", below.url);
    let line = ["--to", &rest.url, "--route", &route, "--route", &again, "--host", "app.internal:8080"];
    let (mut server, mut client) = served.start(&line);
    for (path, location, cookie) in [
        ("/app/x", "/app/login", "a=b; Path=/app; Secure"),
        ("/again/x", "/again/login", "a=b; Path=/again; Secure"),
        ("/x", "/login", "a=b; Path=/; Secure"),
    ] {
        for _ in 0..2 {
            let (head, _) = ask(&mut client, &format!("GET {path}"));
            assert_eq!(
                (field(&head, "location"), field(&head, "set-cookie")),
                (Some(location), Some(cookie))
            );
        }
    }
    assert!(below.heads()[0].contains("\r\nhost: app.internal:8080\r\n"));
    let log = server.stop();
    for backend in [&below, &rest] {
        let told = format!("cookies of {} get Secure", backend.url);
        assert_eq!(log.matches(&told).count(), 1, "{log}");
    }
    let (mut server, mut client) = served.start(&["--to", &rest.url, "--secure-cookies", "off"]);
    assert_eq!(field(&ask(&mut client, "GET /").0, "set-cookie"), Some("a=b; Path=/"));
    assert!(rest.heads().last().unwrap().contains("\r\nhost: localhost\r\n"));
    assert!(!server.stop().contains("get Secure"));
}

#[test]
fn a_route_table_holds_its_methods_fields_and_limits() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("ui")).unwrap();
    fs::write(dir.path().join("ui/index.html"), "page").unwrap();
    fs::write(dir.path().join("about.json"), "{}").unwrap();
    let api = Backend::named("api", "X-Own: backend\r\n");
    // Accepts, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = Served::new();
    let settings = format!(
        r#"
        to = "{api}"
        answer = ["/about=about.json"]
        [[route]]
        path = "/api"
        to = "{api}/"
        methods = ["GET", "POST"]
        headers = {{ X-Own = "table", Cache-Control = "no-store" }}
        body-bytes = 4
        [[route]]
        path = "/api/slow"
        to = "http://{silent}"
        answer-timeout = "50ms"
        [[route]]
        path = "/ui"
        files = "ui"
        headers = {{ X-Frame-Options = "DENY" }}
        "#,
        api = api.url,
        silent = silent.local_addr().unwrap(),
    );
    let config = served.file(dir.path(), &settings);
    let mut server = Server::spawn(lockgate(&["serve", "--config", &config]));
    let mut client = Client::connect(server.https_port(), &served.authority.certificate());
    let (head, body) = ask(&mut client, "GET /api/x");
    assert_eq!(body, "api: GET /x");
    assert_eq!((field(&head, "x-own"), field(&head, "cache-control")), (Some("backend"), Some("no-store")));
    for (line, expected) in [("DELETE /api/x", "405"), ("PUT /api/slow", "504"), ("GET /ui/", "200")] {
        assert_eq!(status(&ask(&mut client, line).0), expected, "{line}");
    }
    assert_eq!(field(&ask(&mut client, "DELETE /api/x").0, "allow"), Some("GET, POST, HEAD, OPTIONS"));
    let (head, body) = ask(&mut client, "GET /ui/");
    assert_eq!((&*body, field(&head, "x-frame-options")), ("page", Some("DENY")));
    assert_eq!(field(&ask(&mut client, "GET /ui").0, "location"), Some("./ui/"));
    assert_eq!(ask(&mut client, "GET /about").1, "{}");
    assert_eq!(ask(&mut client, "GET /x").1, "api: GET /x");
    for (length, expected) in [(4, "200"), (5, "413")] {
        let body = "x".repeat(length);
        client.send(&format!("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert_eq!(status(&client.response().0), expected);
    }
    server.stop();
}

#[test]
fn the_fields_of_a_route_are_on_every_answer_and_those_that_let_caches_keep_it_are_on_no_error() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("ui")).unwrap();
    fs::write(dir.path().join("ui/app.js"), "x").unwrap();
    fs::write(dir.path().join("about.json"), "{}").unwrap();
    let api = Backend::named("api", "Cache-Control: private\r\n");
    // Accepts, and never answers.
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let served = Served::new();
    let headers =
        "headers = { Cache-Control = \"public, max-age=60\", Expires = \"Fri, 01 Jan 2100 00:00:00 GMT\", \
                   X-Frame-Options = \"DENY\", X-Content-Type-Options = \"of-the-route\" }";
    let settings = format!(
        r#"
        [[route]]
        path = "/ui"
        files = "ui"
        {headers}
        [[route]]
        path = "/about"
        answer = "about.json"
        {headers}
        [[route]]
        path = "/api"
        to = "{api}"
        methods = ["GET"]
        body-bytes = 4
        {headers}
        [[route]]
        path = "/api/gone"
        to = "http://{gone}"
        {headers}
        [[route]]
        path = "/held"
        to = "http://{held}"
        concurrent = 1
        {headers}
        [[route]]
        path = "/held/free"
        to = "{api}"
        [[route]]
        path = "/private"
        to = "http://{gone}"
        headers = {{ Cache-Control = "no-store" }}
        "#,
        api = api.url,
        held = held.local_addr().unwrap(),
    );
    let config = served.file(dir.path(), &settings);
    let mut server = Server::spawn(lockgate(&["serve", "--config", &config]));
    let (port, authority) = (server.https_port(), served.authority.certificate());
    let mut holds = Client::connect(port, &authority);
    holds.send("GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _held = held.accept().unwrap();
    let mut client = Client::connect(port, &authority);
    let kept = Some("public, max-age=60");
    for (line, code, cache_control) in [
        ("GET /ui/app.js", "200", kept),
        ("GET /%75i/app.js", "200", kept),
        ("GET /ui", "307", kept),
        ("GET /about", "200", kept),
        ("GET /api/x", "200", Some("private")),
        ("GET /ui/none.js", "404", None),
        ("POST /ui/app.js", "405", None),
        ("POST /about", "405", None),
        ("GET /about/x", "404", None),
        ("DELETE /api/x", "405", None),
        ("GET /api/..;/x", "400", None),
        ("GET /api/gone", "502", None),
        ("GET /held", "503", None),
        ("GET /held/free", "200", Some("private")),
        ("GET /private", "502", Some("no-store")),
        ("GET /none", "404", None),
    ] {
        let (head, _) = ask(&mut client, line);
        assert_eq!((status(&head), field(&head, "cache-control")), (code, cache_control), "{line}: {head}");
        let has_all =
            !["/held/free", "/private", "/none", "/about/x"].iter().any(|path| line.ends_with(path));
        let of_route = |name: &str, value: &'static str| (field(&head, name), has_all.then_some(value));
        let (frame, expected) = of_route("x-frame-options", "DENY");
        assert_eq!(frame, expected, "{line}: {head}");
        let (nosniff, expected) = of_route("x-content-type-options", "of-the-route");
        assert!(nosniff == expected || !has_all, "{line}: {head}");
        let expires = has_all && code.parse::<u16>().unwrap() < 400;
        assert_eq!(field(&head, "expires").is_some(), expires, "{line}: {head}");
    }
    client.send("POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    let (head, _) = client.response();
    assert_eq!((status(&head), field(&head, "x-frame-options")), ("413", Some("DENY")), "{head}");
    assert_eq!(field(&head, "cache-control"), None);
}

#[test]
fn hsts_is_sent_where_nobody_is_locked_out_and_never_twice_and_never_in_clear() {
    let (plain, own) =
        (Backend::named("plain", ""), Backend::named("own", "Strict-Transport-Security: max-age=7\r\n"));
    let route = format!("/own={}", own.url);
    let served = Served::new();
    for (hsts, expected) in [("auto", None), ("86400", None), ("off", None), ("0", Some("max-age=0"))] {
        let mut server =
            Server::serve(&served.pair, &["--to", &plain.url, "--route", &route, "--hsts", hsts]);
        let mut client = Client::connect(server.https_port(), &served.authority.certificate());
        // The certificate is of an authority that browsers do not know.
        for host in ["localhost", "127.0.0.1", "a.example.com"] {
            client.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(field(&client.response().0, "strict-transport-security"), expected, "{hsts} {host}");
        }
        let (head, _) = ask(&mut client, "GET /own");
        assert_eq!(head.matches("strict-transport-security: ").count(), 1);
        assert_eq!(field(&head, "strict-transport-security"), Some("max-age=7"));
        let mut clear = tcp(server.http_port());
        clear.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let redirect = std::io::read_to_string(clear).unwrap();
        assert!(redirect.starts_with("HTTP/1.1 301") && !redirect.contains("strict"), "{redirect}");
        server.stop();
    }
}

#[test]
fn what_answers_by_mistake_is_refused_before_the_start_with_the_way_out() {
    let dir = TempDir::new().unwrap();
    let json = dir.path().join("a.json");
    fs::write(&json, "{\n \"a\": nope\n}").unwrap();
    let answer = format!("/a={}", text(&json));
    let served = Served::new();
    let to = "http://127.0.0.1:3000";
    for (line, code, words) in [
        (&["--to", "3000"][..], 2, "--to: \"3000\" is not accepted here; give http://HOST:PORT"),
        (&["--to", "3000"], 2, "a socket; is http://127.0.0.1:3000 meant?"),
        (&["--to", "localhost:3000"], 2, "is http://localhost:3000 meant?"),
        (&["--to", "/run/app.sock"], 2, "is unix:/run/app.sock meant?"),
        (&["--to", "HTTP://a:1"], 2, "is http://a:1 meant?"),
        (
            &["--route", "/api=3000"],
            2,
            "--route: the target \"3000\" is not accepted here; give http://HOST:PORT, https://HOST:PORT, or unix: and \
             the path of a socket; is /api=http://127.0.0.1:3000 meant?",
        ),
        (&["--route", "api=http://a:1"], 2, "a path begins with a slash; is /api=http://a:1 meant?"),
        (&["--route", "/api/*=http://127.0.0.1:1"], 2, "--route /api/*: a prefix takes all below it; leave out /*"),
        (&["--route", "/api/{id}=http://127.0.0.1:1"], 2, "--route /api/{id}: a prefix has plain characters only"),
        (&["--route", "/a b=http://127.0.0.1:1"], 2, "--route /a b: a prefix has plain characters only"),
        (&["--route", "/a/../b=http://127.0.0.1:1"], 2, "--route /a/../b: a prefix has no dot segments"),
        (&["--route", "/a//b=http://127.0.0.1:1"], 2, "--route /a//b: a prefix has no empty segment"),
        (&["--answer", "/a/{b}=a.json"], 2, "--answer /a/{b}: a path has plain characters only"),
        (&["--to", to, "--answer-timeout", "0"], 2, "answer-timeout: 0ns is out of range"),
        (&["--to", to, "--connect-timeout", "0"], 2, "connect-timeout: 0ns is out of range"),
        (&["--to", to, "--silence-timeout", "0ms"], 2, "silence-timeout: 0ns is out of range"),
        (&["--to", to, "--tunnel-timeout", "0"], 2, "tunnel-timeout: 0ns is out of range"),
        (&["--to", to, "--backend-queue-timeout", "0"], 2, "backend-queue-timeout: 0ns is out of range"),
        (&["--to", to, "--backend-requests", "0"], 2, "--backend-requests: \"0\" is not accepted here; give a whole number from 1 up"),
        (&["--to", to, "--backend-cert", "a.pem"], 2, "--to: backend-cert and backend-key go together; give both"),
        (&["--to", to, "--client-cert-field", "own"], 2, "--to: client-cert-field tells of clients' certificates; give --client-ca FILE too"),
        (&["--client-cert-field", "on"], 2, "give off, own or chain"),
        (&["--https", "127.0.0.1:3000", "--to", to], 2, "--to: http://127.0.0.1:3000 is this server itself (--https)"),
        (&["--https", "3000", "--to", "http://localhost:3000"], 2, "is this server itself (--https)"),
        (&["--https", "[::]:3000", "--to", "https://[::1]:3000/"], 2, "is this server itself (--https)"),
        (&["--http", "0.0.0.0:3000", "--route", "/a=http://127.0.0.1:3000/"], 2, "/a: http://127.0.0.1:3000/ is this server itself (--http)"),
        (&["--route", to], 2, "give a path, = and a target"),
        (
            &["--route", "/a=http://127.0.0.1:1/b"],
            2,
            "--route: /a=http://127.0.0.1:1/b: a backend is given without a path",
        ),
        (&["--route", "/{a}=http://127.0.0.1:1/"], 2, "/{a}: a prefix has plain characters only"),
        (&["--route", "/{a=http://127.0.0.1:1"], 2, "/{a: "),
        (&["--to", to, "--files", "."], 2, "--files: another one answers what no route takes already"),
        (&["--to", to, "--route", "/=http://127.0.0.1:1"], 2, "another one answers what no route takes"),
        (&["--files", text(&json)], 2, "give the path of a folder"),
        (&["--answer", &answer], 2, "a.json is not JSON: expected ident at line 2 column 8"),
        (&["--answer", "a.json"], 2, "give a path, = and a JSON file"),
        (
            &["--route", "/a=http://127.0.0.1:1", "--route", "/a=http://127.0.0.1:2/"],
            2,
            "--route /a: http://127.0.0.1:2/ gets paths without the prefix, and http://127.0.0.1:1 with it",
        ),
        (
            &["--route", "/a=http://127.0.0.1:1", "--route", "/a/=http://127.0.0.1:2"],
            2,
            "--route /a/: another route has this prefix already",
        ),
        (&["--host", "a b"], 2, "--host: \"a b\" is not accepted here"),
        (&["--hsts", "on"], 2, "give auto, off or a number of seconds"),
        (&["--secure-cookies", "no"], 2, "give on or off"),
    ] {
        let (given, said, error) = outcome(lockgate(&[&serve_line(&served.pair)[..], line].concat()), b"");
        assert_eq!((given, &*said), (code, ""), "{line:?}: {error}");
        assert!(error.contains(words), "{line:?}: {error}");
    }
    let table = |path: &str| format!("[[route]]\npath = \"{path}\"\nto = \"{to}\"\n");
    for (settings, words) in [
        (table("/a") + &table("/a/"), "lockgate.toml:8: route /a/: another route has this prefix already"),
        (
            table("/a").replace("3000", "3000/b"),
            "lockgate.toml:7: to: http://127.0.0.1:3000/b: a backend is given without",
        ),
        (table("/a") + "concurrent = 0\n", "lockgate.toml:5: route /a: concurrent: 0 is out of range"),
        (table("/a") + "body-timeout = 0\n", "lockgate.toml:5: route /a: body-timeout"),
        (
            table("/a") + "answer-timeout = 0\n",
            "lockgate.toml:5: route /a: answer-timeout: 0ns is out of range; it may be from 1 ms to 365 days",
        ),
        (table("/a") + "connect-timeout = \"0\"\n", "route /a: connect-timeout: 0ns is out of range"),
        (table("/a") + "silence-timeout = 0\n", "route /a: silence-timeout: 0ns is out of range"),
        (table("/a") + "tunnel-timeout = 0\n", "route /a: tunnel-timeout: 0ns is out of range"),
        (table("/a") + "backend-key = \"k\"\n", "route /a: backend-cert and backend-key go together"),
        (table("/a") + "client-cert-field = \"own\"\n", "route /a: client-cert-field tells of clients'"),
        (
            format!("to = \"{to}/b\"\n"),
            "lockgate.toml:5: to: http://127.0.0.1:3000/b: a backend is given without",
        ),
        ("\nfiles = \"none\"\n".into(), "lockgate.toml:6: files: "),
        ("answer = \"/a=none.json\"\n".into(), "lockgate.toml:5: answer /a: "),
        ("route = \"/a/../b=http://a:1\"\n".into(), "lockgate.toml:5: route /a/../b: a prefix has no dot"),
    ] {
        let config = served.file(dir.path(), &settings);
        let (code, _, error) = outcome(lockgate(&["serve", "--config", &config]), b"");
        assert_eq!(code, 78, "{settings}: {error}");
        assert!(error.contains(words), "{settings}: {error}");
    }
}

#[test]
fn without_a_target_the_log_says_how_to_give_one() {
    let served = Served::new();
    let (mut server, mut client) = served.start(&[]);
    client.get();
    server.stderr.expect("--to http://127.0.0.1:3000 passes requests on");
    server.stop();
}

#[test]
fn the_log_says_at_the_start_who_answers_and_which_server_is_not_there() {
    let dir = TempDir::new().unwrap();
    let good = Backend::named("good", "");
    let closed = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let missing = format!("unix:{}/none.sock", text(dir.path()));
    fs::write(dir.path().join("a.json"), "{}").unwrap();
    // It takes no further connection: its queue is as short as can be, and full.
    let path = dir.path().join("busy.sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _held = UnixStream::connect(&path).unwrap();
    let busy = format!("unix:{}", text(&path));
    let routes = [
        format!("/closed/=http://{closed}"),
        format!("/gone={missing}/"),
        format!("/again={missing}"),
        format!("/busy={busy}"),
    ];
    let answer = format!("/a={}/a.json", text(dir.path()));
    let mut line = vec!["--to", &*good.url, "--answer", &answer];
    routes.iter().for_each(|route| line.extend(["--route", route]));
    let mut server = Served::new().start(&line).0;
    server.stderr.expect(&format!("{busy} cannot be reached yet: timed out"));
    let log = server.stop();
    for words in [
        format!("/closed and all below it: passed on to http://{closed}"),
        format!("what no other route takes: passed on to {}", good.url),
        format!("GET /a: {}/a.json", text(dir.path())),
        format!("] http://{closed} cannot be reached yet: Connection refused"),
        format!("{missing} cannot be reached yet: No such file or directory"),
    ] {
        assert!(log.contains(&words), "{words}: {log}");
    }
    assert!(!log.contains(&format!("{} cannot", good.url)), "{log}");
    assert_eq!(log.matches("cannot be reached yet").count(), 3, "{log}");
}

#[test]
fn the_check_asks_each_target_and_says_what_is_wrong_and_the_way_out() {
    let dir = TempDir::new().unwrap();
    let served = Served::new();
    let good = Backend::named("good", "");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    // A server of TLS: the command itself.
    let mut tls = Server::serve(&served.pair, &[]);
    let over_tls = format!("http://127.0.0.1:{}", tls.https_port());
    let closed = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let odd = TcpListener::bind("127.0.0.1:0").unwrap();
    let odd_url = format!("http://{}", odd.local_addr().unwrap());
    thread::spawn(move || {
        for peer in odd.incoming() {
            let _ = peer.unwrap().write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    let socket = Backend::on_socket(&dir.path().join("app.sock"), "socket");
    let missing = format!("unix:{}/none.sock", text(dir.path()));
    let other = Authority::new();
    let table = |path: &str, to: &str| format!("[[route]]\npath = \"{path}\"\nto = \"{to}\"\n");
    let settings = [
        format!("to = \"{}\"\n", good.url),
        table("/socket", &socket.url),
        table("/closed", &format!("http://{closed}")),
        table("/tls", &over_tls),
        table("/odd", &odd_url),
        table("/secure", &over_tls.replace("http:", "https:"))
            + &format!("backend-ca = \"{}\"\n", text(&served.authority.ca)),
        table("/other", &over_tls.replace("http:", "https:"))
            + &format!("backend-ca = \"{}\"\n", text(&other.ca)),
        table("/plain", &odd_url.replace("http:", "https:"))
            + &format!("backend-ca = \"{}\"\n", text(&served.authority.ca)),
        table("/missing", &missing),
    ];
    let check = |settings: &str| {
        let config = served.file(dir.path(), settings);
        outcome(lockgate(&["check", "--config", &config]), b"")
    };
    let (code, said, error) = check(&settings.concat());
    assert_eq!(code, 2, "{said} {error}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        format!("{}: answers HEAD / with 200", good.url),
        format!("{}: answers HEAD / with 200", socket.url),
        format!("backend-down The backend http://{closed}: it refuses connections."),
        format!("backend-speaks-tls The backend {over_tls}: it speaks TLS there, and not plain HTTP."),
        format!(
            "backend-speaks-plain The backend {}: it does not answer TLS there.",
            odd_url.replace("http:", "https:")
        ),
        format!("{}: answers HEAD / with 404", over_tls.replace("http:", "https:")),
        format!(
            "backend-unknown-issuer The backend {}: the TLS handshake has failed: its certificate is not signed by an authority of \
             the CA file.",
            over_tls.replace("http:", "https:")
        ),
        format!("backend-not-http The backend {odd_url}: its answer to HEAD / does not begin with HTTP/1.1 or HTTP/1.0."),
        format!("backend-down The backend {missing}: there is no such socket."),
        "start the program, or correct its place".to_string(),
        format!("target {missing}: there is no such socket"),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(good.heads()[0].starts_with("HEAD / HTTP/1.1\r\nhost: 127.0.0.1:"), "{:?}", good.heads());
    tls.stop();
    // The same, said on the command line.
    let pair = ["--cert", text(&served.pair.cert), "--key", text(&served.pair.key)];
    let ports = ["--https", "127.0.0.1:0", "--http", "off"];
    let on_the_line = |further: &[&str]| {
        let line = [&["check"][..], &pair, &ports, further].concat();
        outcome(lockgate(&line), b"")
    };
    let route = format!("/closed=http://{closed}");
    let (code, said, error) = on_the_line(&["--to", &good.url, "--route", &route, "--host", "app.internal"]);
    assert_eq!(code, 1, "{said} {error}");
    assert!(said.contains(&format!("{}: answers HEAD / with 200", good.url)), "{said}");
    assert!(said.contains(&format!("backend-down\n  The backend http://{closed}: it refuses")), "{said}");
    assert!(good.heads()[1].contains("\r\nhost: app.internal\r\n"), "{:?}", good.heads());
    for (line, words) in [
        (&["--to", "3000"][..], "is http://127.0.0.1:3000 meant?"),
        (&["--to", &good.url, "https://localhost/"], "leave out the URL"),
        (&["--to", &good.url, "--source", "."], "give one"),
        (&["--client-auth", "optional"], "--client-ca FILE is missing"),
        (&["--too", "x"], "there is no option --too"),
    ] {
        let (code, _, error) = on_the_line(line);
        assert!(code == 64 && error.contains(words), "{line:?}: {code} {error}");
    }
    let (code, _, error) = outcome(lockgate(&["check", "--to", &good.url]), b"");
    assert!(code == 64 && error.contains("--cert FILE and --key FILE are missing"), "{code} {error}");
    let (_, said, _) = check(&table("/", &silent));
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("does not answer HEAD / within 5 s"), "{said}");
    // What else the routes say is checked too.
    fs::write(dir.path().join("a.json"), "{").unwrap();
    for (settings, words) in [
        (
            "[[route]]\npath = \"/a\"\nanswer = \"a.json\"\n",
            "is not JSON: EOF while parsing an object at line 1",
        ),
        ("[[route]]\npath = \"/a\"\nfiles = \"none\"\n", "give the path of a folder"),
        ("[[route]]\npaths = \"/a\"\n", "is path meant?"),
    ] {
        let (code, said, _) = check(settings);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && said.contains("setting-unusable") && said.contains(words), "{settings}: {said}");
    }
}
