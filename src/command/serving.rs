//! What the commands that serve have in common: whether their options go together, and a server that runs until a signal
//! stops it. `serve` and `demo` call it, and `check` before a server starts.

use std::path::Path;

use lockgate::internal::shell_word;
use lockgate::{ClientAuth, Identity, Request, Response, Router, Server, ServerBuilder};
#[cfg(feature = "proxy")]
use lockgate::{Error, Proxy};
use serde_json::json;

use super::arguments::{Arguments, ClientDemand};
use super::failure::Failure;
use super::signals::Signals;
use super::terminal::say;
use super::value::Listen;

/// A line to paste, for a client that trusts this authority for one request.
pub(super) fn try_it(arguments: &Arguments, ca: &Path, port: u16) -> String {
    let ca = shell_word(ca);
    let path = if arguments.to.is_some() { "/" } else { "/api/data" };
    format!("Try it: curl --cacert {ca} https://localhost:{port}{path}")
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

/// The options about clients' certificates must go together: a server that asks for none by mistake would let everybody in.
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

/// What every server here answers.
pub(super) fn router() -> Router {
    Router::new()
        .get("/api/data", |_: &mut Request| Response::json(&json!({"message": "Secure data over HTTPS"})))
}

/// Opens the server of these routes with these identities, the default first. It answers plain HTTP where `http` says, which may
/// differ from what the arguments say.
pub(super) fn open(
    arguments: &Arguments,
    router: Router,
    identities: Vec<Identity>,
    http: Option<Listen>,
) -> Result<Server, lockgate::Error> {
    let mut builder = builder(arguments, router, http);
    let mut identities = identities.into_iter();
    if let Some(default) = identities.next() {
        builder = builder.identity(default);
    }
    identities.fold(builder, |builder, further| builder.add_identity(further)).bind()
}

/// What the server of `serve` answers.
pub(super) fn router_of(arguments: &Arguments) -> Result<Router, Failure> {
    #[cfg(feature = "proxy")]
    if let Some(to) = &arguments.to {
        let proxy = Proxy::to(to).map_err(|error| match error {
            Error::Setting { fault, .. } => Failure::usage(format!("--to: {fault}")),
            error => error.into(),
        })?;
        return Ok(Router::new().fallback(proxy.handler()));
    }
    let _ = arguments;
    Ok(router())
}

/// The server of these routes, without identities.
pub(super) fn builder(arguments: &Arguments, router: Router, http: Option<Listen>) -> ServerBuilder {
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

/// Serves until a signal says stop. Says `advice` once the server accepts connections.
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
    // The sockets accept since they were opened; clients that have connected by now are served at once.
    Ok(server.run()?)
}
