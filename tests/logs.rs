//! The log of `lockgate serve` for programs: as JSON and logfmt, with an id for each request that stands in all its lines and in what a
//! backend gets; and that nothing which reads the log, or does not, stops the server.

mod support_command;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Instant;

use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
use serde_json::Value;

use support_command::certificates::Authority;
use support_command::client::Client;
use support_command::peers::GOACCESS;
use support_command::{lockgate, outcome, run, serve_line, text, Server, SAFETY};

const HOST: &str = "Host: localhost\r\n";

/// The records of a log in JSON.
#[track_caller]
fn records(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn of_requests(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["target"] == "lockgate::access").collect()
}

/// Answers one request, and gives its head.
fn backend() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || loop {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        // One that says nothing only looks whether somebody is here.
        while reader.read_line(&mut head).unwrap() > 0 {
            if head.ends_with("\r\n\r\n") {
                reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                return head;
            }
        }
    });
    (port, answer)
}

#[test]
fn each_line_is_an_object_and_all_of_a_request_have_its_id_which_its_backend_gets() {
    let authority = Authority::new();
    let (port, answer) = backend();
    let route = format!("/behind=http://127.0.0.1:{port}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("/gone=http://{nobody}");
    let more = ["--log-format=json", "--body-bytes=9", "--route", &route, "--route", &gone];
    let mut server = Server::serve(&authority.pair("a"), &more);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    let forged = "X-Request-Id: forged\r\nX_Request_Id: forged\r\n";
    let parent = format!("00-{}-{}-01", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let sent = format!("GET /behind?secret HTTP/1.1\r\n{HOST}{forged}traceparent: {parent}\r\n\r\n");
    client.send(&sent);
    assert!(client.response().0.starts_with("HTTP/1.1 200 "));
    for _ in 0..2 {
        client.send(&format!("GET /%22=%20n?secret HTTP/1.1\r\n{HOST}{forged}\r\n"));
        let (head, _) = client.response();
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
    client.send(&format!("GET /gone HTTP/1.1\r\n{HOST}\r\n"));
    assert!(client.response().0.starts_with("HTTP/1.1 502 "));
    client.send(&format!("POST /api/data HTTP/1.1\r\n{HOST}Content-Length: 99\r\n\r\n"));
    assert!(client.response().0.starts_with("HTTP/1.1 413 "));
    let peer = client.local_address();
    let log = server.stop();
    assert!(!log.contains("secret") && !log.contains("forged"), "{log}");

    let records = records(&log);
    for record in &records {
        let time = record["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
        let names = ["level", "target", "message"];
        assert!(names.iter().all(|name| record[*name].is_string()), "{record}");
    }
    let requests = of_requests(&records);
    let told: Vec<_> = requests
        .iter()
        .map(|record| {
            (record["method"].as_str().unwrap(), record["path"].as_str().unwrap(), record["status"].as_u64())
        })
        .collect();
    let not_found = ("GET", "/%22=%20n", Some(404));
    assert_eq!(
        told,
        [
            ("GET", "/behind", Some(200)),
            not_found,
            not_found,
            ("GET", "/gone", Some(502)),
            ("POST", "/api/data", Some(413))
        ]
    );
    let mut ids = Vec::new();
    for record in &requests {
        assert_eq!(
            (&record["peer"], &record["peer_port"]),
            (&"127.0.0.1".into(), &peer.port().into()),
            "{record}"
        );
        assert_eq!(
            (&record["tls"], &record["cut"], &record["message"]),
            (&"TLSv1.3".into(), &false.into(), &"request".into())
        );
        assert!(record["bytes"].is_u64() && record["duration_us"].is_u64(), "{record}");
        ids.push(record["request_id"].as_str().unwrap());
    }
    let routes: Vec<_> = requests.iter().map(|record| record["route"].as_str().unwrap()).collect();
    assert_eq!(routes, ["/behind/*", "-", "-", "/gone/*", "-"]);
    let of_all = ["time", "level", "target", "message"];
    let fields = requests[0].as_object().unwrap().keys().map(String::as_str);
    let fields: BTreeSet<&str> = fields.filter(|name| !of_all.contains(name)).collect();
    assert_eq!(fields, fields_of_the_readme(), "the README has a table of the fields");
    let mut different = ids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 5, "{ids:?}");

    let refusal =
        records.iter().find(|record| record["message"].as_str().unwrap().contains(": 413 ")).unwrap();
    assert_eq!(refusal["request_id"], ids[4]);
    let fault = records
        .iter()
        .find(|record| record["message"].as_str().unwrap().contains("has given no answer"))
        .unwrap();
    assert_eq!(fault["request_id"], ids[3]);
    let head = answer.join().unwrap();
    assert!(
        head.contains(&format!("\r\nx-request-id: {}\r\n", ids[0])) && !head.contains("forged"),
        "{head}"
    );
    assert!(head.contains(&format!("\r\ntraceparent: {parent}\r\n")), "{head}");
}

#[test]
fn a_line_in_logfmt_has_the_same_fields() {
    let authority = Authority::new();
    let mut server =
        Server::serve(&authority.pair("a"), &["--log-format", "logfmt", "--log", "info,lockgate::x=off"]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    client.send(&format!("GET /a%20b=c HTTP/1.1\r\n{HOST}\r\n"));
    client.response();
    client.get();
    let log = server.stop();
    assert!(
        log.contains(" path=/api/data status=200 bytes=36 ") && log.contains(" route=/api/data "),
        "{log}"
    );
    let line = log
        .lines()
        .find(|line| line.contains(" target=lockgate::access "))
        .unwrap_or_else(|| panic!("{log}"));
    for part in [
        "time=20",
        " level=info target=lockgate::access message=request request_id=",
        " method=GET path=\"/a%20b=c\" status=404 bytes=",
        " peer=127.0.0.1 peer_port=",
        " tls=TLSv1.3 route=- cut=false",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(log.lines().all(|line| line.starts_with("time=20")), "{log}");
}

/// What collects the lines of a service reads both streams, and a line in another form is an error there.
#[test]
fn what_a_server_says_is_a_record_too_and_stdout_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    for (format, target) in [("json", "\"target\":\"lockgate\","), ("logfmt", " target=lockgate ")] {
        let format = format!("--log-format={format}");
        let line =
            ["serve", "--device", "--state", text(&state), "--https=127.0.0.1:0", "--http=127.0.0.1:0"];
        let mut server = Server::spawn(lockgate(&[&line[..], &["--admin=127.0.0.1:0", &format]].concat()));
        for words in [
            "HTTPS API server running on https://localhost:",
            "Redirecting http://localhost:",
            "Watched at http://",
            "Try it: curl --cacert ",
            "How clients come to trust this device: lockgate cert ca --state ",
        ] {
            let line = server.stderr.expect(words);
            assert!(line.contains(target) && line.contains("info"), "{line}");
        }
        let log = server.stop();
        assert_eq!(server.stdout.all(), "", "{log}");
        if format.ends_with("json") {
            records(&log);
        } else {
            assert!(log.lines().all(|line| line.starts_with("time=20")), "{log}");
        }
    }
}

/// Also what cannot be started, and what is wrong with the levels.
#[test]
fn every_line_on_stderr_has_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockgate.toml");
    fs::write(&file, "log-format = \"json\"\nconnections = \"many\"\n").unwrap();
    for (line, variable, part) in [
        (&["serve", "--log-format=json"][..], None, "--cert FILE and --key FILE are missing"),
        (&["serve", "--log-format", "json", "--no-such"], None, "there is no option --no-such"),
        (&["serve", "--log-format=json", "--connections=many"], None, "\"many\" is not accepted"),
        (&["serve", "--connections=many"], Some(("LOCKGATE_LOG_FORMAT", "json")), "is not accepted"),
        (&["serve", "--config", text(&file)], None, "lockgate.toml:2: connections"),
        (&["serve", "--log-format=json", "--cert=none.pem", "--key=none.pem"], None, "none.pem"),
    ] {
        let mut command = lockgate(line);
        command.envs(variable);
        let (_, _, told) = outcome(command, b"");
        let [record] = &records(&told)[..] else { panic!("{line:?}: {told}") };
        assert_eq!((&record["level"], &record["target"]), (&"error".into(), &"lockgate".into()), "{told}");
        assert!(record["message"].as_str().unwrap().contains(part), "{line:?}: {told}");
    }
    let (_, _, told) = outcome(lockgate(&["serve", "--log-format=logfmt", "--connections=many"]), b"");
    assert!(told.starts_with("time=20") && told.contains(" level=error target=lockgate message="), "{told}");
    let (_, _, told) = outcome(lockgate(&["serve", "--log-format=xml"]), b"");
    assert!(told.starts_with("lockgate: --log-format: "), "{told}");

    for (levels, wrong) in [
        ("info,lockgate=loud", "lockgate=loud is ignored"),
        ("info,a=b=info", "a=b=info is ignored"),
        ("info/a/b", "info/a/b is ignored"),
    ] {
        let mut command = lockgate(&["serve", "--log-format=json", "--cert=none.pem", "--key=none.pem"]);
        command.env("RUST_LOG", levels);
        let (_, _, all) = outcome(command, b"");
        let told = &records(&all)[0];
        assert_eq!(told["level"], "warn", "{all}");
        assert!(told["message"].as_str().unwrap().contains(wrong), "{all}");
    }
}

#[test]
fn levels_by_target_are_a_setting_and_a_wrong_one_is_refused() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &["--log=info,lockgate::access=off"]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    client.get();
    let log = server.stop();
    assert!(log.contains("stopped") && !log.contains("lockgate::access"), "{log}");
    for wrong in ["inof", "lockgate=inof", "=info", "info,", "lockgate::access"] {
        let (code, _, told) = outcome(lockgate(&[&serve_line(&pair)[..], &["--log", wrong]].concat()), b"");
        assert!(
            code == 2 && told.contains("levels of targets: info,lockgate::access=off"),
            "{wrong}: {code} {told}"
        );
    }
}

#[test]
fn a_full_stdout_does_not_keep_a_server_from_serving() {
    let authority = Authority::new();
    let (unread, stdout) = rustix::pipe::pipe().unwrap();
    let mut full = File::from(stdout.try_clone().unwrap());
    let flags = fcntl_getfl(&full).unwrap();
    fcntl_setfl(&full, flags | OFlags::NONBLOCK).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&full, flags).unwrap();
    let mut command = lockgate(&serve_line(&authority.pair("a")));
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    drop((command, full));
    let mut server = Server::watch(child);
    let told = server
        .stderr
        .expect("stdout takes nothing, so this is told here: HTTPS API server running on https://localhost:");
    let mut client =
        Client::connect(told.rsplit(':').next().unwrap().parse().unwrap(), &authority.certificate());
    client.get();
    server.stop();
    let mut all = Vec::new();
    File::from(unread).read_to_end(&mut all).unwrap();
    assert!(all.iter().all(|byte| *byte == b'x'));
}

#[test]
fn a_file_that_is_emptied_in_place_gets_the_next_line_at_its_begin() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut command = lockgate(&serve_line(&authority.pair("a")));
    // Not opened for appending, as a shell does with `2>`.
    let child =
        command.stdout(Stdio::piped()).stderr(OwnedFd::from(File::create(&path).unwrap())).spawn().unwrap();
    let mut server = Server::watch(child);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    let mut ask = |words: &str| {
        client.get();
        let began = Instant::now();
        while !fs::read_to_string(&path).unwrap().contains(words) {
            assert!(began.elapsed() < SAFETY, "{words} is not written");
            std::thread::yield_now();
        }
    };
    ask("GET /api/data 200");
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    ask("GET /api/data 200");
    let log = fs::read(&path).unwrap();
    assert!(log.starts_with(b"[20"), "{}", String::from_utf8_lossy(&log));
    server.stop();
}

/// As the README has it.
const OF_JSON: [&str; 3] = [
    r#"--log-format={"time":"%dT%t.%^","peer":"%h","method":"%m","path":"%U","status":"%s","bytes":"%b","duration_us":"%D"}"#,
    "--date-format=%Y-%m-%d",
    "--time-format=%H:%M:%S",
];
const OF_TEXT: [&str; 3] = [
    "--log-format=[%dT%tZ %^] %m %U %s %b %Dus %h:%^ %^",
    "--date-format=%Y-%m-%d",
    "--time-format=%H:%M:%S",
];

#[test]
fn goaccess_reads_every_line_about_a_request() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    for (format, arguments) in [("json", OF_JSON), ("text", OF_TEXT)] {
        let shown = arguments[0].replacen('=', "='", 1) + "'";
        assert!(include_str!("../README.md").contains(&shown), "{shown}");
        let (log, report) = (folder.path().join(format), folder.path().join("report.json"));
        let input = [text(&log), "--no-global-config", "--ignore-panel=REFERRERS", "-o", text(&report)];
        let Some(goaccess) = GOACCESS.command("logs", &[&arguments[..], &input].concat()) else { return };
        let pair = authority.pair("a");
        let mut server = Server::serve(&pair, &["--log-format", format, "--https=[::1]:0"]);
        let tcp = TcpStream::connect((Ipv6Addr::LOCALHOST, server.https_port())).unwrap();
        let mut client = Client::over(tcp, &authority.certificate());
        for path in ["/api/data", "/api/data?secret=1", "/none", "/a%22b%5cc", "/%09"] {
            client.send(&format!("GET {path} HTTP/1.1\r\n{HOST}\r\n"));
            client.response();
        }
        let all = server.stop();
        let lines: Vec<&str> = all.lines().filter(|line| line.contains("lockgate::access")).collect();
        fs::write(&log, lines.join("\n") + "\n").unwrap();
        let output = run(goaccess, b"");
        assert!(output.status.success(), "{format}: {output:?}\n{all}");
        let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        let general = &report["general"];
        assert_eq!(
            (&general["total_requests"], &general["valid_requests"], &general["failed_requests"]),
            (&5.into(), &5.into(), &0.into()),
            "{format}: {general}\n{all}"
        );
        let hits = |panel: &str, data: &str| {
            let found = report[panel]["data"].as_array().unwrap().iter().find(|entry| entry["data"] == data);
            found.unwrap_or_else(|| panic!("no {data}: {report:#}"))["hits"]["count"].clone()
        };
        assert_eq!((hits("requests", "/api/data"), hits("hosts", "::1")), (2.into(), 5.into()), "{format}");
        assert_eq!(hits("not_found", "/none"), 1);
    }
}

/// The first column of the table of an access line's fields.
fn fields_of_the_readme() -> BTreeSet<&'static str> {
    let (_, table) = include_str!("../README.md").split_once("| field | what it is |").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split(','));
    cells.map(|name| name.trim().trim_matches('`')).filter(|name| !name.starts_with("---")).collect()
}
