//! Thousands of idle connections: the memory of each, and their cost for active connections.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::ClientConfig;

use crate::client::{self, Client, KeyExchange};
use crate::load;
use crate::operations;
use crate::process::Process;
use crate::Outcome;

const NEWCOMERS: usize = 21;
/// How many connections are busy beside the idle ones.
const BUSY: &str = "keep_alive_8";
/// Requests before the measurement, so that one-time costs do not count for idle connections.
const FIRST: usize = 50;

/// Opens connections in steps up to each number; returns figures as name and value.
pub fn run(
    steps: &[usize],
    port: u16,
    certificate: &CertificateDer<'static>,
    server: &Process,
    time: Duration,
) -> Outcome<Vec<(String, f64)>> {
    let config = client::tls(certificate, KeyExchange::X25519, Resumption::disabled())?;
    let busy =
        operations::all().into_iter().find(|operation| operation.name == BUSY).ok_or("no busy operation")?;
    for _ in 0..FIRST {
        newcomer(port, &config)?;
    }
    let mut figures = Vec::new();
    let mut idle = Vec::new();
    let base = server.memory_kib()?;
    for &step in steps {
        let wanted = step - idle.len();
        let before = server.cpu()?;
        idle.extend(client::open(wanted, || newcomer(port, &config))?);
        let opening = server.cpu()? - before;
        let held = server.memory_kib()?.saturating_sub(base);
        figures.push((format!("kib_each_{step}"), held as f64 / idle.len() as f64));
        figures.push((format!("open_us_{step}"), opening.as_secs_f64() * 1e6 / wanted as f64));
        let measured = load::run(&busy.job, port, certificate, server, time / 4, time)?;
        figures.push((format!("busy_us_{step}"), measured.cpu_us));
    }
    // Work that is left over from the load does not count as idle.
    thread::sleep(time / 4);
    let before = (server.cpu()?, Instant::now());
    thread::sleep(time);
    let cpu = server.cpu()? - before.0;
    figures.push(("idle_cpu_us".into(), cpu.as_secs_f64() * 1e6 / before.1.elapsed().as_secs_f64()));
    figures.push(("threads".into(), server.threads()? as f64));
    let mut newcomers = Vec::new();
    for _ in 0..NEWCOMERS {
        let began = Instant::now();
        newcomer(port, &config)?;
        newcomers.push(began.elapsed().as_secs_f64() * 1e3);
    }
    newcomers.sort_by(f64::total_cmp);
    figures.push(("newcomer_ms".into(), newcomers[NEWCOMERS / 2]));
    figures.push(("newcomer_worst_ms".into(), newcomers[NEWCOMERS - 1]));
    // At a limit of connections, each new connection may replace the longest-idle one.
    let asked = idle.len().min(100);
    let every = idle.len() / asked;
    let kept = idle.iter_mut().step_by(every).filter_map(|client| client.ask(&request()).ok()).count();
    figures.push(("still_there_percent".into(), kept as f64 * 100.0 / idle.len().div_ceil(every) as f64));
    Ok(figures)
}

fn request() -> Vec<u8> {
    operations::get("/api/data")
}

fn newcomer(port: u16, config: &Arc<ClientConfig>) -> Outcome<Client> {
    let mut client = Client::connect(port, config)?;
    client.ask(&request())?;
    Ok(client)
}

/// The names of the figures in order of importance, with a description of each.
pub fn figures(steps: &[usize]) -> Vec<(String, String)> {
    let each = |name: &str, title: &str| -> Vec<(String, String)> {
        let titled = |step: &usize| (format!("{name}_{step}"), format!("{title} at {step}"));
        steps.iter().rev().map(titled).collect()
    };
    let one = |name: &str, title: &str| vec![(name.to_string(), title.to_string())];
    [
        each("kib_each", "KiB each"),
        one("threads", "threads"),
        one("newcomer_ms", "newcomer ms"),
        one("newcomer_worst_ms", "worst"),
        one("idle_cpu_us", "idle CPU µs a second"),
        each("open_us", "CPU µs to open one"),
        each("busy_us", "CPU µs a request beside them"),
        one("still_there_percent", "% still there"),
    ]
    .concat()
}

/// The title of what `run` measures.
pub fn title(steps: &[usize]) -> String {
    format!("{} idle connections", steps.last().unwrap_or(&0))
}
