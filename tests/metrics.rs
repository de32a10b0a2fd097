//! The admin listener and the metrics of a server in this process: what is counted is what happened, and whoever watches is answered
//! while nobody else is.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use lockgate::{
    Event, Feed, Identity, Limits, Metrics, Request, Response, Router, Running, Server, ServerBuilder,
};

use support::{
    await_lines, connect_plain, get, identity, patient, pem_pair, post, serve_as, Client, Gate, Serving,
    SAFETY,
};

/// A server with an admin listener on a port of the loopback.
struct Watched {
    serving: Running,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Watched {
    fn serve(router: Router, change: impl FnOnce(&mut Limits)) -> Watched {
        let mut limits = Limits::default();
        change(&mut limits);
        Watched::of(Server::builder(router).identity(identity()).limits(limits).access_log(true))
    }

    fn of(builder: ServerBuilder) -> Watched {
        // For the log of this process.
        drop(serve_as(Server::builder(Router::new()).identity(identity())));
        let server = builder.https("127.0.0.1:0").admin("127.0.0.1:0").bind().unwrap();
        let (address, admin) = (server.local_addr(), server.admin_addr().unwrap());
        Watched { serving: server.spawn().unwrap(), address, admin }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    fn metrics(&self) -> Metrics {
        self.serving.handle().metrics()
    }

    /// What the admin listener answers: the status and the text.
    fn ask(&self, path: &str) -> (u16, String) {
        ask(TcpStream::connect(self.admin).unwrap(), path, "")
    }

    /// The values at `/metrics`, by name and labels.
    fn values(&self) -> BTreeMap<String, f64> {
        let (status, text) = self.ask("/metrics");
        assert_eq!(status, 200, "{text}");
        let values = text.lines().filter(|line| !line.starts_with('#'));
        values
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.into(), value.parse().unwrap()))
            .collect()
    }

    fn value(&self, name: &str) -> f64 {
        self.values().get(name).copied().unwrap_or(0.0)
    }

    /// Waits until a value is this.
    fn await_value(&self, name: &str, expected: f64) {
        let began = Instant::now();
        loop {
            let value = self.value(name);
            if value == expected {
                return;
            }
            assert!(began.elapsed() < SAFETY, "{name} is {value}, not {expected}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.serving.handle().stop();
    }
}

fn ask(mut stream: impl Read + Write, path: &str, fields: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, content) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), content.to_string())
}

fn requests(metrics: &Metrics, pattern: Option<&str>) -> [u64; 6] {
    let of = |route: &&lockgate::RouteMetrics| route.pattern.as_deref() == pattern;
    metrics.routes.iter().find(of).unwrap_or_else(|| panic!("{pattern:?}: {:?}", metrics.routes)).by_class
}

fn refused(metrics: &Metrics, reason: &str) -> u64 {
    metrics.refusals.iter().filter(|refusal| refusal.reason == reason).map(|refusal| refusal.count).sum()
}

/// A path that a client makes up becomes no label: that has filled the memory of many a server, and of many a Prometheus.
#[test]
fn requests_count_by_the_pattern_of_their_route_and_made_up_paths_together() {
    let router = Router::new()
        .get("/item/{id}", |_: &mut Request| "item")
        .post("/item/{id}", |_: &mut Request| {
            Response::text("made").with_status(lockgate::StatusCode::CREATED)
        })
        .get("/fails", |_: &mut Request| -> Response { panic!("as the test wants it") })
        .nest("/below", Router::new().fallback(|_: &mut Request| "rest"));
    let watched = Watched::serve(router, |_| {});
    let mut client = watched.connect();
    let mut answered = 0;
    for path in ["/item/1", "/item/2", "/below/x/y", "/below/z", "/missing", "/.env", "/wp-admin", "/item"] {
        client.get(path);
        answered += 1;
    }
    client.send(post("/item/3", b"x"));
    client.reply();
    client.send(get("/fails"));
    client.reply();
    client.send(get("/%zz"));
    client.reply();
    answered += 3;
    let metrics = watched.metrics();
    assert_eq!(requests(&metrics, Some("/item/{id}")), [0, 3, 0, 0, 0, 0]);
    assert_eq!(requests(&metrics, Some("/below/*")), [0, 2, 0, 0, 0, 0]);
    assert_eq!(requests(&metrics, Some("/fails")), [0, 0, 0, 0, 1, 0]);
    assert_eq!(requests(&metrics, None), [0, 0, 0, 5, 0, 0]);
    assert_eq!(metrics.routes.len(), 4, "{:?}", metrics.routes);
    let timed: u64 =
        metrics.durations.buckets.iter().map(|(_, count)| count).sum::<u64>() + metrics.durations.longer;
    assert_eq!(timed, answered);
    let faults: Vec<_> = metrics.faults.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(faults, [&("a panic in a handler", 1)]);
    assert_eq!(refused(&metrics, "Bad Request"), 1, "{:?}", metrics.refusals);
    let end = format!(" {} TLSv1.3", client.address());
    let logged = await_lines(answered as usize, |line| line.ends_with(&end) && line.contains("us "));
    assert_eq!(
        logged.len() as u64,
        answered,
        "the access log has as many lines as there are counted requests"
    );
    // The values of the text are the same.
    let values = watched.values();
    assert_eq!(values[r#"lockgate_requests_total{route="/item/{id}",class="2xx"}"#], 3.0);
    assert_eq!(values[r#"lockgate_requests_total{route="none",class="4xx"}"#], 5.0);
    assert_eq!(values["lockgate_request_duration_seconds_count"], answered as f64);
    assert!(!values.keys().any(|name| name.contains("wp-admin") || name.contains("127.0.0.1")), "{values:?}");
}

#[test]
fn refusals_count_by_their_limit() {
    let watched = Watched::serve(
        Router::new()
            .get("/", |_: &mut Request| "root")
            .post("/", |request: &mut Request| request.bytes().map(|bytes| bytes.len().to_string())),
        |limits| {
            limits.head_bytes = 1_000;
            limits.head_fields = 3;
            limits.body_bytes = 100;
            limits.requests_per_address = 8;
            limits.count_loopback = true;
        },
    );
    let long = "a".repeat(2_000);
    for (sent, reason) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes(), "head_bytes"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\nC: d\r\nE: f\r\n\r\n".to_vec(), "head_fields"),
        (post("/", &[b'x'; 101]), "body_bytes"),
    ] {
        assert_eq!(refused(&watched.metrics(), reason), 0);
        let mut client = watched.connect();
        client.send(sent);
        assert!(client.reply().status >= 400);
        assert_eq!(refused(&watched.metrics(), reason), 1, "{reason}");
    }
    let mut client = watched.connect();
    let too_many = (0..60).filter(|_| {
        client.send(get("/"));
        client.reply().status == 429
    });
    let too_many = too_many.count() as u64;
    assert!(too_many > 0);
    assert_eq!(refused(&watched.metrics(), "requests_per_address"), too_many);
}

/// Who looks for a balancer without a header must not find those that send one and may not.
#[test]
fn a_header_that_nobody_asked_for_is_not_a_header_that_is_missing() {
    let builder = Server::builder(Router::new()).identity(identity()).redirect_http("127.0.0.1:0");
    let server = builder.https("127.0.0.1:0").bind().unwrap();
    let (https, http) = (server.local_addr(), server.redirect_addr().unwrap());
    let running = server.spawn().unwrap();
    for address in [https, http] {
        let mut plain = connect_plain(address).unwrap();
        plain.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 50514 443\r\n\r\n").unwrap();
        // It is closed, with what was sent unread.
        let _ = plain.read(&mut [0; 100]);
    }
    let began = Instant::now();
    let metrics = loop {
        let metrics = running.handle().metrics();
        if refused(&metrics, "PROXY header not allowed") == 2 {
            break metrics;
        }
        assert!(began.elapsed() < SAFETY, "{:?}", metrics.refusals);
        std::thread::yield_now();
    };
    assert_eq!(refused(&metrics, "no PROXY header"), 0);
    running.handle().stop();
    running.join().unwrap();
}

#[test]
fn handshakes_count_by_version_and_failed_ones_by_the_logs_words() {
    let watched = Watched::serve(Router::new().get("/", |_: &mut Request| "root"), |_| {});
    let done = r#"lockgate_handshakes_total{version="TLSv1.3",resumed="false"}"#;
    assert_eq!(watched.value(done), 0.0);
    watched.connect().get("/");
    assert_eq!(watched.value(done), 1.0);
    // Not TLS at all, and plain HTTP, which is answered and refused.
    let mut plain = connect_plain(watched.address).unwrap();
    plain.write_all(b"\0\0\0\0").unwrap();
    assert_eq!(plain.read(&mut [0; 100]).unwrap_or(0), 0);
    let mut plain = connect_plain(watched.address).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    let metrics = watched.metrics();
    assert_eq!(
        metrics.failed_handshakes,
        [("what the client sends is no TLS handshake that can be read", 1)]
    );
    assert_eq!(refused(&metrics, "Bad Request"), 1);
    assert_eq!(requests(&metrics, None), [0, 0, 0, 1, 0, 0], "the answer in clear is in the access log too");
    assert_eq!(metrics.accepted, 3);
    assert!(metrics.received_bytes > 300 && metrics.sent_bytes > 1_000, "{metrics:?}");
}

#[test]
fn connections_are_told_by_what_they_wait_for() {
    let feed = Feed::new();
    let gate = Gate::new();
    let router = {
        let gate = gate.clone();
        Router::new()
            .get("/events", feed.handler())
            .get("/endless", |_: &mut Request| Response::reader(std::io::repeat(b'x')))
            .post("/", |_: &mut Request| "")
            .get("/wait", move |_: &mut Request| {
                gate.pass();
                "waited"
            })
    };
    let watched = Watched::serve(router, patient);
    let silent = connect_plain(watched.address).unwrap();
    watched.await_value(r#"lockgate_connections{state="handshake"}"#, 1.0);
    let mut idle = watched.connect();
    idle.get("/missing");
    watched.await_value(r#"lockgate_connections{state="idle"}"#, 1.0);
    let mut head = watched.connect();
    head.send("GET / HT");
    watched.await_value(r#"lockgate_connections{state="head"}"#, 1.0);
    let mut body = watched.connect();
    body.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
    watched.await_value(r#"lockgate_connections{state="body"}"#, 1.0);
    let mut sending = watched.connect();
    sending.send(get("/endless"));
    watched.await_value(r#"lockgate_connections{state="sending"}"#, 1.0);
    let mut subscriber = watched.connect();
    subscriber.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    watched.await_value(r#"lockgate_connections{state="feed"}"#, 1.0);
    assert_eq!(feed.subscribers(), 1);
    feed.send(Event::new("x"));
    let mut inside = watched.connect();
    inside.send(get("/wait"));
    gate.wait_for(1);
    watched.await_value(r#"lockgate_connections{state="working"}"#, 1.0);
    assert_eq!(watched.value("lockgate_workers_busy"), 1.0);
    let metrics = watched.metrics();
    let open: u64 = metrics.connections.iter().map(|(_, count)| count).sum();
    assert_eq!((open, watched.serving.handle().health().connections), (7, 7), "{:?}", metrics.connections);
    gate.open();
    drop((silent, idle, head, body, sending, subscriber, inside));
}

/// A probe that waits behind the requests has restarted servers that only had much to do.
#[test]
fn whoever_watches_is_answered_while_all_workers_and_all_connections_are_taken() {
    let gate = Gate::new();
    let router = {
        let gate = gate.clone();
        Router::new().get("/wait", move |_: &mut Request| {
            gate.pass();
            "waited"
        })
    };
    let watched = Watched::serve(router, |limits| {
        patient(limits);
        limits.workers = 1;
        limits.reserve_workers = 1;
        limits.connections = 4;
        limits.stall_timeout = Duration::from_secs(3_000);
        limits.queue_timeout = Duration::from_secs(3_000);
    });
    let mut inside: Vec<Client> = Vec::new();
    for arrivals in 1..=2 {
        let mut client = watched.connect();
        client.send(get("/wait"));
        gate.wait_for(arrivals);
        inside.push(client);
    }
    let others: Vec<TcpStream> = (0..2).map(|_| connect_plain(watched.address).unwrap()).collect();
    let began = Instant::now();
    while watched.serving.handle().health().connections < 4 {
        assert!(began.elapsed() < SAFETY);
    }
    // One more is closed, and counted.
    let mut refused_one = connect_plain(watched.address).unwrap();
    assert_eq!(refused_one.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(watched.ask("/healthz"), (200, "alive\n".into()));
    assert_eq!(watched.ask("/readyz"), (200, "ready\n".into()), "load takes no server away");
    let values = watched.values();
    assert_eq!(values["lockgate_workers_busy"], 2.0);
    assert_eq!(values[r#"lockgate_refusals_total{listener="https",reason="connections"}"#], 1.0);
    assert_eq!(values["lockgate_connections_accepted_total"], 5.0);
    let health: serde_json::Value = serde_json::from_str(&watched.ask("/health").1).unwrap();
    assert_eq!(health["schema"], "lockgate.health/1");
    // Those that watch take no connection, and one that reads nothing holds nothing.
    let slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(watched.admin).unwrap()).collect();
    for mut one in &slow {
        // The server may have closed it for another.
        let _ = one.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
    }
    assert_eq!(watched.ask("/healthz").0, 200);
    assert_eq!(watched.value("lockgate_connections_accepted_total"), 5.0);
    gate.open();
    for client in &mut inside {
        assert_eq!(client.reply().text(), "waited");
    }
    drop((others, slow));
}

#[test]
fn a_server_is_ready_from_its_start_until_it_is_told_to_leave() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let server = Server::builder(Router::new().get("/", |_: &mut Request| "root"))
        .identity(identity())
        .https("127.0.0.1:0")
        .admin(format!("unix:{}", path.display()))
        .ready_grace(Duration::from_secs(3_000))
        .bind()
        .unwrap();
    assert!(server.admin_addr().is_none() && !server.handle().is_ready(), "it is bound and does not run yet");
    let address = server.local_addr();
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let began = Instant::now();
    while !handle.is_ready() {
        assert!(began.elapsed() < SAFETY);
        std::thread::yield_now();
    }
    let readyz = || ask(UnixStream::connect(&path).unwrap(), "/readyz", "");
    assert_eq!(readyz(), (200, "ready\n".into()));
    assert!(handle.stop_after_grace() && handle.stop_after_grace());
    let (status, text) = readyz();
    assert_eq!((status, text.contains("about to stop")), (503, true), "{text}");
    assert!(!handle.is_ready() && !handle.is_stopping());
    // It goes on serving, new connections too, and in the first half without a word of it.
    let reply = Client::connect(address).unwrap().get("/");
    assert_eq!((reply.status, reply.closes()), (200, false));
    assert!(handle.metrics().to_prometheus().contains("\nlockgate_ready 0\n"));
    handle.stop();
    running.join().unwrap();
    assert!(!path.exists(), "the socket's file goes with the server");
}

#[test]
fn the_server_ends_by_itself_when_the_grace_time_is_over() {
    let server = Server::builder(Router::new()).identity(identity()).https("127.0.0.1:0");
    let running = server.ready_grace(Duration::from_millis(50)).bind().unwrap().spawn().unwrap();
    running.handle().stop_after_grace();
    running.join().unwrap();
}

#[test]
fn a_certificate_that_is_over_makes_a_server_not_ready_and_not_dead() {
    let past = |days: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_secs() - (days as u64) * 86_400)
    };
    let (certificate, key) = pem_pair(|params| (params.not_before, params.not_after) = (past(9), past(1)));
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let watched = Watched::of(Server::builder(Router::new()).identity(identity));
    watched.await_value("lockgate_ready", 0.0);
    let (status, text) = watched.ask("/readyz?verbose");
    assert_eq!(status, 503);
    assert!(text.contains("[-] certificate: it has expired") && text.contains("[+] accepting: ok"), "{text}");
    assert_eq!(watched.ask("/healthz").0, 200, "a restart would not repair it");
    let not_after = watched.values().into_iter().find(|(name, _)| name.contains("not_after")).unwrap().1;
    let expected = past(1).unix_timestamp() as f64;
    assert_eq!(not_after, expected);
}

/// Each series of a text, and that none is there twice: Prometheus refuses the whole scrape then.
fn series(text: &str) -> Vec<&str> {
    let mut all: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        assert_ne!(pair[0], pair[1], "{text}");
    }
    all
}

#[test]
fn a_fault_on_both_ports_is_one_series() {
    let panics = || Router::new().get("/", |_: &mut Request| -> Response { panic!("on purpose") });
    let builder = Server::builder(panics()).identity(identity());
    let builder = builder.redirect_http("127.0.0.1:0").http_router(panics());
    let server = builder.https("127.0.0.1:0").bind().unwrap();
    let (https, http) = (server.local_addr(), server.redirect_addr().unwrap());
    let running = server.spawn().unwrap();
    assert_eq!(Client::connect(https).unwrap().get("/").status, 500);
    let mut plain = connect_plain(http).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    let text = running.handle().metrics().to_prometheus();
    series(&text);
    assert!(text.contains("\nlockgate_faults_total{kind=\"a panic in a handler\"} 2\n"), "{text}");
    running.handle().stop();
    running.join().unwrap();
}

/// Credentials in clear have been counted as a refusal, and nobody was refused.
#[test]
fn what_refuses_nobody_is_a_notice() {
    let router = || Router::new().get("/", |_: &mut Request| "root");
    let builder =
        Server::builder(router()).identity(identity()).trust_forwarded(["127.0.0.0/8".parse().unwrap()]);
    let builder = builder.redirect_http("127.0.0.1:0");
    let server = builder.https("127.0.0.1:0").bind().unwrap();
    let (https, http) = (server.local_addr(), server.redirect_addr().unwrap());
    let running = server.spawn().unwrap();
    let before = running.handle().metrics();
    assert_eq!(before.notices, [("accepting failed", 0), ("credentials over plain HTTP", 0)]);
    let mut client = Client::connect(https).unwrap();
    client.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\nForwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n\r\n",
    );
    assert_eq!(client.reply().status, 200);
    let mut plain = connect_plain(http).unwrap();
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YTpi\r\nConnection: close\r\n\r\n";
    plain.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    let after = running.handle().metrics();
    assert_eq!(
        after.notices,
        [
            ("accepting failed", 0),
            ("credentials over plain HTTP", 1),
            ("Forwarded and X-Forwarded-For name different clients", 1),
        ]
    );
    assert_eq!(after.refusals, before.refusals, "nobody was refused");
    running.handle().stop();
    running.join().unwrap();
}

#[cfg(feature = "proxy")]
#[test]
fn each_backend_has_a_series_of_its_own() {
    use lockgate::Proxy;
    let to = |urls: &[&str]| {
        let first = Proxy::to(urls[0]).unwrap();
        urls[1..].iter().fold(first, |proxy, url| proxy.and_to(url).unwrap())
    };
    let builder = || Server::builder(Router::new()).identity(identity()).https("127.0.0.1:0");
    let twice = to(&["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1"]);
    let server = builder().watch_proxy("a", &twice).watch_proxy("b", &twice).bind().unwrap();
    let text = server.handle().metrics().to_prometheus();
    let all = series(&text);
    for (name, is_there) in [("1", true), ("1 (2)", true), ("2", true), ("2 (2)", false)] {
        let name = format!("lockgate_backend_up{{proxy=\"b\",backend=\"http://127.0.0.1:{name}\"}}");
        assert_eq!(all.contains(&&*name), is_there, "{text}");
    }
    let same = builder().watch_proxy("a", &twice).watch_proxy("a", &to(&["http://127.0.0.1:3"]));
    let told = same.bind().unwrap_err().to_string();
    assert!(told.contains("watch_proxy") && told.contains("\"a\" is the name of two proxies"), "{told}");
}

/// Only the log said so, in the same words as of a backend that gives no answer.
#[cfg(feature = "proxy")]
#[test]
fn requests_that_wait_for_a_backend_or_get_none_are_counted_by_why() {
    // It takes connections and says nothing, so the first request of each proxy holds its only place.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://{}", silent.local_addr().unwrap());
    let of = |wait| {
        let proxy = lockgate::Proxy::to(&to).unwrap().answer_timeout(SAFETY);
        proxy.at_a_time(1).queue(1).queue_timeout(wait)
    };
    let (full, late) = (of(SAFETY), of(Duration::from_millis(1)));
    let gone = lockgate::Proxy::to("http://127.0.0.1:1").unwrap();
    let router = Router::new().get("/late", late.handler()).get("/gone", gone.handler());
    let builder = Server::builder(router.fallback(full.handler())).identity(identity());
    let builder = builder.watch_proxy("full", &full).watch_proxy("late", &late).watch_proxy("gone", &gone);
    let watched = Watched::of(builder);
    let refused = || {
        let values = watched.values();
        ["full", "late", "gone"].map(|proxy| {
            ["queue_full", "queue_timeout", "unreachable"].map(|reason| {
                values[&format!("lockgate_backend_refusals_total{{proxy=\"{proxy}\",reason=\"{reason}\"}}")]
            })
        })
    };
    assert_eq!(refused(), [[0.0; 3]; 3], "an alert sees an increase only of what was there");
    assert_eq!(watched.value("lockgate_backend_queue_requests_limit{proxy=\"full\"}"), 1.0);
    let held = ["full", "late"].map(|proxy| {
        let mut held = watched.connect();
        held.send(get(&format!("/{proxy}")));
        let at = format!("lockgate_backend_requests{{proxy=\"{proxy}\",backend=\"{to}\"}}");
        watched.await_value(&at, 1.0);
        held
    });
    let queued = "lockgate_backend_queue_requests{proxy=\"full\"}";
    let mut waits = watched.connect();
    waits.send(get("/full"));
    watched.await_value(queued, 1.0);
    assert_eq!(watched.connect().get("/full").status, 503);
    assert_eq!(watched.connect().get("/late").status, 503);
    assert_eq!(refused(), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0; 3]]);
    drop(waits);
    watched.await_value(queued, 0.0);
    // The third failure ejects it, and the fourth request gets none.
    (0..4).for_each(|_| assert_eq!(watched.connect().get("/gone").status, 502));
    let [full, late, gone] = refused();
    assert_eq!((full, late, &gone[..2]), ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], &[0.0, 0.0][..]));
    assert!(gone[2] >= 1.0, "{gone:?}");
    drop(held);
}

/// A log of the proxy's own has been in no metric.
#[cfg(feature = "proxy")]
#[test]
fn what_the_log_says_of_backends_counts() {
    // Nothing listens there.
    let proxy = lockgate::Proxy::to("http://127.0.0.1:1").unwrap();
    let router = Router::new().fallback(proxy.handler());
    let watched = Watched::of(Server::builder(router).identity(identity()).watch_proxy("api", &proxy));
    // All at once, because each waits for a while.
    let mut clients: Vec<Client> = (0..25).map(|_| watched.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    for client in &mut clients {
        assert_eq!(client.reply().status, 502);
    }
    let metrics = watched.metrics();
    let notices =
        |kind: &str| metrics.notices.iter().find(|(other, _)| *other == kind).map(|(_, count)| *count);
    assert_eq!(notices("no answer of a backend"), Some(25), "{:?}", metrics.notices);
    assert_eq!(notices("a backend is ejected"), Some(1), "{:?}", metrics.notices);
    assert_eq!(metrics.left_out_log_lines, 5);
    assert!(metrics.faults.iter().all(|(_, count)| *count == 0), "{:?}", metrics.faults);
}

/// A revoked client is let in as long as the old list holds, so whoever watches has to see it.
#[test]
fn files_that_cannot_be_read_again_are_stale_until_they_can() {
    let dir = tempfile::tempdir().unwrap();
    let (clients, keys) = (dir.path().join("clients.pem"), dir.path().join("keys"));
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let secret = lockgate::TicketKeys::generate().unwrap().to_file_text();
    let write = |clients_text: &str, keys_text: &str| {
        fs::write(&clients, clients_text).unwrap();
        fs::write(&keys, keys_text).unwrap();
    };
    write(&authority, &secret);
    let builder = Server::builder(Router::new()).identity(identity()).https("127.0.0.1:0");
    let builder = builder.client_auth(lockgate::ClientAuth::required(&clients)).ticket_keys(&keys);
    let handle = builder.bind().unwrap().handle();
    let stale = || handle.metrics().stale_files;
    assert_eq!(stale(), [("clients", false), ("ticket_keys", false)]);
    for (clients_text, keys_text, expected) in [
        ("damaged", &*secret, [("clients", true), ("ticket_keys", false)]),
        (&*authority, "damaged", [("clients", false), ("ticket_keys", true)]),
        (&*authority, &*secret, [("clients", false), ("ticket_keys", false)]),
    ] {
        write(clients_text, keys_text);
        assert_eq!(handle.reload().is_err(), expected.iter().any(|(_, is_stale)| *is_stale));
        assert_eq!(stale(), expected);
    }
    assert_eq!(handle.metrics().failed_renewals, 2, "no certificate is among them");
}

/// A fleet that takes servers away because a backend of all of them is gone takes all of them away.
#[cfg(feature = "proxy")]
#[test]
fn an_ejected_backend_is_a_warning_of_health_and_leaves_the_server_ready() {
    // On an address of its own, so that no other test gets the port of the backend that has gone.
    let backend = std::net::TcpListener::bind("127.0.0.38:0").unwrap();
    let at = backend.local_addr().unwrap();
    let proxy = lockgate::Proxy::to(&format!("http://{at}")).unwrap();
    let router = Router::new().nest("/api", proxy.clone());
    let watched = Watched::of(Server::builder(router).identity(identity()).watch_proxy("api", &proxy));
    let health = || -> serde_json::Value { serde_json::from_str(&watched.ask("/health").1).unwrap() };
    let good = health();
    let one = |used: bool, until: &serde_json::Value| serde_json::json!([{"proxy": "api", "name": format!("http://{at}"), "used": used, "ejected_until": until}]);
    assert_eq!((&good["status"], &good["backends"]), (&"good".into(), &one(true, &serde_json::Value::Null)));
    drop(backend);
    let began = Instant::now();
    let ejected = loop {
        watched.connect().get("/api");
        let health = health();
        if health["backends"][0]["used"] == false {
            break health;
        }
        assert!(began.elapsed() < SAFETY, "{health}");
    };
    assert_eq!(ejected["status"], "warning");
    assert!(ejected["backends"][0]["ejected_until"].as_u64() > Some(1_000_000_000), "{ejected}");
    assert_eq!(watched.ask("/readyz"), (200, "ready\n".into()));
    assert!(watched.serving.handle().is_ready());
    // It is back.
    let backend = std::net::TcpListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for peer in backend.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.read(&mut [0; 2048]);
            let _ = peer.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    while health()["status"] != "good" {
        watched.connect().get("/api");
        assert!(began.elapsed() < SAFETY, "it is not used again");
    }
    let handle = watched.serving.handle().health();
    assert!(handle.backends[0].ejected_until.is_none() && handle.worst() < Some(lockgate::Severity::Warning));
}

/// The table in the documentation, the help texts and the real output are the same.
#[test]
fn the_table_of_metrics_has_exactly_what_there_is() {
    let builder =
        Server::builder(Router::new().get("/", |_: &mut Request| -> Response { panic!("on purpose") }))
            .identity(identity())
            .dropped_log_lines(|| 0);
    #[cfg(feature = "proxy")]
    let builder = builder.watch_proxy("api", &lockgate::Proxy::to("http://127.0.0.1:1").unwrap());
    let watched = Watched::of(builder);
    // So that metrics with labels have values.
    watched.connect().get("/");
    let mut plain = connect_plain(watched.address).unwrap();
    plain.write_all(b"\0\0\0\0").unwrap();
    assert_eq!(plain.read(&mut [0; 100]).unwrap_or(0), 0);
    let (_, text) = ask(
        TcpStream::connect(watched.admin).unwrap(),
        "/metrics",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Name, type and labels.
    let mut there: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            there.insert(format!("{name}{suffix}"), (kind.to_string(), Vec::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
            let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                there.contains_key(name.strip_suffix(end)?).then(|| name.strip_suffix(end).unwrap())
            });
            let entry = there.get_mut(of.unwrap_or(name)).unwrap_or_else(|| panic!("{line} has no type"));
            for label in labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""))
                .map(|(name, _)| name.to_string())
            {
                if !entry.1.contains(&label) {
                    entry.1.push(label);
                }
            }
        }
    }
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operations/metrics.md")).unwrap();
    let mut told = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() >= 5) {
        let cells: Vec<&str> = row.trim_matches('|').splitn(4, '|').map(str::trim).collect();
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`').to_string());
        let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
        told.insert(cells[0].trim_matches('`').to_string(), (cells[1].to_string(), labels));
    }
    let is_there = |name: &str| cfg!(feature = "proxy") || !name.starts_with("lockgate_backend");
    told.retain(|name, _| is_there(name));
    assert_eq!(told, there);
    // Each state is told too.
    for (state, _) in watched.metrics().connections {
        assert!(page.contains(&format!("`{state}`")), "{state}");
    }
}

#[test]
fn a_program_without_an_admin_listener_shows_its_metrics_by_a_handler() {
    let router = Router::new()
        .get("/metrics", |request: &mut Request| Response::text(request.handle().metrics().to_prometheus()));
    let serving: Serving = serve_as(Server::builder(router).identity(identity()));
    let text = serving.get("/metrics").text().to_string();
    assert!(text.contains("\nlockgate_connections_accepted_total 1\n"), "{text}");
}
