//! The measured servers, each in a configuration that its users would recommend for this machine: as many workers as cores,
//! TLS 1.3, unlimited keep-alive, no logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::front;
use crate::operations::{Operation, DATA, EMBEDDED, FILE, GZIP, NOT_MODIFIED, POST_QUANTUM, UPLOAD};
use crate::Outcome;

/// The paths that every server needs at its start.
pub struct Place {
    /// The root of the project.
    pub root: PathBuf,
    /// cargo's target folder of the project.
    pub target: PathBuf,
    /// Where the peers' programs are.
    pub programs: PathBuf,
    /// The folder for certificates and configurations of this run.
    pub work: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Where npm has installed Express.
    pub express: PathBuf,
    pub cores: usize,
}

/// What a server is started for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serves {
    Requests,
    Events,
    /// Passes everything on to the backend at this port.
    Front(u16),
}

/// The module for nginx that sends events, where Debian has it.
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const NCHAN_EVENTS: &str = "
        location = /api/events { nchan_subscriber eventsource; nchan_channel_id feed; nchan_subscriber_first_message newest; }
        location = /api/publish { nchan_publisher; nchan_channel_id feed; }";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Server {
    Lockgate,
    Floor,
    Hyper,
    Actix,
    Axum,
    TinyHttp,
    Nginx,
    Haproxy,
    Caddy,
    Lighttpd,
    Express,
}

pub const ALL: [Server; 11] = [
    Server::Lockgate,
    Server::Floor,
    Server::Hyper,
    Server::Actix,
    Server::Axum,
    Server::TinyHttp,
    Server::Nginx,
    Server::Haproxy,
    Server::Caddy,
    Server::Lighttpd,
    Server::Express,
];

impl Server {
    pub fn name(self) -> &'static str {
        match self {
            Server::Lockgate => "lockgate",
            Server::Floor => "floor",
            Server::Hyper => "hyper",
            Server::Actix => "actix",
            Server::Axum => "axum",
            Server::TinyHttp => "tiny_http",
            Server::Nginx => "nginx",
            Server::Haproxy => "haproxy",
            Server::Caddy => "caddy",
            Server::Lighttpd => "lighttpd",
            Server::Express => "express",
        }
    }

    /// Why the server is left out of an operation, if it is.
    pub fn has_no_part_in(self, operation: &Operation) -> Option<&'static str> {
        const CANNED: &str = "a canned answer only";
        const NO_PROGRAM: &str = "runs no program of the user's";
        const NO_FILES: &str = "is not measured with files";
        if operation.is_in_front() {
            return front::has_no_part(self);
        }
        match (self, operation.name) {
            (
                Server::Lockgate | Server::Axum | Server::Actix,
                FILE | EMBEDDED | NOT_MODIFIED | GZIP | UPLOAD,
            ) => None,
            (Server::Nginx, EMBEDDED) => Some("serves files of the disk"),
            (Server::Nginx, FILE | NOT_MODIFIED | GZIP | UPLOAD) => None,
            (Server::Caddy | Server::Lighttpd, FILE | NOT_MODIFIED) => None,
            (_, FILE | EMBEDDED | NOT_MODIFIED | GZIP | UPLOAD) => Some(NO_FILES),
            (Server::Floor, "get_1mib" | "post_1mib" | "post_json" | "block_1ms") => Some(CANNED),
            (Server::Nginx, "post_json" | "block_1ms") => Some(NO_PROGRAM),
            (Server::Haproxy, "get_1mib") => Some("answers from memory up to its buffer of 16 KiB"),
            (Server::Haproxy | Server::Caddy | Server::Lighttpd, "post_1mib" | "post_json" | "block_1ms") => {
                Some(NO_PROGRAM)
            }
            (Server::Express | Server::Lighttpd, "handshake_resumed") => {
                Some("gives no new ticket to who resumes, so a client that uses each once soon has none")
            }
            (Server::Lockgate, POST_QUANTUM) => None,
            (_, POST_QUANTUM) => Some("ring does not have it, nor OpenSSL before 3.5, nor Go before 1.24"),
            (Server::TinyHttp | Server::Express, "block_1ms") => Some("has no pool for what blocks"),
            _ => None,
        }
    }

    /// Why the server is left out of the measurement of events, if it is.
    pub fn has_no_part_in_events(self) -> Option<&'static str> {
        match self {
            Server::Lockgate | Server::Floor | Server::Axum => None,
            Server::Nginx if !Path::new(NCHAN).is_file() => Some("nchan is not there"),
            Server::Nginx => None,
            _ => Some("is not measured with events"),
        }
    }

    /// The program's file, if it is there.
    pub fn program(self, place: &Place) -> Option<PathBuf> {
        let path = match self {
            Server::Lockgate => place.target.join("release/examples/bench_server"),
            Server::Floor | Server::Hyper | Server::Actix | Server::Axum | Server::TinyHttp => {
                place.programs.join(self.name())
            }
            Server::Nginx | Server::Haproxy | Server::Caddy | Server::Lighttpd => find_program(self.name())?,
            Server::Express if !place.express.join("node_modules/express").is_dir() => return None,
            Server::Express => find_program("node")?,
        };
        path.is_file().then_some(path)
    }

    pub fn version(self, place: &Place) -> String {
        let Some(program) = self.program(place) else { return "not there".into() };
        match self {
            Server::Nginx => first_line(Command::new(program).arg("-v")),
            Server::Haproxy | Server::Lighttpd => first_line(Command::new(program).arg("-v")),
            Server::Caddy => first_line(Command::new(program).arg("version")),
            Server::Express => {
                let manifest = place.express.join("node_modules/express/package.json");
                let manifest = fs::read_to_string(manifest).ok().and_then(|text| text.parse().ok());
                let manifest: serde_json::Value = manifest.unwrap_or_default();
                let express = manifest["version"].as_str().unwrap_or("?");
                format!("express {express} on node {}", first_line(Command::new(program).arg("--version")))
            }
            Server::Lockgate => locked(&place.root.join("Cargo.lock"), &["lockgate", "rustls", "ring"]),
            _ => {
                let crates: &[&str] = match self {
                    Server::Hyper => &["hyper", "tokio-rustls", "tokio"],
                    Server::Actix => &["actix-web", "actix-files", "actix-tls"],
                    Server::Axum => &["axum", "tower-http", "axum-server"],
                    Server::TinyHttp => &["tiny_http"],
                    _ => &["rustls"],
                };
                locked(&place.root.join("benches/Cargo.lock"), crates)
            }
        }
    }

    /// The command that serves at `port` until it is ended.
    pub fn command(self, place: &Place, port: u16, serves: Serves) -> Outcome<Command> {
        let mut program = self.program(place).ok_or("the program is not there")?;
        if (self, serves) == (Server::Floor, Serves::Events) {
            program = place.programs.join("floor_events");
        }
        let mut command = Command::new(program);
        command.current_dir(&place.work);
        let (certificate, key) = (place.certificate.display(), place.key.display());
        let (work, cores) = (place.work.display(), place.cores);
        let front = match serves {
            Serves::Front(backend) => {
                command.env("BENCH_BACKEND", format!("http://127.0.0.1:{backend}"));
                front::configuration(self, place, port, backend)?
            }
            Serves::Requests | Serves::Events => None,
        };
        match self {
            Server::Nginx => {
                let (module, events) = match serves {
                    Serves::Requests | Serves::Front(_) => (String::new(), ""),
                    Serves::Events => (format!("load_module {NCHAN}; "), NCHAN_EVENTS),
                };
                let text = format!(
                    "{module}daemon off; worker_processes {cores}; worker_rlimit_nofile 20000; error_log /dev/null; pid {work}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log off; sendfile on; open_file_cache max=100; default_type application/json;
    keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 32m;
    gzip_comp_level 1; gzip_types application/json;
    client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096 reuseport;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
        location = /api/data {{ return 200 '{DATA}'; }}
        location = /len {{ return 200 '{{\"length\":$content_length}}'; }}
        location = /large {{ root {work}; }}
        location /files/ {{ root {work}; }}
        location = /report.json {{ root {work}; gzip on; }}
        location /uploads/ {{ root {work}; dav_methods PUT; }}
        {events}
    }}
}}
",
                );
                let file = front.map_or_else(|| write(place, "nginx.conf", &text), Ok)?;
                command.arg("-p").arg(&place.work).args(["-e", "/dev/null", "-c"]).arg(file);
            }
            Server::Haproxy => {
                let answer = DATA.replace('"', "\\\"");
                let text = format!(
                    "global
    nbthread {cores}
    maxconn 10200
    no strict-limits
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout client 600s
    timeout http-keep-alive 600s
    timeout http-request 10s
frontend data
    bind 127.0.0.1:{port} ssl crt {} alpn http/1.1 backlog 4096
    http-request return status 200 content-type application/json string \"{answer}\" if {{ path /api/data }}
    http-request return status 404
",
                    haproxy_pem(place)?.display()
                );
                let file = front.map_or_else(|| write(place, "haproxy.cfg", &text), Ok)?;
                command.arg("-db").arg("-q").arg("-f").arg(file);
            }
            Server::Caddy => {
                let text = format!(
                    "{{
    admin off
    auto_https off
    servers {{
        protocols h1
        timeouts {{
            idle 10m
        }}
    }}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {certificate} {key} {{
        protocols tls1.3
    }}
    handle /api/data {{
        header Content-Type application/json
        respond `{DATA}`
    }}
    handle /large {{
        root * {work}
        file_server
    }}
    handle /files/* {{
        root * {work}
        file_server
    }}
}}
"
                );
                let file = front.map_or_else(|| write(place, "Caddyfile", &text), Ok)?;
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                command.env("HOME", &place.work).env("XDG_DATA_HOME", &place.work);
                command.env("XDG_CONFIG_HOME", &place.work);
            }
            Server::Lighttpd => {
                let text = format!(
                    "server.document-root = \"{work}\"
server.bind = \"127.0.0.1\"
server.port = {port}
server.modules = ( \"mod_openssl\" )
server.max-worker = {cores}
server.max-fds = 20000
server.max-connections = 16384
server.listen-backlog = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 600
server.feature-flags = ( \"server.h2proto\" => \"disable\" )
ssl.engine = \"enable\"
ssl.pemfile = \"{certificate}\"
ssl.privkey = \"{key}\"
ssl.openssl.ssl-conf-cmd = ( \"MinProtocol\" => \"TLSv1.3\" )
mimetype.assign = ( \"\" => \"application/json\" )
etag.use-inode = \"disable\"
"
                );
                let file = write(place, "lighttpd.conf", &text)?;
                command.arg("-D").arg("-f").arg(file);
            }
            Server::Express => {
                command.arg(place.root.join("benches/peers/express.js")).arg(port.to_string());
                command.arg(&place.certificate).arg(&place.key);
                command.env("NODE_PATH", place.express.join("node_modules")).env("NODE_ENV", "production");
            }
            _ => {
                command.arg(port.to_string()).arg(&place.certificate).arg(&place.key);
                command.env("BENCH_FOLDER", &place.work);
            }
        }
        Ok(command)
    }
}

/// The file with the certificate and its key, as HAProxy wants it.
pub fn haproxy_pem(place: &Place) -> Outcome<PathBuf> {
    let both = [fs::read(&place.certificate)?, fs::read(&place.key)?].concat();
    write(place, "haproxy.pem", &String::from_utf8(both)?)
}

pub fn write(place: &Place, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = place.work.join(name);
    crate::write_private(&path, text.as_bytes())?;
    Ok(path)
}

/// System programs live in sbin, which is not in every user's PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

pub fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "?".into() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("?").trim().to_string()
}

/// The versions of these crates in a Cargo.lock.
fn locked(lock: &Path, crates: &[&str]) -> String {
    let text = fs::read_to_string(lock).unwrap_or_default();
    let version = |name: &str| {
        // The last of several versions is the newest.
        let at = text.rfind(&format!("name = \"{name}\"\n"))?;
        text[at..].lines().nth(1)?.split('"').nth(1)
    };
    let all = crates.iter().map(|name| format!("{name} {}", version(name).unwrap_or("?")));
    all.collect::<Vec<_>>().join(", ")
}
