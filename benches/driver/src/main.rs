//! Measures lockgate and its peers, one at a time and in turns: `driver [--quick] [--rounds N] [--seconds S]
//! [--servers a,b] [--only operation,…] [--update-readme]`. `make bench` builds what it needs. Tables go to standard
//! output, JSON and charts to target/bench.

mod chart;
mod client;
mod events;
mod front;
mod histogram;
mod idle;
mod load;
mod machine;
mod operations;
mod process;
mod results;
mod servers;
mod tunnels;
#[path = "../../../tests/support/x25519mlkem768.rs"]
mod x25519mlkem768;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use client::{Client, KeyExchange};
use front::Backend;
use operations::Operation;
use process::Process;
use results::{Results, Section};
use servers::{Place, Server, Serves};

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The time limit for a server's first answer.
const START: Duration = Duration::from_secs(15);
/// How often a server is started in each round, to measure its start.
const STARTS: usize = 5;
/// How old files are before they are asked for, as those of a device are: the tag of one that has just been written is made anew
/// for each request.
const SETTLED: Duration = Duration::from_secs(4);
/// How many clients subscribe to events, and in a quick run.
const SUBSCRIBERS: usize = 10_000;
const SUBSCRIBERS_QUICK: usize = 1_000;
/// How many tunnels there are in a quick run.
const TUNNELS_QUICK: usize = 1_000;
const STEPS: [usize; 3] = [100, 1_000, 10_000];

struct Plan {
    rounds: usize,
    time: Duration,
    servers: Vec<Server>,
    operations: Vec<Operation>,
    steps: &'static [usize],
    /// Which of the sections without load are measured.
    idle: bool,
    events: bool,
    start: bool,
    tunnels: bool,
    /// How many clients subscribe to events.
    subscribers: usize,
    /// How many tunnels there are through a server.
    tunnel_count: usize,
    update_readme: bool,
}

fn main() -> Outcome<()> {
    // First, because the plan depends on it.
    raise_open_files();
    let plan = Plan::from_arguments()?;
    let work = Work::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    // This program is in bench/build/release of cargo's target folder.
    let programs = std::env::current_exe()?.parent().ok_or("no directory")?.to_path_buf();
    let target = programs.ancestors().nth(3).ok_or("no target directory")?.to_path_buf();
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let place = Place {
        certificate: work.0.join("cert.pem"),
        key: work.0.join("key.pem"),
        express: target.join("bench/express"),
        work: work.0.clone(),
        cores: thread::available_parallelism()?.get(),
        programs,
        root,
        target,
    };
    write_private(&place.certificate, made.cert.pem().as_bytes())?;
    write_private(&place.key, made.signing_key.serialize_pem().as_bytes())?;
    operations::make_files(&place.work)?;
    let files_made = Instant::now();

    let mut bench = Bench {
        place,
        files_made,
        certificate: made.cert.der().clone(),
        results: Results::default(),
        suites: BTreeMap::new(),
        backend: None,
    };
    // Before the run, so that its own load does not count.
    let machine = machine::describe(&bench.place, &plan.servers, plan.rounds, plan.time);
    bench.run(&plan);
    bench.report(&plan, &machine)
}

impl Plan {
    fn from_arguments() -> Outcome<Plan> {
        let mut plan = Plan {
            rounds: 3,
            time: Duration::from_secs(3),
            servers: servers::ALL.to_vec(),
            operations: operations::all(),
            steps: &STEPS,
            idle: true,
            events: true,
            start: true,
            tunnels: true,
            subscribers: SUBSCRIBERS,
            tunnel_count: tunnels::fitting(tunnels::MOST),
            update_readme: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => {
                    plan.time = Duration::from_millis(700);
                    plan.servers = vec![Server::Lockgate, Server::Floor, Server::Hyper, Server::Nginx];
                    plan.steps = &STEPS[..2];
                    plan.subscribers = SUBSCRIBERS_QUICK;
                    plan.tunnel_count = tunnels::fitting(TUNNELS_QUICK);
                }
                "--rounds" => plan.rounds = value()?.parse()?,
                "--seconds" => plan.time = Duration::from_secs_f64(value()?.parse()?),
                "--servers" => {
                    let value = value()?;
                    let names: Vec<&str> = value.split(',').collect();
                    plan.servers.retain(|server| names.contains(&server.name()));
                    if plan.servers.len() != names.len() {
                        return Err(format!("--servers {value}: not all of them are known here").into());
                    }
                }
                "--only" => {
                    let value = value()?;
                    let names: Vec<&str> = value.split(',').collect();
                    plan.operations.retain(|operation| names.contains(&operation.name));
                    plan.idle = names.contains(&"idle");
                    plan.events = names.contains(&"events");
                    plan.start = names.contains(&"start");
                    plan.tunnels = names.contains(&"tunnels");
                    let sections = [plan.idle, plan.events, plan.start, plan.tunnels];
                    let found = plan.operations.len() + sections.map(usize::from).iter().sum::<usize>();
                    if found != names.len() {
                        return Err(format!("--only {value}: not all of them are known here").into());
                    }
                }
                "--aes-256-first" => client::AES_256_FIRST.store(true, Ordering::Relaxed),
                "--update-readme" => plan.update_readme = true,
                _ => return Err(format!("unknown argument: {argument}").into()),
            }
        }
        Ok(plan)
    }

    fn sections(&self) -> Vec<Section> {
        let named = |name: &str, title: &str| (name.to_string(), title.to_string());
        let mut sections: Vec<Section> = self
            .operations
            .iter()
            .map(|operation| Section {
                name: operation.name.into(),
                title: operation.title.into(),
                figures: vec![
                    named("cpu_us", "server CPU, µs"),
                    named("per_second", "a second"),
                    named("p50_us", "p50 µs"),
                    named("p99_us", "p99 µs"),
                    named("p999_us", "p99.9 µs"),
                    // There only where the servers decide about it.
                    named("body_bytes", "bytes of the answer"),
                ],
            })
            .collect();
        sections.push(Section {
            name: "idle".into(),
            title: idle::title(self.steps),
            figures: idle::figures(self.steps),
        });
        sections.push(Section {
            name: "events".into(),
            title: format!("an event of 200 bytes a second to {} subscribers", self.subscribers),
            figures: events::figures(),
        });
        sections.push(Section {
            name: "tunnels".into(),
            title: format!("in front of a backend: {} idle WebSockets", self.tunnel_count),
            figures: tunnels::figures(),
        });
        sections.push(Section {
            name: "start".into(),
            title: "from the start to the first answer".into(),
            figures: vec![named("start_ms", "ms"), named("memory_kib", "memory then, KiB")],
        });
        sections.push(Section {
            name: "size".into(),
            title: "the program, stripped, without the libraries that it loads".into(),
            figures: vec![
                named("program_kib", "KiB"),
                named("command_kib", "the lockgate command"),
                named("smallest_kib", "smallest embedding example"),
            ],
        });
        sections
    }
}

struct Bench {
    place: Place,
    /// When the files were made that are served.
    files_made: Instant,
    certificate: CertificateDer<'static>,
    results: Results,
    /// The cipher suite that each server has chosen.
    suites: BTreeMap<Server, &'static str>,
    /// The backend that servers are measured in front of, once it runs.
    backend: Option<Backend>,
}

/// A server that answers.
struct Running {
    process: Process,
    port: u16,
    started_in: Duration,
}

impl Bench {
    fn run(&mut self, plan: &Plan) {
        for &server in &plan.servers {
            if server.program(&self.place).is_none() {
                eprintln!("{}: not there, and left out", server.name());
            }
        }
        let servers: Vec<Server> =
            plan.servers.iter().copied().filter(|server| server.program(&self.place).is_some()).collect();
        for round in 1..=plan.rounds {
            for operation in &plan.operations {
                for &server in &servers {
                    if let Some(reason) = server.has_no_part_in(operation) {
                        self.note(operation.name, server, reason);
                        continue;
                    }
                    match self.load(server, operation, plan) {
                        Ok(line) => {
                            eprintln!("round {round}: {:<18} {:<10} {line}", operation.name, server.name())
                        }
                        Err(error) => self.fail(operation.name, server, &*error),
                    }
                }
            }
            for &server in servers.iter().filter(|_| plan.idle) {
                match self.idle(server, plan) {
                    Ok(line) => eprintln!("round {round}: {:<18} {:<10} {line}", "idle", server.name()),
                    Err(error) => self.fail("idle", server, &*error),
                }
            }
            for &server in servers.iter().filter(|_| plan.events) {
                if let Some(reason) = server.has_no_part_in_events() {
                    self.note("events", server, reason);
                    continue;
                }
                match self.events(server, plan) {
                    Ok(line) => eprintln!("round {round}: {:<18} {:<10} {line}", "events", server.name()),
                    Err(error) => self.fail("events", server, &*error),
                }
            }
            for &server in servers.iter().filter(|_| plan.tunnels) {
                if let Some(reason) = front::has_no_part(server) {
                    self.note("tunnels", server, reason);
                    continue;
                }
                match self.tunnels(server, plan) {
                    Ok(line) => eprintln!("round {round}: {:<18} {:<10} {line}", "tunnels", server.name()),
                    Err(error) => self.fail("tunnels", server, &*error),
                }
            }
            for &server in servers.iter().filter(|_| plan.start) {
                if let Err(error) = self.starts(server) {
                    self.fail("start", server, &*error);
                }
            }
        }
        for &server in servers.iter().filter(|_| plan.start) {
            self.sizes(server);
        }
    }

    fn note(&mut self, section: &str, server: Server, note: &str) {
        self.results.notes.entry((section.into(), server)).or_insert_with(|| note.into());
    }

    fn fail(&mut self, section: &str, server: Server, error: &(dyn Error + Send + Sync)) {
        eprintln!("{section}: {} failed: {error}", server.name());
        self.note(section, server, &format!("failed: {error}"));
    }

    fn load(&mut self, server: Server, operation: &Operation, plan: &Plan) -> Outcome<String> {
        if operation.is_of_files() {
            thread::sleep((self.files_made + SETTLED).saturating_duration_since(Instant::now()));
        }
        let serves = if operation.is_in_front() { self.front()? } else { Serves::Requests };
        let running = self.start(server, serves)?;
        let config = client::tls(&self.certificate, operation.job.key_exchange, Resumption::disabled())?;
        let mut client = Client::connect(running.port, &config)?;
        let mut answer = client.ask(operation.one_request())?;
        self.suites.insert(server, client.check()?);
        let job = operation.job(answer.etag.as_deref())?;
        if job.request != operation.job.request {
            answer = client.ask(&job.request)?;
        }
        if !operation.accepts(&answer, &self.place.work) {
            let body = &answer.body;
            let start = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            return Err(format!("it answers {} with {} bytes: {start}", answer.status, body.len()).into());
        }
        if operation.name == operations::GZIP {
            self.results.add(operation.name, "body_bytes", server, answer.body.len() as f64);
        }
        let (certificate, process) = (&self.certificate, &running.process);
        let measured = load::run(&job, running.port, certificate, process, plan.time / 4, plan.time)?;
        let latency = &measured.latency;
        let figures = [
            ("cpu_us", measured.cpu_us),
            ("per_second", measured.per_second),
            ("p50_us", latency.quantile(0.5)),
            ("p99_us", latency.quantile(0.99)),
            ("p999_us", latency.quantile(0.999)),
        ];
        for (figure, value) in figures {
            self.results.add(operation.name, figure, server, value);
        }
        Ok(figures.map(|(figure, value)| format!("{figure} {:>8}", results::number(value))).join("  "))
    }

    fn idle(&mut self, server: Server, plan: &Plan) -> Outcome<String> {
        let running = self.start(server, Serves::Requests)?;
        let figures = idle::run(plan.steps, running.port, &self.certificate, &running.process, plan.time)?;
        Ok(self.add("idle", server, figures))
    }

    fn events(&mut self, server: Server, plan: &Plan) -> Outcome<String> {
        let running = self.start(server, Serves::Events)?;
        let events = plan.time.as_secs().max(1);
        let (certificate, process) = (&self.certificate, &running.process);
        let figures = events::run(plan.subscribers, events, running.port, certificate, process)?;
        Ok(self.add("events", server, figures))
    }

    fn tunnels(&mut self, server: Server, plan: &Plan) -> Outcome<String> {
        let serves = self.front()?;
        let running = self.start(server, serves)?;
        let (certificate, process) = (&self.certificate, &running.process);
        let figures = tunnels::run(plan.tunnel_count, running.port, certificate, process, plan.time)?;
        Ok(self.add("tunnels", server, figures))
    }

    /// In front of the backend, which is started for the first server.
    fn front(&mut self) -> Outcome<Serves> {
        let backend = match self.backend.take() {
            Some(backend) => backend,
            None => Backend::start(&self.place)?,
        };
        Ok(Serves::Front(self.backend.insert(backend).port))
    }

    /// Keeps figures, and returns them as a line.
    fn add(&mut self, section: &str, server: Server, figures: Vec<(String, f64)>) -> String {
        let mut line = Vec::new();
        for (figure, value) in figures {
            line.push(format!("{figure} {}", results::number(value)));
            self.results.add(section, &figure, server, value);
        }
        line.join("  ")
    }

    fn starts(&mut self, server: Server) -> Outcome<()> {
        for _ in 0..STARTS {
            let running = self.start(server, Serves::Requests)?;
            self.results.add("start", "start_ms", server, running.started_in.as_secs_f64() * 1e3);
            self.results.add("start", "memory_kib", server, running.process.memory_kib()? as f64);
        }
        Ok(())
    }

    fn sizes(&mut self, server: Server) {
        let kib = |path: PathBuf| fs::metadata(path).ok().map(|metadata| metadata.len() as f64 / 1024.0);
        let mut sizes = vec![("program_kib", server.program(&self.place).and_then(kib))];
        if server == Server::Lockgate {
            let target = &self.place.target;
            sizes.push(("command_kib", kib(target.join("release/lockgate"))));
            sizes.push(("smallest_kib", kib(target.join("small/examples/smallest"))));
        }
        for (figure, size) in sizes {
            if let Some(size) = size {
                self.results.add("size", figure, server, size);
            }
        }
    }

    /// Starts the server at a free port and waits for its first answer, which is checked.
    fn start(&self, server: Server, serves: Serves) -> Outcome<Running> {
        let port = free_port()?;
        let config = client::tls(&self.certificate, KeyExchange::X25519, Resumption::disabled())?;
        let mut command = server.command(&self.place, port, serves)?;
        let began = Instant::now();
        let mut process = Process::start(&mut command)?;
        loop {
            let first = Client::connect(port, &config).and_then(|mut client| {
                let answer = client.ask(&operations::get("/api/data"))?;
                client.check()?;
                Ok(answer.body)
            });
            match first {
                Ok(body) if body == operations::DATA.as_bytes() => {
                    return Ok(Running { process, port, started_in: began.elapsed() });
                }
                Ok(body) => return Err(format!("it answers {}", String::from_utf8_lossy(&body)).into()),
                Err(error) if began.elapsed() > START => return Err(format!("no answer: {error}").into()),
                Err(error) if process.has_ended() => return Err(format!("it ended; {error}").into()),
                Err(_) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    fn suites_text(&self) -> String {
        let mut servers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (server, suite) in &self.suites {
            servers.entry(suite).or_default().push(server.name());
        }
        let lines: Vec<String> =
            servers.iter().map(|(suite, servers)| format!("{suite}: {}", servers.join(", "))).collect();
        format!("- cipher suites: {}\n", lines.join("; "))
    }

    fn report(&self, plan: &Plan, machine: &Value) -> Outcome<()> {
        let sections = plan.sections();
        let out = self.place.target.join("bench");
        fs::create_dir_all(&out)?;
        let json = serde_json::to_string_pretty(&self.results.json(machine, &sections))?;
        fs::write(out.join("results.json"), json)?;

        let mut text = machine::text(machine);
        if !self.suites.is_empty() {
            text += &self.suites_text();
        }
        text += &format!("\n### What was to be reached\n\n{}", self.results.targets(&plan.servers));
        for section in &sections {
            let table = self.results.table(section, &plan.servers);
            if table.is_empty() {
                continue;
            }
            text += &format!("\n### {}: {}\n\n{table}", section.name, section.title);
            let Some((headline, unit)) = section.figures.first() else { continue };
            let mut bars: Vec<_> = plan
                .servers
                .iter()
                .filter_map(|server| Some((*server, self.results.spread(&section.name, headline, *server)?)))
                .collect();
            bars.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
            fs::write(out.join(format!("{}.svg", section.name)), chart::draw(&section.title, unit, &bars))?;
        }
        fs::write(out.join("results.md"), &text)?;
        println!("{text}");
        println!(
            "written: {0}/results.md, {0}/results.json, and a chart an operation, {0}/*.svg",
            out.display()
        );
        if plan.update_readme {
            update_readme(&self.place.root.join("benches/README.md"), &text)?;
        }
        let own = self.results.notes.iter().find(|((_, server), _)| *server == Server::Lockgate);
        own.map_or(Ok(()), |((section, _), note)| Err(format!("lockgate, {section}: {note}").into()))
    }
}

/// Replaces the tables of the last run.
fn update_readme(readme: &Path, tables: &str) -> Outcome<()> {
    const MARK: &str = "<!-- The rest is written by `make bench`. -->\n";
    let text = fs::read_to_string(readme)?;
    let (head, _) = text.split_once(MARK).ok_or("benches/README.md has lost its mark")?;
    Ok(fs::write(readme, format!("{head}{MARK}\n{tables}"))?)
}

pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A directory of this run's own, removed at its end.
struct Work(PathBuf);

impl Work {
    fn new() -> Outcome<Work> {
        let path = std::env::temp_dir().join(format!("lockgate-bench-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Work(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn write_private(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(bytes)?)
}

/// As many connections as the system allows; the servers inherit it.
fn raise_open_files() {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let now = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, the operation that needs more reports it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}
