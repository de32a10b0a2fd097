//! `lockgate serve`: the server with a certificate of the user's own; and what every way of serving has in common.

use std::path::PathBuf;
use std::process::ExitCode;

use lockgate::{Identity, Request, Response, Router, Server};
use serde_json::json;

use super::args::Arguments;
use super::commands::{Operands, Spec};
use super::exit::{self, Code, Failure};
use super::say;
use super::signals::Signals;
use super::value::Listen;

pub(super) const SPEC: Spec = Spec {
    name: "serve",
    synopsis: "--cert FILE --key FILE [OPTIONS]",
    summary: "Serves with a certificate of your own.",
    text: HELP,
    operands: Operands::None,
    exit_codes: exit::SERVING,
    usage_code: Code::Usage,
    run: |arguments| run(arguments).map(|()| ExitCode::SUCCESS),
};

const HELP: &str = "\
Serves GET /api/data over HTTPS with your certificate, and answers plain HTTP with redirects.

  lockgate serve --cert cert.pem --key key.pem --https 8443 --http off
  curl https://NAME:8443/api/data      where NAME is one that the certificate is for

No certificate yet? lockgate demo makes one for localhost; one that every client trusts comes
from an authority such as Let's Encrypt. When the files have been renewed, send SIGHUP.

Ports below 1024 need a permission that users do not have. It can be given to the program:
  sudo setcap cap_net_bind_service=+ep $(command -v lockgate)
";

/// Where the certificate and its key are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub(super) fn load(&self) -> Result<Identity, lockgate::Error> {
        Identity::from_pem_files(&self.cert, &self.key)
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (Some(cert), Some(key)) = (arguments.cert.clone(), arguments.key.clone()) else {
        let missing = match (&arguments.cert, &arguments.key) {
            (Some(_), _) => "--key FILE is missing",
            (None, Some(_)) => "--cert FILE is missing",
            (None, None) => "--cert FILE and --key FILE are missing",
        };
        return Err(Failure::usage(format!(
            "{missing}: a server needs a certificate and its private key; lockgate demo makes both, to try it with"
        )));
    };
    let files = Files { cert, key };
    let signals = Signals::catch()?;
    let server = open(arguments, &files, arguments.http)?;
    until_stopped(server, signals, files, None)
}

/// Opens the server; plain HTTP where `http` says, which need not be where the arguments say.
pub(super) fn open(
    arguments: &Arguments,
    files: &Files,
    http: Option<Listen>,
) -> Result<Server, lockgate::Error> {
    let router = Router::new()
        .get("/api/data", |_: &mut Request| Response::json(&json!({"message": "Secure data over HTTPS"})));
    let mut builder = Server::builder(router)
        .https(arguments.https.to_string())
        .identity(files.load()?)
        .limits(arguments.limits.clone())
        .http_credentials(arguments.credentials)
        .access_log(log::log_enabled!(target: "lockgate::access", log::Level::Info));
    if let Some(http) = http {
        builder = builder.redirect_http(http.to_string());
    }
    if let Some(name) = &arguments.public_name {
        builder = builder.public_name(name);
    }
    if let Some(port) = arguments.public_port {
        builder = builder.public_port(port);
    }
    for name in &arguments.credential_headers {
        builder = builder.credential_header(name);
    }
    builder.bind()
}

/// Serves until a signal says stop. `advice` is said once the server is there.
pub(super) fn until_stopped(
    server: Server,
    signals: Signals,
    files: Files,
    advice: Option<String>,
) -> Result<(), Failure> {
    let https = server.local_addr().port();
    let http = server.redirect_addr().map(|address| address.port());
    signals.obey(server.handle(), files).map_err(|error| {
        Failure::new(Code::Runtime, format!("the thread for signals cannot be started: {error}"))
    })?;
    say(&format!("HTTPS API server running on https://localhost:{https}"));
    if let Some(http) = http {
        say(&format!("Redirecting http://localhost:{http} to https://localhost:{https}"));
    }
    if let Some(advice) = advice {
        say(&advice);
    }
    // The sockets accept since they were opened; who has connected by now is served at once.
    Ok(server.run()?)
}
