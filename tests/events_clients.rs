//! Real clients of a stream of events: curl, Node, and the EventSource of Chromium, which comes back by itself. A test whose
//! program is missing is left out, and says so (see `peers`).

mod support;
mod support_command;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Mutex;
use std::time::Duration;

use lockgate::{Event, Feed, Request, Response, Router, Running, Server};

use support::{identity, SAFETY};
use support_command::peers::{self, CURL, NODE};

/// Shows the data of all events, and tells it to the server when there is one named `last`.
const PAGE: &str = r#"<!DOCTYPE html>
<title>Events</title>
<script>
const seen = [];
const events = new EventSource("/events");
const see = event => seen.push(event.data);
events.onmessage = see;
events.addEventListener("reading", see);
events.addEventListener("last", event => {
    events.close();
    fetch("/report", { method: "POST", body: JSON.stringify([...seen, event.data]) });
});
</script>
"#;

struct Site {
    feed: Feed,
    reports: Receiver<String>,
    address: SocketAddr,
    running: Running,
}

impl Site {
    fn serve(port: u16) -> Site {
        let feed = Feed::builder().reconnect_within(Duration::from_millis(200)).build();
        let (tell, reports) = channel();
        let tell = Mutex::new(tell);
        let router = Router::new()
            .get("/", |_: &mut Request| {
                Response::text(PAGE).with_header("content-type", "text/html; charset=utf-8")
            })
            .get("/events", feed.handler())
            .post("/report", move |request: &mut Request| {
                let report = String::from_utf8_lossy(&request.bytes()?).into_owned();
                tell.lock().unwrap().send(report).unwrap();
                Ok::<_, lockgate::Error>("")
            });
        let server =
            Server::builder(router).identity(identity()).https(format!("127.0.0.1:{port}")).bind().unwrap();
        let address = server.local_addr();
        Site { feed, reports, address, running: server.spawn().unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Waits until there are so many subscribers.
    fn wait_for(&self, subscribers: usize) {
        let begin = std::time::Instant::now();
        while self.feed.subscribers() != subscribers {
            assert!(begin.elapsed() < SAFETY, "{} subscribers", self.feed.subscribers());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn report(&self) -> String {
        self.reports.recv_timeout(SAFETY).expect("the page has told nothing")
    }

    fn stop(self) {
        self.running.handle().stop();
        self.running.join().unwrap();
    }
}

/// A program that runs until the test is over.
struct Runs(Child);

impl Runs {
    fn start(mut command: Command) -> Runs {
        Runs(command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each event is there when it is sent, although the program may collect what it reads.
fn reads_each_event_as_it_is_sent(command: Command, site: Site) {
    let mut program = Runs::start(command);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap());
    site.wait_for(1);
    for number in 0..3 {
        site.feed.send(Event::new(format!("{number}\nmore")).name("reading").id(format!("n{number}")));
        for expected in [
            "event: reading\n",
            &format!("data: {number}\n"),
            "data: more\n",
            &format!("id: n{number}\n"),
            "\n",
        ] {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
    }
    site.feed.close();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    assert!(program.0.wait().unwrap().success());
    site.stop();
}

#[test]
fn curl_reads_each_event_as_it_is_sent() {
    let Some(mut curl) = CURL.command("curl_reads_each_event_as_it_is_sent", &["-sSkN"]) else { return };
    let site = Site::serve(0);
    curl.arg(site.url("/events"));
    reads_each_event_as_it_is_sent(curl, site);
}

#[test]
fn node_reads_each_event_as_it_is_sent() {
    const SCRIPT: &str = "
        require('https').get(process.argv[1], { rejectUnauthorized: false }, answer => {
            answer.on('data', piece => process.stdout.write(piece));
            answer.on('aborted', () => process.exit(1));
        });
    ";
    let Some(mut node) = NODE.command("node_reads_each_event_as_it_is_sent", &["-e", SCRIPT]) else { return };
    let site = Site::serve(0);
    node.arg(site.url("/events"));
    reads_each_event_as_it_is_sent(node, site);
}

fn open_page(test: &str, site: &Site, home: &tempfile::TempDir) -> Option<Runs> {
    let address = format!("127.0.0.1:{}", site.address.port());
    let arguments = ["--ignore-certificate-errors", "--remote-debugging-port=0", &site.url("/")];
    let chromium = peers::chromium(test, home.path(), &address, &arguments)?;
    Some(Runs::start(chromium))
}

#[test]
fn a_browser_gets_every_event_with_its_name_and_all_its_lines() {
    let test = "a_browser_gets_every_event_with_its_name_and_all_its_lines";
    let home = tempfile::tempdir().unwrap();
    let site = Site::serve(0);
    let Some(_page) = open_page(test, &site, &home) else { return };
    site.wait_for(1);
    let data = ["", " a", "a\nb\n", "a\r\nb\rc", "\u{feff}ä", "id: 1\revent: last\r\r"];
    for (number, data) in data.into_iter().enumerate() {
        let event = Event::new(data);
        site.feed.send(if number % 2 == 0 { event } else { event.name("reading") });
        site.feed.send(Event::comment("last"));
        site.feed.send(Event::new("nobody listens").name("other"));
    }
    site.feed.send(Event::new("end").name("last"));
    let seen: Vec<String> = serde_json::from_str(&site.report()).unwrap();
    assert_eq!(seen, ["", " a", "a\nb\n", "a\nb\nc", "\u{feff}ä", "id: 1\nevent: last\n\n", "end"]);
    site.wait_for(0);
    site.stop();
}

#[test]
fn a_browser_comes_back_after_a_restart_and_loses_nothing_and_gets_nothing_twice() {
    let test = "a_browser_comes_back_after_a_restart_and_loses_nothing_and_gets_nothing_twice";
    let home = tempfile::tempdir().unwrap();
    let site = Site::serve(0);
    let Some(_page) = open_page(test, &site, &home) else { return };
    site.wait_for(1);
    let send = |site: &Site, number: usize| {
        site.feed.send(Event::new(number.to_string()).id(format!("n{number}")));
    };
    (0..3).for_each(|number| send(&site, number));
    let port = site.address.port();
    // The stop gives the client all that was sent.
    site.stop();
    let site = Site::serve(port);
    // The program has stored the last events, and these were sent meanwhile.
    (1..6).for_each(|number| send(&site, number));
    site.wait_for(1);
    send(&site, 6);
    site.feed.send(Event::new("end").name("last"));
    let seen: Vec<String> = serde_json::from_str(&site.report()).unwrap();
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "end"]);
    site.stop();
}
