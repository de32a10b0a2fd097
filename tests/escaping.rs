//! Text from others is escaped before it reaches a terminal, a log or a report: it cannot steer the terminal, begin a line or
//! turn the direction of writing. Tried with file names, source lines, differences, paths of requests, hosts and certificates.

mod support;
mod support_command;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lockgate::check::JSON_SCHEMA;
use lockgate::{Response, Router, Server as Library};
use serde_json::Value;
use support_command::schema::must_hold;
use support_command::{lockgate, of_program, outcome, run, text};
use tempfile::TempDir;

/// ESC, CSI as one character (C1), a line end, an override, an isolate, a mark, a line separator, and a byte order mark.
const FOREIGN: &str = "\u{1b}[31m\u{9b}1m\n\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff}x";
/// As one line of a terminal or a log has it.
const SHOWN: &str = r"\u{1b}[31m\u{9b}1m\n\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff}x";
const DIRTY: &str = "ctx.check_hostname = False";

#[track_caller]
fn assert_harmless(said: &str) {
    let hides = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let found: Vec<char> = said.chars().filter(|c| hides(*c)).collect();
    assert!(found.is_empty(), "{found:?} in {said:?}");
}

/// A tree with a name and a line like that, and a file that is left out.
fn tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let line = FOREIGN.replace('\n', "");
    fs::write(
        dir.path().join(format!("{FOREIGN}.py")),
        format!("{DIRTY} # {line}\n# {line}\nU = 'http://a.io/'\n"),
    )
    .unwrap();
    fs::write(dir.path().join(format!("{FOREIGN}.min.js")), "").unwrap();
    dir
}

#[test]
fn names_and_lines_in_a_report_on_sources_are_escaped() {
    let dir = tree();
    let (code, said, _) = outcome(lockgate(&["check", "--source", text(dir.path())]), b"");
    assert_eq!(code, 2);
    assert_harmless(&said);
    assert!(said.contains(&format!("{SHOWN}.py:1:5: error: ")), "{said}");
    assert!(said.contains(&format!("    {DIRTY} # {}", SHOWN.replace("\\n", ""))), "{said}");
    assert!(said.contains(&format!("skipped: {SHOWN}.min.js: minified")), "{said}");
}

#[test]
fn json_is_escaped_and_stays_the_same_when_it_is_read() {
    let dir = tree();
    for format in ["--json", "--sarif"] {
        let (_, said, _) = outcome(lockgate(&["check", "--source", text(dir.path()), format]), b"");
        assert_harmless(&said);
        let report: Value = serde_json::from_str(&said).unwrap();
        if format == "--json" {
            must_hold(JSON_SCHEMA, &report);
            assert_eq!(report["findings"][0]["file"], format!("{FOREIGN}.py"));
            assert_eq!(report["skipped"][0]["path"], format!("{FOREIGN}.min.js"));
        }
    }
}

#[test]
fn a_difference_is_escaped_on_a_terminal_and_has_its_own_bytes_in_a_pipe() {
    let dir = tree();
    let fix = ["check", "--source", text(dir.path()), "--fix", "--host", "a.io"];
    let own = run(lockgate(&fix), b"").stdout;
    assert!(String::from_utf8_lossy(&own).contains(&format!("\n # {}\n", FOREIGN.replace('\n', ""))));
    let Some(said) = on_a_terminal(lockgate(&fix)) else { return };
    assert_harmless(
        &said
            .replace("\r\n", "\n")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[1;31m", "")
            .replace("\u{1b}[1;33m", "")
            .replace("\u{1b}[0m", ""),
    );
    assert!(said.contains(&format!("--- a/{SHOWN}.py\r\n")), "{said}");
    assert!(said.contains(&format!("\n # {}\r\n", SHOWN.replace("\\n", ""))), "{said}");
}

#[test]
fn colours_are_for_a_terminal_that_has_them() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.py"), DIRTY).unwrap();
    let settings: [(&[(&str, &str)], bool); 4] = [
        (&[("TERM", "xterm")], true),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
    ];
    let missing = dir.path().join("missing.pem");
    // Warned of in the log, before it is refused as another's.
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert, support::pem_pair(|_| {}).0).unwrap();
    fs::write(&key, support::pem_pair(|_| {}).1).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o646)).unwrap();
    for (variables, is_coloured) in settings {
        for arguments in [
            &["check", "--source", text(dir.path())][..],
            &["check", "--cert", text(&missing), "--key", text(&missing)],
            &["serve", "--cert", text(&cert), "--key", text(&key)],
        ] {
            let mut command = lockgate(arguments);
            command.env_remove("NO_COLOR").envs(variables.iter().copied());
            let Some(said) = on_a_terminal(command) else { return };
            assert!(arguments[0] == "check" || said.contains(" lockgate::tls::file] "), "{said}");
            assert_eq!(said.contains("\u{1b}["), is_coloured, "{variables:?} {said:?}");
        }
    }
}

#[test]
fn an_error_about_a_file_is_one_line() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join(format!("{FOREIGN}.pem"));
    for arguments in [
        &["serve", "--cert", text(&missing), "--key", text(&missing)][..],
        &["cert", "show", text(&missing)],
        &["check", "--source", text(&missing)],
        &["serve", "--config", text(&missing)],
        &["serve", "--host-name-of-nothing", FOREIGN],
        &["serve", FOREIGN],
    ] {
        let (code, stdout, stderr) = outcome(lockgate(arguments), b"");
        assert_ne!(code, 0);
        assert_eq!((stdout.as_str(), stderr.lines().count()), ("", 1), "{stderr:?}");
        assert_harmless(&stderr);
    }
    let error = lockgate::Identity::from_pem_files(&missing, &missing).unwrap_err();
    assert_harmless(&error.to_string());
    assert!(error.to_string().contains(&format!("{SHOWN}.pem: there is no such file")), "{error}");
}

#[test]
fn a_certificate_in_a_file_with_such_a_name_is_shown_in_its_lines() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(format!("{FOREIGN}.pem"));
    fs::write(&path, support::pem_pair(|_| {}).0).unwrap();
    let (_, said, _) = outcome(lockgate(&["cert", "show", text(&path)]), b"");
    assert_harmless(&said);
    assert!(said.contains(&format!("{SHOWN}.pem: one certificate")), "{said}");
    let (_, said, _) = outcome(lockgate(&["cert", "show", "--json", text(&path)]), b"");
    assert_harmless(&said);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["file"], text(&path));
}

#[test]
fn what_a_request_brings_is_escaped_in_the_log() {
    let router = Router::new().get("/panics/{what}", |request: &mut lockgate::Request| -> Response {
        panic!("{} is wrong", request.param("what").unwrap())
    });
    let serving = support::serve_as(Library::builder(router).identity(support::identity()).access_log(true));
    // What is ASCII in it, a path must not have.
    let encoded: String =
        FOREIGN.bytes().filter(|byte| !byte.is_ascii()).map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(serving.get(&format!("/panics/{encoded}")).status, 500);
    let lines = support::lines(|line| line.contains("/panics/") && line.contains("panicked"));
    assert_eq!(lines.len(), 1);
    assert_harmless(&lines[0]);
    // The path as it came, and the message of the panic.
    assert!(lines[0].contains(&format!("GET /panics/{encoded} panicked at ")), "{lines:?}");
    assert!(
        lines[0].ends_with(r": \u{9b}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff} is wrong"),
        "{lines:?}"
    );
}

/// What a command says on a terminal; `None` when there is no `script` (util-linux).
fn on_a_terminal(command: Command) -> Option<String> {
    let word = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let line: Vec<String> =
        [word(command.get_program())].into_iter().chain(command.get_args().map(word)).collect();
    if !Path::new("/usr/bin/script").exists() {
        eprintln!("there is no /usr/bin/script, so there is no terminal");
        return None;
    }
    let mut script = of_program("/usr/bin/script", &["-qec", &line.join(" "), "/dev/null"]);
    script.env_remove("NO_COLOR").env("TERM", "xterm").env("SHELL", "/bin/sh");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    Some(outcome(script, b"").1)
}
