//! The machine of the measurement.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{json, Map, Value};

use crate::servers::{first_line, Place, Server};

pub fn describe(place: &Place, servers: &[Server], rounds: usize, time: Duration) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split(':').nth(1)));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let versions: Map<String, Value> =
        servers.iter().map(|server| (server.name().to_string(), server.version(place).into())).collect();
    // The load average of the last minute, which shows other work on the machine.
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "cores": place.cores,
        "cpu": model.unwrap_or("?").trim(),
        "memory_mib": kib / 1024,
        "kernel": kernel.trim(),
        "load_before": busy.split_whitespace().next().unwrap_or("?"),
        "rustc": first_line(Command::new("rustc").arg("--version")),
        "openssl": first_line(Command::new("openssl").arg("version")).split(" (").next(),
        "rounds": rounds,
        "seconds": time.as_secs_f64(),
        "versions": versions,
    })
}

pub fn text(machine: &Value) -> String {
    let of = |name: &str| machine[name].as_str().map_or_else(|| machine[name].to_string(), str::to_string);
    let mut text = format!(
        "{} cores, {}, {} MiB, Linux {}; {}; {}; load average before the run {}. Medians of {} rounds of {} s, in \
         parentheses the least and the most.\n\n",
        of("cores"),
        of("cpu"),
        of("memory_mib"),
        of("kernel"),
        of("rustc"),
        of("openssl"),
        of("load_before"),
        of("rounds"),
        of("seconds")
    );
    for (server, version) in machine["versions"].as_object().into_iter().flatten() {
        text += &format!("- {server}: {}\n", version.as_str().unwrap_or("?"));
    }
    text
}
