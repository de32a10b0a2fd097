//! nginx and HAProxy, each run once for all its listeners: one with the proxy's own strictness, and one with the strictness
//! lowered as far as it can be. Each listener has a lockgate of its own behind it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peers::{Peer, HAPROXY, NGINX};
use crate::support::SAFETY;

pub const FRONTS: usize = 2;

/// How long the proxies wait for a client that has said only half. No case that is served whole comes near it.
const PATIENCE: &str = "700ms";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
}

/// A running proxy; killed when it is dropped.
pub struct Proxy {
    kind: Kind,
    child: Child,
    pub fronts: [SocketAddr; FRONTS],
    dir: TempDir,
}

/// A request that the proxy says it has forwarded, and that was answered with 200.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub method: String,
    pub target: String,
}

impl Proxy {
    /// In front of these servers, on ports that are free; `None` when there is no such program here.
    pub fn start(kind: Kind, test: &str, servers: [SocketAddr; FRONTS]) -> Option<Proxy> {
        // Another program may take a port between its choice and its use.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let fronts = free_ports();
            fs::write(dir.path().join("conf"), kind.config(dir.path(), fronts, servers)).unwrap();
            let mut command = kind.peer().command(test, &[])?;
            command.args(kind.arguments(dir.path()));
            let output = File::create(dir.path().join("output")).unwrap();
            let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
            let mut proxy = Proxy { kind, child, fronts, dir };
            if proxy.is_ready() {
                return Some(proxy);
            }
            eprintln!("{kind:?} does not start, other ports are tried: {}", proxy.output());
        }
        panic!("{kind:?} does not start");
    }

    fn is_ready(&mut self) -> bool {
        let until = Instant::now() + SAFETY;
        while !self.fronts.iter().all(|front| TcpStream::connect(front).is_ok()) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < until, "{:?} does not listen: {}", self.kind, self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has said about itself, for failures.
    pub fn output(&self) -> String {
        let output = ["error", "output"].map(|name| fs::read(self.dir.path().join(name)).unwrap_or_default());
        let text = String::from_utf8_lossy(&output.concat()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// What it has forwarded of a case, once it has logged the request whose target this is.
    pub fn forwarded(&self, mark: &str, until: &str) -> Vec<Forwarded> {
        let file = self.dir.path().join(if self.kind == Kind::Nginx { "access" } else { "output" });
        let deadline = Instant::now() + SAFETY;
        loop {
            let log = fs::read(&file).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<[&str; 3]> = log
                .lines()
                .filter_map(|line| {
                    let mut parts = line.strip_prefix("forwarded ")?.splitn(3, ' ');
                    Some([parts.next()?, parts.next()?, parts.next()?])
                })
                .filter(|[_, _, target]| target.contains(mark))
                .collect();
            if lines.iter().any(|[.., target]| *target == until) {
                return lines
                    .into_iter()
                    .filter(|[status, ..]| *status == "200")
                    .map(|[_, method, target]| Forwarded { method: method.into(), target: target.into() })
                    .collect();
            }
            assert!(Instant::now() < deadline, "{:?} has not logged {until}: {}", self.kind, self.output());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    fn peer(self) -> &'static Peer {
        match self {
            Kind::Nginx => &NGINX,
            Kind::Haproxy => &HAPROXY,
        }
    }

    fn arguments(self, dir: &Path) -> Vec<String> {
        let file = |name: &str| dir.join(name).to_str().unwrap().to_string();
        match self {
            Kind::Nginx => {
                let own = dir.to_str().unwrap().to_string() + "/";
                vec!["-p".into(), own, "-e".into(), file("error"), "-c".into(), file("conf")]
            }
            Kind::Haproxy => vec!["-db".into(), "-f".into(), file("conf")],
        }
    }

    fn config(self, dir: &Path, fronts: [SocketAddr; FRONTS], servers: [SocketAddr; FRONTS]) -> String {
        match self {
            Kind::Nginx => nginx(dir, fronts, servers),
            Kind::Haproxy => haproxy(fronts, servers),
        }
    }
}

/// One connection to each lockgate is kept and used for every client, so that whatever one case leaves behind meets the
/// next. One process, so that killing it ends all.
fn nginx(dir: &Path, fronts: [SocketAddr; FRONTS], servers: [SocketAddr; FRONTS]) -> String {
    let dir = dir.to_str().unwrap();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("    {of}_temp_path {dir}/temp;\n"))
        .concat();
    let [strict, lenient] = fronts;
    let [behind_strict, behind_lenient] = servers;
    format!(
        "daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error info;
events {{ worker_connections 256; }}
http {{
{temp}
    log_format forwarded escape=none 'forwarded $upstream_status $request_method $request_uri';
    access_log {dir}/access forwarded;
    client_header_timeout {PATIENCE};
    client_body_timeout {PATIENCE};
    keepalive_timeout {PATIENCE};
    lingering_timeout {PATIENCE};
    client_max_body_size 0;
    large_client_header_buffers 8 32k;
    upstream strict {{ server {behind_strict}; keepalive 1; }}
    upstream lenient {{ server {behind_lenient}; keepalive 1; }}
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Host $http_host;
    proxy_next_upstream off;
    proxy_ssl_verify off;
    proxy_ssl_server_name on;
    proxy_ssl_name localhost;
    server {{
        listen {strict};
        location / {{ proxy_pass https://strict; }}
    }}
    server {{
        listen {lenient};
        ignore_invalid_headers off;
        underscores_in_headers on;
        merge_slashes off;
        location / {{
            proxy_pass https://lenient;
            proxy_request_buffering off;
            proxy_set_header Expect $http_expect;
        }}
    }}
}}
"
    )
}

fn haproxy(fronts: [SocketAddr; FRONTS], servers: [SocketAddr; FRONTS]) -> String {
    let [strict, lenient] = fronts;
    let [behind_strict, behind_lenient] = servers;
    format!(
        "global
    nbthread 1
    maxconn 256
    log stdout format raw local0
defaults
    mode http
    log global
    log-format \"forwarded %ST %HM %HU\"
    timeout connect 20s
    timeout server 3s
    timeout client {PATIENCE}
    timeout http-request {PATIENCE}
    timeout http-keep-alive {PATIENCE}
    option http-keep-alive
    http-reuse always
frontend strict
    bind {strict}
    default_backend strict
frontend lenient
    bind {lenient}
    option accept-invalid-http-request
    default_backend lenient
backend strict
    server lockgate {behind_strict} ssl verify none sni str(localhost)
backend lenient
    option accept-invalid-http-response
    server lockgate {behind_lenient} ssl verify none sni str(localhost)
"
    )
}

fn free_ports() -> [SocketAddr; FRONTS] {
    // Both are held until both are known, so that they differ.
    let held = [(); FRONTS].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}
