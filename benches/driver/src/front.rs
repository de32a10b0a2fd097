//! The servers in front of a backend: TLS from the client, and plain HTTP/1.1 to the backend, each in a configuration that its
//! users would recommend. All have as many kept connections to the backend as there are clients, no logs, and tell the backend of
//! the client in the fields that nginx's users set: X-Forwarded-For, -Proto and -Host.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::servers::{self, Place, Server};
use crate::Outcome;

/// The most connections to the backend that a server keeps: those of the operation with the most clients.
const KEPT: usize = 512;
/// The time limit for the backend's start.
const START: Duration = Duration::from_secs(5);

/// The backend that all servers are in front of. Its own CPU is not counted.
pub struct Backend {
    _process: Process,
    pub port: u16,
}

impl Backend {
    pub fn start(place: &Place) -> Outcome<Backend> {
        let port = crate::free_port()?;
        let process = Process::start(Command::new(place.programs.join("backend")).arg(port.to_string()))?;
        let began = Instant::now();
        while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            if began.elapsed() > START {
                return Err(format!("the backend does not listen: {error}").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Backend { _process: process, port })
    }
}

/// Why the server is left out of all that is measured in front of a backend, if it is.
pub fn has_no_part(server: Server) -> Option<&'static str> {
    match server {
        Server::Lockgate | Server::Nginx | Server::Haproxy | Server::Caddy => None,
        _ => Some("is not measured in front of a backend"),
    }
}

/// The configuration file of the server at `port`. `None` for lockgate, which is a program.
pub fn configuration(server: Server, place: &Place, port: u16, backend: u16) -> Outcome<Option<PathBuf>> {
    let (certificate, key) = (place.certificate.display(), place.key.display());
    let (work, cores) = (place.work.display(), place.cores);
    let (name, text) = match server {
        // Of the sizes of buffers that were tried, those with the least CPU. None goes to the disk. Tunnels have the usual ones, which
        // take less memory.
        Server::Nginx => (
            "nginx-front.conf",
            format!(
                "daemon off; worker_processes {cores}; worker_rlimit_nofile 20000; error_log /dev/null; pid {work}/nginx.pid;
events {{ worker_connections 20000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
    client_max_body_size 32m; client_body_buffer_size 64k;
    client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work}; scgi_temp_path {work};
    upstream backend {{
        server 127.0.0.1:{backend};
        keepalive {KEPT}; keepalive_requests 1000000000; keepalive_timeout 600s;
    }}
    map $http_upgrade $connection_upgrade {{ '' ''; default upgrade; }}
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096 reuseport;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_read_timeout 600s; proxy_send_timeout 600s;
        location / {{
            proxy_pass http://backend;
            proxy_request_buffering off;
            proxy_buffer_size 16k; proxy_buffers 4 32k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;
        }}
        location = /socket {{ proxy_pass http://backend; }}
    }}
}}
"
            ),
        ),
        // The cipher suite that the others take; it has a preference of its own.
        Server::Haproxy => (
            "haproxy-front.cfg",
            format!(
                "global
    nbthread {cores}
    maxconn 10200
    no strict-limits
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout tunnel 600s
    timeout http-keep-alive 600s
    timeout http-request 10s
frontend clients
    bind 127.0.0.1:{port} ssl crt {} alpn http/1.1 backlog 4096
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend servers
backend servers
    http-reuse always
    server one 127.0.0.1:{backend} pool-max-conn {KEPT}
",
                servers::haproxy_pem(place)?.display()
            ),
        ),
        // Caddy tells of the client by itself.
        Server::Caddy => (
            "Caddyfile-front",
            format!(
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
    reverse_proxy 127.0.0.1:{backend} {{
        transport http {{
            versions 1.1
            compression off
            keepalive 10m
            keepalive_idle_conns {KEPT}
            keepalive_idle_conns_per_host {KEPT}
        }}
    }}
}}
"
            ),
        ),
        _ => return Ok(None),
    };
    Ok(Some(servers::write(place, name, &text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a directory that is removed at the end.
    fn place(work: &crate::Work) -> Place {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let work = work.0.clone();
        let (certificate, key) = (work.join("cert.pem"), work.join("key.pem"));
        crate::write_private(&certificate, made.cert.pem().as_bytes()).unwrap();
        crate::write_private(&key, made.signing_key.serialize_pem().as_bytes()).unwrap();
        let nowhere = PathBuf::new();
        Place {
            root: nowhere.clone(),
            target: nowhere.clone(),
            programs: nowhere.clone(),
            express: nowhere,
            work,
            certificate,
            key,
            cores: 2,
        }
    }

    #[test]
    fn each_server_that_is_here_takes_its_configuration() {
        let work = crate::Work::new().unwrap();
        let place = place(&work);
        for server in servers::ALL.into_iter().filter(|server| has_no_part(*server).is_none()) {
            let Some(file) = configuration(server, &place, 1, 2).unwrap() else {
                assert_eq!(server, Server::Lockgate);
                continue;
            };
            let Some(program) = server.program(&place) else { continue };
            let mut command = Command::new(program);
            match server {
                Server::Nginx => command.arg("-t").arg("-p").arg(&place.work).args(["-e", "/dev/null", "-c"]),
                Server::Haproxy => command.args(["-c", "-f"]),
                _ => {
                    command.env("HOME", &place.work).env("XDG_DATA_HOME", &place.work);
                    command.args(["validate", "--adapter", "caddyfile", "--config"])
                }
            };
            let checked = command.arg(file).output().unwrap();
            assert!(checked.status.success(), "{}: {checked:?}", server.name());
        }
    }

    #[test]
    fn what_is_measured_in_front_of_a_backend_is_measured_for_those_that_have_a_part_in_it() {
        let in_front: Vec<_> =
            crate::operations::all().into_iter().filter(|operation| operation.is_in_front()).collect();
        assert_eq!(in_front.len(), 5);
        for operation in &in_front {
            for server in servers::ALL {
                assert_eq!(server.has_no_part_in(operation), has_no_part(server));
            }
        }
    }
}
