//! `lockgate serve`: the server with certificates of the user's own; and what every way of serving has in common.

use std::path::Path;
use std::process::ExitCode;

use lockgate::workshop::shell_word;
use lockgate::{ClientAuth, Device, Identity, Request, Response, Router, Server, ServerBuilder};
use serde_json::json;

use super::cert::obtain;
use super::exit::{self, Code, Failure};
use super::parse::{Arguments, ClientDemand};
use super::say;
use super::signals::Signals;
use super::spec::{Operands, Spec};
use super::value::Listen;

pub(super) const SPEC: Spec = Spec {
    name: "serve",
    synopsis: "--cert FILE --key FILE | --device --state DIR | --acme URL --state DIR [OPTIONS]",
    summary: "Serves with a certificate of your own, of the device's own authority, or of another.",
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
from an authority such as Let's Encrypt. Renewed files are taken up by themselves.

To serve only clients that show a certificate of your own authority (mutual TLS):
  lockgate serve --cert cert.pem --key key.pem --client-ca clients-ca.pem
  curl --cert client.pem --key client-key.pem https://NAME:8443/api/data

A device in a network of its own makes its certificate itself, for its names and addresses, and
renews it. Clients have to be told once to trust its authority:

  lockgate serve --device --state /var/lib/gateway --name gateway.example
  lockgate cert ca --state /var/lib/gateway

A device that the internet can reach gets a certificate that every client trusts, and renews it:

  lockgate serve --acme letsencrypt --name gateway.example.org --accept-terms \\
      --state /var/lib/gateway --https 443

Ports below 1024 need a permission that users do not have. It can be given to the program:
  sudo setcap cap_net_bind_service=+ep $(command -v lockgate)
";

fn run(arguments: &Arguments) -> Result<(), Failure> {
    check(arguments)?;
    check_client_options(arguments)?;
    check_redirect_options(arguments)?;
    let signals = Signals::catch()?;
    let server = match arguments.certs.len() {
        0 | 1 => open(arguments, identities(arguments)?, arguments.http)?,
        // Of several, the good ones are served.
        _ => {
            let pairs = arguments.certs.iter().zip(&arguments.keys);
            let builder = builder(arguments, arguments.http);
            pairs.fold(builder, |builder, (cert, key)| builder.add_pem_files(cert, key)).bind()?
        }
    };
    let port = server.local_addr().port();
    let state = arguments.state.as_ref().filter(|_| arguments.device);
    let advice = state.map(|state| {
        let trust = format!("lockgate cert ca --state {}", shell_word(state));
        format!("{}\nHow clients come to trust this device: {trust}", try_it(&state.join("ca.pem"), port))
    });
    let state = arguments.state.as_ref().filter(|_| arguments.acme.directory.is_some());
    let how_it_stands = state.map(|state| {
        let state = shell_word(state);
        format!("How the certificate from the authority stands: lockgate cert status --state {state}")
    });
    until_stopped(server, signals, advice.or(how_it_stands))
}

/// Whether the options go together.
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let (certs, keys) = (arguments.certs.len(), arguments.keys.len());
    if arguments.acme.directory.is_some() {
        return match arguments.device || certs + keys > 0 {
            true => {
                Err(Failure::usage("--acme goes together with neither --device nor --cert; give one of them"))
            }
            false => Ok(()),
        };
    }
    if let Some(option) = arguments.acme.without_authority() {
        return Err(Failure::usage(format!(
            "{option} is for a certificate from an authority elsewhere; give --acme URL too, or leave it out"
        )));
    }
    let wrong = match (arguments.device, &arguments.state) {
        (true, _) if certs + keys > 0 => {
            "--device and --cert do not go together: the device makes its certificate itself; give one of them"
        }
        (true, None) => "--state DIR is missing: the device's authority and certificate are kept there",
        (true, Some(_)) => return Ok(()),
        (false, Some(_)) => "--state is for what a server makes or obtains itself; give --device or --acme URL too",
        (false, None) if !arguments.names.is_empty() => {
            "--name is for a certificate that a server makes or obtains itself; give --device or --acme URL too"
        }
        (false, None) if certs == keys && certs > 0 => return Ok(()),
        (false, None) => {
            let missing = match (certs, keys) {
                (0, 0) => "--cert FILE and --key FILE are missing",
                (certs, keys) if certs > keys => "--key FILE is missing",
                _ => "--cert FILE is missing",
            };
            return Err(Failure::usage(format!(
                "{missing}: a server needs a certificate and its private key; lockgate demo makes both, to try it with"
            )));
        }
    };
    Err(Failure::usage(wrong))
}

/// What clients get, the default first.
fn identities(arguments: &Arguments) -> Result<Vec<Identity>, Failure> {
    if arguments.acme.directory.is_some() {
        return Ok(vec![Identity::acme(obtain::of(arguments)?)?]);
    }
    if let Some(state) = arguments.state.as_ref().filter(|_| arguments.device) {
        let device = arguments.names.iter().fold(Device::new(state), |device, name| device.name(name));
        return Ok(vec![Identity::from_source(device)?]);
    }
    let pairs = arguments.certs.iter().zip(&arguments.keys);
    Ok(pairs.map(|(cert, key)| Identity::from_pem_files(cert, key)).collect::<Result<_, _>>()?)
}

/// A line to paste, for a client that trusts this authority for once.
pub(super) fn try_it(ca: &Path, port: u16) -> String {
    let ca = shell_word(ca);
    format!("Try it: curl --cacert {ca} https://localhost:{port}/api/data")
}

/// Options that say where redirects lead need the port that redirects.
pub(super) fn check_redirect_options(arguments: &Arguments) -> Result<(), Failure> {
    let without = match arguments {
        Arguments { http: Some(_), .. } => return Ok(()),
        Arguments { public_name: Some(_), .. } => "--public-name",
        Arguments { public_port: Some(_), .. } => "--public-port",
        _ => return Ok(()),
    };
    Err(Failure::usage(format!(
        "{without} is where redirects lead, and --http off gives none; leave one of the two out"
    )))
}

/// What is said of clients' certificates must hang together; a server that asks for none by mistake would let everybody in.
pub(super) fn check_client_options(arguments: &Arguments) -> Result<(), Failure> {
    let without = match arguments {
        Arguments { client_ca: Some(_), .. } => return Ok(()),
        Arguments { client_auth: Some(_), .. } => "--client-auth",
        Arguments { client_crls, .. } if !client_crls.is_empty() => "--client-crl",
        _ => return Ok(()),
    };
    Err(Failure::usage(format!(
        "--client-ca FILE is missing: {without} needs the authority that signs the clients' certificates"
    )))
}

pub(super) fn client_auth(arguments: &Arguments) -> Option<ClientAuth> {
    let authorities = arguments.client_ca.as_ref()?;
    let clients = match arguments.client_auth.unwrap_or(ClientDemand::Required) {
        ClientDemand::Required => ClientAuth::required(authorities),
        ClientDemand::Optional => ClientAuth::optional(authorities),
    };
    Some(arguments.client_crls.iter().fold(clients, ClientAuth::crl))
}

/// Opens the server with these identities, the default first; plain HTTP where `http` says, which need not be where the
/// arguments say.
pub(super) fn open(
    arguments: &Arguments,
    identities: Vec<Identity>,
    http: Option<Listen>,
) -> Result<Server, lockgate::Error> {
    let mut builder = builder(arguments, http);
    let mut identities = identities.into_iter();
    if let Some(default) = identities.next() {
        builder = builder.identity(default);
    }
    identities.fold(builder, |builder, further| builder.add_identity(further)).bind()
}

/// The server, without identities.
fn builder(arguments: &Arguments, http: Option<Listen>) -> ServerBuilder {
    let router = Router::new()
        .get("/api/data", |_: &mut Request| Response::json(&json!({"message": "Secure data over HTTPS"})));
    let mut builder = Server::builder(router)
        .https(arguments.https.to_string())
        .limits(arguments.limits.clone())
        .http_credentials(arguments.credentials)
        .field_names(arguments.field_names)
        .access_log(log::log_enabled!(target: "lockgate::access", log::Level::Info));
    if let Some(clients) = client_auth(arguments) {
        builder = builder.client_auth(clients);
    }
    if let Some(http) = http {
        builder = builder.redirect_http(http.to_string());
    }
    if let Some(name) = &arguments.public_name {
        builder = builder.public_name(name);
    }
    if let Some(port) = arguments.public_port {
        builder = builder.public_port(port);
    }
    if let Some(bytes) = arguments.tls_record_bytes {
        builder = builder.tls_record_bytes(bytes);
    }
    for name in &arguments.credential_headers {
        builder = builder.credential_header(name);
    }
    builder
}

/// Serves until a signal says stop. `advice` is said once the server is there.
pub(super) fn until_stopped(server: Server, signals: Signals, advice: Option<String>) -> Result<(), Failure> {
    let https = server.local_addr().port();
    let http = server.redirect_addr().map(|address| address.port());
    signals.serve(server.handle());
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
