//! All figures of a run: medians with minimum and maximum, as JSON, as tables, and compared with the goals.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use crate::servers::Server;

/// A section of the results: its figures, the most important first.
pub struct Section {
    pub name: String,
    pub title: String,
    /// The name, and a description.
    pub figures: Vec<(String, String)>,
}

#[derive(Default)]
pub struct Results {
    /// By section, figure and server: one value for each round.
    values: BTreeMap<(String, String, Server), Vec<f64>>,
    /// Why a server has no figures in a section.
    pub notes: BTreeMap<(String, Server), String>,
}

pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

/// What a goal compares lockgate with.
#[derive(Clone, Copy)]
enum Against {
    BestPeer,
    Server(Server),
    Nothing,
}

/// Section, figure, the comparison, and the maximum of the ratio, or of the value without a comparison.
const TARGETS: [(&str, &str, Against, f64); 39] = [
    ("keep_alive_8", "cpu_us", Against::BestPeer, 0.95),
    ("keep_alive_8", "cpu_us", Against::Server(Server::Floor), 1.10),
    ("keep_alive_64", "cpu_us", Against::BestPeer, 0.95),
    ("keep_alive_64", "cpu_us", Against::Server(Server::Floor), 1.10),
    ("keep_alive_512", "cpu_us", Against::BestPeer, 0.95),
    ("keep_alive_512", "cpu_us", Against::Server(Server::Floor), 1.10),
    ("keep_alive_512", "p99_us", Against::BestPeer, 1.0),
    ("browser", "cpu_us", Against::BestPeer, 0.95),
    ("pipelined_16", "cpu_us", Against::BestPeer, 1.0),
    ("handshake_full", "cpu_us", Against::BestPeer, 1.0),
    ("handshake_full", "cpu_us", Against::Server(Server::Nginx), 0.55),
    ("handshake_resumed", "cpu_us", Against::BestPeer, 1.0),
    ("handshake_resumed", "cpu_us", Against::Server(Server::Nginx), 0.55),
    ("get_1mib", "cpu_us", Against::BestPeer, 0.9),
    ("post_1mib", "cpu_us", Against::BestPeer, 0.9),
    ("post_json", "cpu_us", Against::BestPeer, 1.0),
    ("block_1ms", "cpu_us", Against::Server(Server::Hyper), 1.1),
    ("file_10kib", "cpu_us", Against::BestPeer, 1.0),
    ("embedded_10kib", "cpu_us", Against::BestPeer, 1.0),
    ("not_modified", "cpu_us", Against::BestPeer, 1.0),
    ("gzip_json", "cpu_us", Against::BestPeer, 1.0),
    ("upload_20mib", "cpu_us", Against::BestPeer, 1.0),
    ("events", "cpu_us", Against::BestPeer, 1.0),
    ("events", "cpu_us", Against::Server(Server::Floor), 1.3),
    ("events", "kib_each", Against::Nothing, 10.0),
    ("front_64", "cpu_us", Against::BestPeer, 1.0),
    ("front_512", "cpu_us", Against::BestPeer, 1.0),
    ("front_get_1mib", "cpu_us", Against::BestPeer, 1.0),
    ("front_post_64kib", "cpu_us", Against::BestPeer, 1.0),
    ("front_post_1mib", "cpu_us", Against::BestPeer, 1.0),
    ("tunnels", "kib_each", Against::BestPeer, 1.0),
    ("tunnels", "message_us", Against::BestPeer, 1.0),
    ("idle", "kib_each_10000", Against::Nothing, 9.0),
    ("idle", "threads", Against::Nothing, 5.0),
    ("idle", "busy_us_10000", Against::BestPeer, 1.0),
    ("start", "start_ms", Against::Nothing, 10.0),
    ("start", "memory_kib", Against::Nothing, 4096.0),
    ("size", "command_kib", Against::Nothing, 3072.0),
    ("size", "smallest_kib", Against::Nothing, 1638.4),
];

impl Results {
    pub fn add(&mut self, section: &str, figure: &str, server: Server, value: f64) {
        self.values.entry((section.into(), figure.into(), server)).or_default().push(value);
    }

    pub fn spread(&self, section: &str, figure: &str, server: Server) -> Option<Spread> {
        let mut values = self.values.get(&(section.to_string(), figure.to_string(), server))?.clone();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { median: (low + high) / 2.0, least: values[0], most: *values.last()? })
    }

    pub fn json(&self, machine: &Value, sections: &[Section]) -> Value {
        let mut all = serde_json::Map::new();
        for section in sections {
            let mut servers = serde_json::Map::new();
            for ((of, figure, server), values) in &self.values {
                if *of == section.name {
                    let spread = self.spread(of, figure, *server).map(|spread| {
                        json!({"median": spread.median, "min": spread.least, "max": spread.most, "rounds": values})
                    });
                    servers.entry(server.name()).or_insert_with(|| json!({}))[figure] = spread.into();
                }
            }
            all.insert(section.name.clone(), json!({"title": section.title, "servers": servers}));
        }
        json!({"machine": machine, "operations": all})
    }

    /// One section in Markdown: one line for each server, the best first.
    pub fn table(&self, section: &Section, servers: &[Server]) -> String {
        let figures: Vec<_> = section
            .figures
            .iter()
            .filter(|(figure, _)| {
                servers.iter().any(|server| self.spread(&section.name, figure, *server).is_some())
            })
            .collect();
        let Some((headline, _)) = figures.first() else { return String::new() };
        let mut lines: Vec<_> = servers
            .iter()
            .filter_map(|server| Some((self.spread(&section.name, headline, *server)?.median, *server)))
            .collect();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let titles: Vec<&str> = figures.iter().map(|(_, title)| title.as_str()).collect();
        let mut text = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
        for (_, server) in lines {
            let cells = figures.iter().enumerate().map(|(column, (figure, _))| {
                match self.spread(&section.name, figure, server) {
                    Some(spread) if column == 0 => format!(
                        "{} ({}–{})",
                        number(spread.median),
                        number(spread.least),
                        number(spread.most)
                    ),
                    Some(spread) => number(spread.median),
                    None => "".into(),
                }
            });
            let name = match server {
                Server::Lockgate => "**lockgate**",
                other => other.name(),
            };
            text += &format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
        for ((of, server), note) in &self.notes {
            if *of == section.name && servers.contains(server) {
                text += &format!("\n{}: {note}.", server.name());
            }
        }
        text + "\n"
    }

    /// The goals, and whether they were reached.
    pub fn targets(&self, servers: &[Server]) -> String {
        let mut text =
            "| operation | figure | against | ratio or value | to reach | |\n|---|---|---|---|---|---|\n"
                .to_string();
        for (section, figure, against, most) in TARGETS {
            let Some(own) = self.spread(section, figure, Server::Lockgate) else { continue };
            let peer = |server: &&Server| !matches!(server, Server::Lockgate | Server::Floor);
            let measured = |server: &Server| Some((self.spread(section, figure, *server)?.median, *server));
            let other = match against {
                Against::Nothing => None,
                Against::Server(server) => measured(&server),
                Against::BestPeer => {
                    servers.iter().filter(peer).filter_map(measured).min_by(|a, b| a.0.total_cmp(&b.0))
                }
            };
            let (name, value) = match (against, other) {
                (Against::Nothing, _) => ("".to_string(), own.median),
                (_, Some((value, server))) => (server.name().to_string(), own.median / value),
                _ => continue,
            };
            let verdict = if value <= most { "reached" } else { "**not reached**" };
            text += &format!(
                "| {section} | {figure} | {name} | {} | {} | {verdict} |\n",
                number(value),
                number(most)
            );
        }
        text
    }
}

/// A number with as many digits as a reader needs.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let whole = format!("{value:.0}");
            let (head, tail) = whole.split_at(whole.len() - 3);
            match head.len() {
                4.. => format!("{},{},{tail}", &head[..head.len() - 3], &head[head.len() - 3..]),
                _ => format!("{head},{tail}"),
            }
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        0.0 => "0".into(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let mut results = Results::default();
        for value in [9.0, 1.0, 2.0] {
            results.add("a", "b", Server::Lockgate, value);
        }
        let spread = results.spread("a", "b", Server::Lockgate).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 9.0));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.954, "0.95"), (12.34, "12.3"), (123.4, "123"), (12345.0, "12,345")]
        {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(1_234_567.0), "1,234,567");
    }
}
