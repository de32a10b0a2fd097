//! A panic in a handler or in a response's reader is one log line, within the log's limit, and nothing else.

mod support;

use std::io::Read;
use std::process::Command;

use lockgate::{Request, Response, Router};

use support::{await_lines, get, lines, serve, Serving};

/// Set for the process that the server of a test runs in, so that all that it prints can be looked at.
const INSIDE: &str = "LOCKGATE_TEST_PANICS_INSIDE";

struct Panics;

impl Read for Panics {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("the reader gives up")
    }
}

/// Panics when it is dropped, after its end.
struct PanicsAtEnd;

impl Read for PanicsAtEnd {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

impl Drop for PanicsAtEnd {
    fn drop(&mut self) {
        panic!("the drop gives up");
    }
}

fn router() -> Router {
    Router::new()
        .get("/", |_: &mut Request| "root")
        .get("/panics/{name}", |_: &mut Request| -> Response { panic!("no sensor\x1b[31m\n at {}", 7) })
        .get("/fails/{name}", |_: &mut Request| {
            std::fs::read("/nowhere/at-all").map_err(lockgate::Error::from)
        })
        .get("/reader", |_: &mut Request| Response::reader(Panics))
        .get("/dropped", |_: &mut Request| Response::reader(PanicsAtEnd))
}

/// Runs the test `name` again in a process of its own: what it printed.
fn printed_by(name: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let output =
        Command::new(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{printed}");
    printed
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn ask(serving: &Serving, times: usize, path: &str, status: u16) {
    for n in 0..times {
        assert_eq!(serving.get(&format!("{path}/{n}")).status, status);
    }
}

#[test]
fn sixty_panics_leave_twenty_lines_and_a_sum_and_nothing_else() {
    if !is_inside() {
        let printed = printed_by("sixty_panics_leave_twenty_lines_and_a_sum_and_nothing_else");
        assert!(!printed.contains("no sensor") && !printed.contains("gives up"), "{printed}");
        // What panics outside of handlers is the program's own affair.
        assert!(printed.contains("a thread of the program's own"), "{printed}");
        return;
    }
    let serving = serve(router());
    ask(&serving, 60, "/panics", 500);
    let said = lines(|line| line.contains("no sensor"));
    assert_eq!(said.len(), 20, "{said:?}");
    for line in &said {
        assert!(line.starts_with("the handler of GET /panics/"), "{line}");
        assert!(line.contains("tests/panics.rs:") && line.contains("no sensor\\u{1b}[31m\\n at 7"), "{line}");
        assert_eq!(line.matches("no sensor").count(), 1, "{line}");
    }

    let mut client = serving.connect();
    client.send(get("/reader"));
    let _ = client.rest();
    let said = await_lines(1, |line| line.contains("the reader gives up"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("reader"), "{said:?}");
    let mut client = serving.connect();
    client.send(get("/dropped"));
    let _ = client.rest();
    let said = await_lines(1, |line| line.contains("the drop gives up"));
    assert_eq!(said.len(), 1, "{said:?}");

    assert!(std::thread::spawn(|| panic!("a thread of the program's own")).join().is_err());
    assert_eq!(serving.get("/").status, 200);
    serving.handle.stop();
    serving.join().unwrap();
    let sums = lines(|line| line.starts_with("… and 40 more in the last "));
    assert_eq!(sums.len(), 1, "{sums:?}");
}

#[test]
fn faults_of_handlers_are_within_the_limit_too() {
    if !is_inside() {
        printed_by("faults_of_handlers_are_within_the_limit_too");
        return;
    }
    let serving = serve(router());
    ask(&serving, 30, "/fails", 500);
    let said = lines(|line| line.contains("No such file"));
    assert_eq!(said.len(), 20, "{said:?}");
    assert!(said[0].starts_with("the handler of GET /fails/0 failed: "), "{said:?}");
}

#[test]
fn a_hook_of_the_programs_own_sees_what_it_should() {
    if !is_inside() {
        let printed = printed_by("a_hook_of_the_programs_own_sees_what_it_should");
        assert!(!printed.contains("no sensor"), "{printed}");
        assert!(printed.contains("OWN HOOK: a thread of the program's own"), "{printed}");
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        println!("OWN HOOK: {}", panic.payload().downcast_ref::<&str>().unwrap_or(&"?"));
    }));
    let (first, second) = (serve(router()), serve(router()));
    ask(&first, 1, "/panics", 500);
    ask(&second, 1, "/panics", 500);
    assert!(std::thread::spawn(|| panic!("a thread of the program's own")).join().is_err());
    // One that is set later has the last word, and the log has the message all the same.
    std::panic::set_hook(Box::new(|_| ()));
    ask(&first, 1, "/panics", 500);
    assert_eq!(lines(|line| line.contains("no sensor")).len(), 3);
}
