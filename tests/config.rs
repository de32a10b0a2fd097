//! `lockgate config`: what the settings are and where each is from, and the schema of their file.

mod support_command;

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{json, Value};

use support_command::certificates::Authority;
use support_command::client::Client;
use support_command::{lockgate, outcome, schema, serve_line, text, Server};

/// The outcome of a command in this folder, with these variables.
fn ran(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command: Command = lockgate(arguments);
    command.current_dir(folder).envs(variables.iter().copied());
    outcome(command, b"")
}

const FILE: &str = r#"
cert = ["a.pem", "b.pem"]
key = ["a-key.pem", "b-key.pem"]
idle-timeout = 90
connections = 500
count-loopback = true
log-format = "json"
admin-anywhere = true
accept-terms = false

[[route]]
path = "/api"
to = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]
headers = { X-Secret = "hunter2" }
body-bytes = "16MiB"
"#;

#[test]
fn each_setting_is_shown_with_its_value_and_where_it_is_from() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lockgate.toml"), FILE).unwrap();
    let variables = [
        ("LOCKGATE_CONNECTIONS", "600"),
        ("LOCKGATE_HEAD_TIMEOUT", "5s"),
        ("LOCKGATE_ADMIN_ANYWHERE", "false"),
    ];
    let line = ["config", "show", "--config", "lockgate.toml", "--head-timeout=4s", "--http", "off"];
    let (code, table, told) = ran(folder.path(), &line, &variables);
    assert_eq!((code, &*told), (0, ""), "{table}");
    let row = |name: &str| {
        let of_name = |row: &&str| row.split_whitespace().next() == Some(name);
        let row = table.lines().rfind(of_name).unwrap_or_else(|| panic!("no {name}:\n{table}"));
        row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("https"), "[::]:8443 default");
    assert_eq!(row("http"), "off --http");
    assert_eq!(row("idle-timeout"), "90s lockgate.toml:4");
    assert_eq!(row("connections"), "600 environment LOCKGATE_CONNECTIONS");
    assert_eq!(row("head-timeout"), "4s --head-timeout");
    assert_eq!(row("count-loopback"), "true lockgate.toml:6");
    assert_eq!(row("admin-anywhere"), "false environment LOCKGATE_ADMIN_ANYWHERE");
    assert_eq!(row("accept-terms"), "false lockgate.toml:9");
    assert_eq!(row("device"), "false default");
    assert_eq!(row("cert"), "a.pem, b.pem lockgate.toml:2");
    assert_eq!(row("log-format"), "json lockgate.toml:7");
    assert_eq!(row("to"), "http://127.0.0.1:3000, http://127.0.0.1:3001 lockgate.toml:13");
    assert_eq!(row("headers"), "X-Secret lockgate.toml:14");
    assert!(!table.contains("hunter2"), "{table}");

    let (code, shown, _) = ran(folder.path(), &[&line[..], &["--json"]].concat(), &variables);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown["schema"]), (0, &json!("lockgate.config/1")));
    let setting = |name: &str| {
        let mut all = shown["settings"].as_array().unwrap().iter();
        all.find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("{name}: {shown:#}")).clone()
    };
    assert_eq!(
        setting("connections"),
        json!({"name": "connections", "value": "600", "from": {"place": "environment", "variable": "LOCKGATE_CONNECTIONS"}})
    );
    assert_eq!(setting("cert")["value"], json!(["a.pem", "b.pem"]));
    assert_eq!(
        setting("client-ca"),
        json!({"name": "client-ca", "value": null, "from": {"place": "default"}})
    );
    let route = &shown["routes"][0];
    assert_eq!((&route["path"], &route["from"]["line"]), (&json!("/api"), &json!(11)), "{shown:#}");
    let of_route = route["settings"].as_array().unwrap();
    assert_eq!(of_route.len(), 3);
    assert_eq!(of_route[2]["value"], json!(["http://127.0.0.1:3000", "http://127.0.0.1:3001"]), "{shown:#}");
    // All that `serve` takes is here.
    let (_, help, _) = ran(folder.path(), &["serve", "--help"], &[]);
    for option in help.lines().filter_map(|line| {
        line.trim_start_matches("  -v, ").trim_start_matches("  -q, ").strip_prefix("  --")
    }) {
        let name = option.split(' ').next().unwrap();
        if !["config", "route"].contains(&name) {
            setting(name);
        }
    }
}

#[test]
fn the_environment_names_the_file_where_the_command_line_does_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.toml"), "connections = 7\n").unwrap();
    fs::write(folder.path().join("b.toml"), "connections = 8\n").unwrap();
    let shown = |line: &[&str], file: &str| {
        let (code, table, told) = ran(folder.path(), line, &[("LOCKGATE_CONFIG", file)]);
        (code, table.lines().find(|line| line.starts_with("connections ")).map(String::from), told)
    };
    let (code, row, told) = shown(&["config", "show"], "a.toml");
    assert!(code == 0 && row.unwrap().ends_with("a.toml:1"), "{told}");
    let (code, row, told) = shown(&["config", "show", "--config", "b.toml"], "a.toml");
    assert!(code == 0 && row.unwrap().ends_with("b.toml:1"), "{told}");
    let (code, _, told) = shown(&["config", "show"], "none.toml");
    assert!(code == 78 && told.contains("none.toml: cannot be read"), "{told}");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_told_of_and_what_others_set_is_not() {
    let folder = tempfile::tempdir().unwrap();
    // The last three are what Kubernetes sets for a service of this name.
    let variables = [
        ("LOCKGATE_IDEL_TIMEOUT", "5s"),
        ("LOCKGATE_HTTPS", "9443"),
        ("LOCKGATE_PORT", "tcp://10.0.0.1:443"),
        ("LOCKGATE_SERVICE_HOST", "10.0.0.1"),
        ("LOCKGATE_PORT_443_TCP_PROTO", "tcp"),
    ];
    let (code, _, told) = ran(folder.path(), &["config", "show"], &variables);
    assert_eq!(code, 0, "{told}");
    let line =
        "LOCKGATE_IDEL_TIMEOUT in the environment is no setting of serve; is LOCKGATE_IDLE_TIMEOUT meant?";
    assert!(told.contains(line), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn what_cannot_be_used_is_told_as_serve_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lockgate.toml"), "idle-timeot = 5\n").unwrap();
    for (line, variables, code, part) in [
        (
            &["config", "show", "--config", "lockgate.toml"][..],
            &[][..],
            78,
            "lockgate.toml:1: idle-timeot is not a setting; is idle-timeout meant?",
        ),
        (&["config", "show"], &[("LOCKGATE_CONNECTIONS", "many")], 78, "LOCKGATE_CONNECTIONS"),
        (&["config", "show", "--connections=many"], &[], 2, "a whole number"),
        (&["config", "show", "--no-such"], &[], 2, "there is no option --no-such"),
        (&["config", "show", "--config", "none.toml"], &[], 78, "none.toml: cannot be read"),
        (&["config"], &[], 2, "config show"),
    ] {
        let (ended, stdout, told) = ran(folder.path(), line, variables);
        assert!(
            ended == code && told.contains(part) && stdout.is_empty(),
            "{line:?}: {ended} {told}{stdout}"
        );
    }
    let wrong = ["config", "show", "--json", "--connections=many"];
    let (code, shown, _) = ran(folder.path(), &wrong, &[]);
    assert_eq!((code, serde_json::from_str::<Value>(&shown).unwrap()["exit_code"].as_i64()), (2, Some(2)));
}

/// `config show` has shown targets that no server can have.
#[test]
fn a_target_that_serve_would_refuse_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    for (file, settings) in [
        (
            "port.toml",
            "[[route]]\npath = \"/a\"\nto = [\"http://127.0.0.1:1\", \"http://a.invalid:70000\"]\n",
        ),
        ("itself.toml", "https = 8443\nto = \"http://127.0.0.1:8443\"\n"),
        ("ca.toml", "\n[[route]]\npath = \"/a\"\nto = \"https://127.0.0.1\"\n"),
    ] {
        fs::write(folder.path().join(file), settings).unwrap();
    }
    for (line, code, part) in [
        (&["--config", "port.toml"][..], 78, "port.toml:3: to: http://a.invalid:70000: this URL has a port"),
        (&["--config", "itself.toml"], 78, "itself.toml:2: to: http://127.0.0.1:8443 is this server itself"),
        (&["--config", "ca.toml"], 78, "ca.toml:2: route /a: https://127.0.0.1: give --backend-ca FILE too"),
        (
            &["--route", "/a=http://127.0.0.1/b"],
            2,
            "--route: /a=http://127.0.0.1/b: a backend is given without a path",
        ),
        (
            &["--to", "unix:a"],
            2,
            "--to: unix:a: a socket in the file system is given as unix: and its absolute",
        ),
        (
            &["--route", "/a=http://127.0.0.1:1", "--route", "/a=http://127.0.0.1:2/"],
            2,
            "--route /a: http://127.0.0.1:2/ gets paths without the prefix, and http://127.0.0.1:1 with it",
        ),
        (
            &["--to", "http://127.0.0.1:1", "--answer-timeout=0s"],
            2,
            "--to: answer-timeout: 0ns is out of range",
        ),
    ] {
        for command in [&["config", "show"][..], &["serve", "--cert=none.pem", "--key=none.pem"]] {
            let (ended, stdout, told) = ran(folder.path(), &[command, line].concat(), &[]);
            let all = format!("{command:?} {line:?}: {ended} {told}{stdout}");
            assert!(ended == code && told.contains(part) && stdout.is_empty(), "{all}");
        }
    }
    // Files are not looked at, and names not looked up.
    let line = ["config", "show", "--to=https://a.invalid", "--backend-ca=none.pem", "--answer=/b=none.json"];
    let (code, _, told) = ran(folder.path(), &line, &[]);
    assert_eq!((code, &*told), (0, ""));
}

#[test]
fn a_password_in_a_url_is_refused_everywhere_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("to.toml"), "to = \"http://user:pa55@127.0.0.1:3000\"\n").unwrap();
    let route =
        "[[route]]\npath = \"/a\"\nto = [\"http://127.0.0.1:1\", \"http://user:pa/55@127.0.0.1:3000\"]\n";
    fs::write(folder.path().join("route.toml"), route).unwrap();
    let fault = "holds a user name or a password, which do not belong in a URL; leave them out";
    for (line, code, part) in [
        (&["--config", "to.toml"][..], 78, "to.toml:1: to: \"http://***@127.0.0.1:3000\" holds"),
        (&["--config", "route.toml"], 78, "route.toml:3: to: \"http://***@127.0.0.1:3000\" holds"),
        (&["--to", "http://user:pa55@127.0.0.1:3000"], 2, "--to: \"http://***@127.0.0.1:3000\" holds"),
        (&["--to=user:pa55@127.0.0.1:3000"], 2, "--to: \"***@127.0.0.1:3000\" holds"),
        (&["--route", "/a=http://user:pa55@a"], 2, "--route: \"/a=http://***@a\" holds"),
        (&["--route", "a=http://user:pa55@a"], 2, "--route: \"a=http://***@a\" holds"),
        (&["--acme", "https://user:pa55@a/dir"], 2, "--acme: \"https://***@a/dir\" holds"),
        (&["http://user:pa55@a"], 2, "\"http://***@a\" is neither"),
    ] {
        for command in [&["config", "show"][..], &["config", "show", "--json"], &["serve"], &["check"]] {
            let is_check = command == ["check"];
            if is_check && line[0].starts_with("http") {
                continue;
            }
            let (ended, stdout, told) = ran(folder.path(), &[command, line].concat(), &[]);
            let all = format!("{command:?} {line:?}: {ended} {stdout}{told}");
            assert!(!all.replace(&format!("{line:?}"), "").contains("55@"), "{all}");
            if !is_check {
                assert!(ended == code && told.contains(part), "{all}");
                assert!(told.contains(fault) || told.contains("is neither"), "{all}");
            }
        }
    }
    let (_, stdout, told) = ran(folder.path(), &["check", "--json", "https://user:pa55@localhost/"], &[]);
    assert!(!format!("{stdout}{told}").contains("pa55"), "{stdout}{told}");
    // An at sign elsewhere is none.
    let (code, ..) = ran(folder.path(), &["config", "show", "--to", "unix:/run/a@b.sock"], &[]);
    assert_eq!(code, 0);
}

#[test]
fn a_value_with_line_ends_stays_in_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = "public-name = \"a\\nclient-auth                  required   lockgate.toml:9\"\n";
    let route = "[[route]]\npath = \"/a\"\nfiles = \"b\\r\\n\\u001b[2J\"\n";
    let path = folder.path().join("a\nb.toml");
    fs::write(&path, format!("{file}{route}")).unwrap();
    let (code, table, _) = ran(folder.path(), &["config", "show", "--config", text(&path)], &[]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("a\\nclient-auth ") && table.contains("a\\nb.toml:1\n"), "{table}");
    assert!(table.contains("b\\r\\n\\u{1b}[2J"), "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with("client-auth ")).count(), 1, "{table}");
}

#[test]
fn a_full_disk_behind_stdout_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (line, code) in [
        (&["config", "schema"][..], 1),
        (&["config", "show"], 1),
        (&["config", "show", "--json"], 1),
        (&["--version"], 1),
        (&["--help"], 1),
        (&["serve", "--help"], 1),
        (&["check", "--schema"], 3),
        (&["check", "--explain", "all"], 3),
        (&["check", "--source", ".", "--json"], 3),
    ] {
        let mut command: Command = lockgate(line);
        let full = fs::File::create("/dev/full").unwrap();
        let ran = command.current_dir(folder.path()).stdout(full).output().unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{line:?}: {told}");
        assert!(told.contains("lockgate: stdout cannot be written: No space left"), "{line:?}: {told}");
    }
    // Who has read enough is not told.
    let mut command: Command = lockgate(&["config", "schema"]);
    let (read, write) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(read);
    let ran = command.stdout(std::os::fd::OwnedFd::from(write)).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

#[test]
fn what_serve_refuses_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let pair = authority.pair("a");
    let serve = ["serve", "--cert", text(&pair.cert), "--key", text(&pair.key), "--config", "lockgate.toml"];
    let show = ["config", "show", "--config", "lockgate.toml"];
    for (file, part) in [
        ("connections = 0\n", "--connections: 0 is out of range"),
        ("idle-timeout = 0\n", "--idle-timeout: 0ns is out of range"),
        ("\nclient-auth = \"required\"\n", "lockgate.toml:2: client-auth: --client-ca FILE is missing"),
        ("client-crl = \"a.pem\"\n", "lockgate.toml:1: client-crl: --client-ca FILE is missing"),
        ("http = \"off\"\npublic-port = 443\n", "lockgate.toml:2: public-port: --public-port is where"),
        ("admin-anywhere = true\n", "lockgate.toml:1: admin-anywhere: --admin-anywhere is for"),
        ("admin = \"0.0.0.0:9090\"\n", "--admin: 0.0.0.0:9090 can be reached from other machines"),
        ("admin = \"unix:\"\n", "--admin: unix: is followed by the path of a socket"),
        (
            "\nproxy-from = [\"127.0.0.1\", \"10.0.0.1/8\"]\n",
            "lockgate.toml:2: proxy-from: \"10.0.0.1/8\" is not accepted here",
        ),
        (
            "trust-forwarded = [\"10.0.0.0/8\", \"balancer\"]\n",
            "lockgate.toml:1: trust-forwarded: \"balancer\" is not accepted here",
        ),
        ("trust-forwarded = [\"10.0.0.0/8\", 9]\n", "lockgate.toml:1: trust-forwarded"),
    ] {
        fs::write(folder.path().join("lockgate.toml"), file).unwrap();
        for line in [&serve[..], &show] {
            let (code, stdout, told) = ran(folder.path(), line, &[]);
            assert!(
                code == 78 && told.contains(part) && stdout.is_empty(),
                "{line:?}: {code} {told}{stdout}"
            );
        }
    }
    let (code, ..) = ran(folder.path(), &["config", "show", "--client-auth=required"], &[]);
    assert_eq!(code, 2, "a mistake in typing");
}

#[test]
fn levels_of_the_environment_are_shown_in_the_place_of_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["config", "show", "--log", "warn"];
    let row = |variables: &[(&str, &str)]| {
        let (_, table, _) = ran(folder.path(), &line, variables);
        let row = table.lines().find(|line| line.starts_with("log ")).unwrap();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row(&[]), "log warn --log");
    assert_eq!(row(&[("RUST_LOG", "debug")]), "log debug environment RUST_LOG");
}

#[test]
fn a_signal_makes_a_server_read_its_limits_again() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockgate.toml");
    let write = |settings: &str| fs::write(&file, settings).unwrap();
    write("body-bytes = 1000\nworkers = 2\nhead-timeout = \"5s\"\n");
    let more = ["--config", text(&file), "--head-timeout=7s"];
    let mut command = lockgate(&[&serve_line(&pair)[..], &more].concat());
    command.env("LOCKGATE_IDLE_TIMEOUT", "30s");
    let mut server = Server::spawn(command);
    let port = server.https_port();
    let mut client = Client::connect(port, &authority.certificate());
    let mut status_of = |length: usize| {
        let body = "x".repeat(length);
        client.send(&format!(
            "POST /api/data HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.response().0.split(' ').nth(1).unwrap().to_string()
    };
    assert_eq!(status_of(100), "405");

    write("accept-terms = false\nbody-bytes = 50\nworkers = 3\nidle-timeout = 1\nhead-timeout = 1\ncount-loopback = true\nfield-names = \"title\"\n");
    server.signal(Signal::HUP);
    server.stderr.expect("INFO  lockgate::command::reread] limits are read again: count-loopback false to true, body-bytes 1000 to 50");
    server.stderr.expect("WARN  lockgate::command::reread] these settings have changed, and hold after a restart only: workers 2 to 3, field-names");
    server.stderr.expect("certificates are loaded again");
    assert_eq!(status_of(10), "405");
    assert_eq!(status_of(100), "413");

    for (wrong, told) in [
        ("body-bytes = 10\nidle-timeot = 1\n", "lockgate.toml:2: idle-timeot is not a setting"),
        ("body-bytes = 10\nhead-fields = 999\n", "--head-fields: 999 is out of range"),
        ("body-bytes = 10\n[", "is not TOML"),
    ] {
        write(wrong);
        server.signal(Signal::HUP);
        let line = server.stderr.expect("the settings are not read again, and all stay as they are: ");
        assert!(line.contains("ERROR") && line.contains(told), "{line}");
    }
    fs::remove_file(&file).unwrap();
    server.signal(Signal::HUP);
    server.stderr.expect("cannot be read");
    let mut client = Client::connect(port, &authority.certificate());
    client.send("POST /api/data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n");
    client.send(&"x".repeat(40));
    assert!(client.response().0.starts_with("HTTP/1.1 405 "));
    server.stop();
}

/// A TOML file as JSON, as an editor sees it.
fn as_json(toml: &str) -> Value {
    fn value(toml: &toml::de::DeValue<'_>) -> Value {
        use toml::de::DeValue;
        match toml {
            DeValue::String(text) => json!(text),
            DeValue::Integer(number) => json!(number.as_str().parse::<i64>().unwrap()),
            DeValue::Boolean(is_so) => json!(is_so),
            DeValue::Array(all) => all.iter().map(|one| value(one.get_ref())).collect(),
            DeValue::Table(all) => {
                all.iter().map(|(name, one)| (name.get_ref().to_string(), value(one.get_ref()))).collect()
            }
            other => panic!("{other:?}"),
        }
    }
    value(&toml::de::DeValue::Table(toml::de::DeTable::parse(toml).unwrap().into_inner()))
}

#[test]
fn the_schema_holds_for_files_that_are_right_and_for_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (code, schema, _) = ran(folder.path(), &["config", "schema"], &[]);
    assert_eq!(code, 0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_repository = [
        "examples/packaging/buildroot/package/lockgate/lockgate.toml",
        "examples/packaging/yocto/files/lockgate.toml",
        "tests/board/lockgate.toml",
    ];
    let mut right: Vec<String> =
        of_repository.iter().map(|path| fs::read_to_string(root.join(path)).unwrap()).collect();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let in_readme =
        readme.split("```toml\n").skip(1).map(|part| part.split("```").next().unwrap().to_string());
    right.extend(in_readme.filter(|text| !text.contains("[dependencies]") && !text.contains("[profile")));
    right.push(FILE.to_string());
    right.push(
        "route = \"/a=http://127.0.0.1:1\"\nsecure-cookies = false\nname = \"a\"\nhttps = 443\n".into(),
    );
    right.push(
        "http = \"[::1]:80\"\nhttps = \"8443\"\nidle-timeout = \"500ms\"\nhsts = 60\nhead-bytes = \"8KiB\"\n"
            .into(),
    );
    right.push(
        "http = \"off\"\nhsts = \"auto\"\nconnections = \"9\"\npublic-port = 443\nbody-bytes = 5\n".into(),
    );
    assert!(right.len() > 6);
    for file in &right {
        schema::must_hold(&schema, &as_json(file));
    }
    let all = serde_json::from_str::<Value>(&schema).unwrap();
    for wrong in [
        "idle-timeot = 5",
        "idle-timeout = true",
        "idle-timeout = -1",
        "count-loopback = \"true\"",
        "log-format = \"xml\"",
        "cert = [true]",
        "cert = 5",
        "cert = \"\"",
        "name = 5",
        "name = [\"a\", 5]",
        "host = 5",
        "to = 3000",
        "[[route]]\npath = \"/\"\nfiles = 5",
        "[[route]]\npath = \"a\"\nfiles = \"b\"",
        "idle-timeout = \"5h\"",
        "head-bytes = \"8kb\"",
        "connections = \"many\"",
        "https = 70000",
        "https = \"localhost\"",
        "public-port = 0",
        "hsts = \"forever\"",
        "http = \"of\"",
        "device = 1",
        "[[route]]\nto = \"http://127.0.0.1:1\"",
        "[[route]]\npath = \"/\"\nto = \"http://127.0.0.1:1\"\nconnections = 5",
        "[route]\npath = \"/\"",
    ] {
        assert!(!schema::faults(&all, &all, &as_json(wrong), "").is_empty(), "{wrong}");
        let file = folder.path().join("wrong.toml");
        fs::write(&file, wrong).unwrap();
        let (code, ..) = ran(folder.path(), &["config", "show", "--config", text(&file)], &[]);
        assert_eq!(code, 78, "{wrong}");
    }
}
