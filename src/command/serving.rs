//! What the commands that serve have in common: whether their options go together, and a server that runs until a signal
//! stops it. `serve` and `demo` call it, and `check` before a server starts.

use std::path::Path;

use lockgate::internal::shell_word;
use lockgate::{ClientAuth, Identity, Request, Response, Router, Server, ServerBuilder};
use serde_json::json;

use super::arguments::{Arguments, ClientDemand};
use super::failure::Failure;
#[cfg(feature = "operations")]
use super::logger::dropped_lines;
#[cfg(feature = "operations")]
use super::place::Place;
use super::signals::Signals;
use super::terminal::say_while_serving as say;
use super::value::Listen;

/// A line to paste, for a client that trusts this authority for one request.
pub(super) fn try_it(arguments: &Arguments, ca: &Path, port: u16) -> String {
    let ca = shell_word(ca);
    #[cfg(feature = "proxy")]
    let path = if super::answers::is_named(arguments) { "/" } else { "/api/data" };
    #[cfg(not(feature = "proxy"))]
    let (path, _) = ("/api/data", arguments);
    format!("Try it: curl --cacert {ca} https://localhost:{port}{path}")
}

/// The failure of an option that needs another one. Where it stands in the file or the environment, that place is named.
pub(super) fn in_vain(arguments: &Arguments, option: &str, what: String) -> Failure {
    #[cfg(feature = "operations")]
    {
        let given = arguments.shown.iter().rfind(|(name, ..)| Some(*name) == option.strip_prefix("--"));
        if let Some((.., place @ (Place::File { .. } | Place::Environment(_)))) = given {
            return Failure::at(place, format_args!(": {what}"));
        }
    }
    let _ = (arguments, option);
    Failure::usage(what)
}

/// Whether all options go together that are not about the server's own certificate.
pub(super) fn check_together(arguments: &Arguments) -> Result<(), Failure> {
    check_client_options(arguments)?;
    check_redirect_options(arguments)?;
    check_admin_options(arguments)
}

/// Options that say where redirects lead need the port that redirects.
fn check_redirect_options(arguments: &Arguments) -> Result<(), Failure> {
    let without = match arguments {
        Arguments { http: Some(_), .. } => return Ok(()),
        Arguments { public_name: Some(_), .. } => "--public-name",
        Arguments { public_port: Some(_), .. } => "--public-port",
        _ => return Ok(()),
    };
    let what =
        format!("{without} is where redirects lead, and --http off gives none; leave one of the two out");
    Err(in_vain(arguments, without, what))
}

/// What allows the admin listener more needs one.
fn check_admin_options(arguments: &Arguments) -> Result<(), Failure> {
    #[cfg(feature = "operations")]
    if arguments.watched.anywhere && arguments.watched.admin.is_none() {
        let why = "--admin-anywhere is for --admin ADDR:PORT; give that too, or leave it out";
        return Err(in_vain(arguments, "--admin-anywhere", why.into()));
    }
    #[cfg(feature = "operations")]
    if let Some(address) = &arguments.watched.admin {
        lockgate::internal::check_admin(address, arguments.watched.anywhere)?;
    }
    let _ = arguments;
    Ok(())
}

/// The options about clients' certificates must go together: a server that asks for none by mistake would let everybody in.
fn check_client_options(arguments: &Arguments) -> Result<(), Failure> {
    let without = match arguments {
        Arguments { client_ca: Some(_), .. } => return Ok(()),
        Arguments { client_auth: Some(_), .. } => "--client-auth",
        Arguments { client_crls, .. } if !client_crls.is_empty() => "--client-crl",
        _ => return Ok(()),
    };
    let what = format!(
        "--client-ca FILE is missing: {without} needs the authority that signs the clients' certificates"
    );
    Err(in_vain(arguments, without, what))
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
    with_identities(builder(arguments, router, http), identities).bind()
}

/// Adds the identities, the default first.
pub(super) fn with_identities(mut builder: ServerBuilder, identities: Vec<Identity>) -> ServerBuilder {
    let mut identities = identities.into_iter();
    if let Some(default) = identities.next() {
        builder = builder.identity(default);
    }
    identities.fold(builder, |builder, further| builder.add_identity(further))
}

/// What the server of `serve` answers, and the servers behind it.
pub(super) struct Answers {
    pub router: Router,
    #[cfg(feature = "proxy")]
    pub proxies: Vec<lockgate::Proxy>,
}

pub(super) fn answers(arguments: &Arguments) -> Result<Answers, Failure> {
    #[cfg(feature = "proxy")]
    if let Some((router, proxies)) = super::answers::router(arguments)? {
        return Ok(Answers { router, proxies });
    }
    let _ = arguments;
    Ok(Answers {
        router: router(),
        #[cfg(feature = "proxy")]
        proxies: Vec::new(),
    })
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
    #[cfg(feature = "operations")]
    if let Some(file) = &arguments.ticket_keys {
        builder = builder.ticket_keys(file);
    }
    #[cfg(feature = "operations")]
    {
        let watched = &arguments.watched;
        builder = builder.ready_grace(watched.ready_grace).dropped_log_lines(dropped_lines);
        if let Some(address) = &watched.admin {
            builder = builder.admin(address);
        }
        if watched.anywhere {
            builder = builder.admin_anywhere();
        }
    }
    #[cfg(feature = "operations")]
    let mut builder = builder
        .proxy_protocol_from(arguments.proxy_from.iter().copied())
        .trust_forwarded(arguments.trust_forwarded.iter().copied());
    for name in &arguments.credential_headers {
        builder = builder.credential_header(name);
    }
    builder
}

/// The same with the sockets that a service manager has passed, if it has. They come before the options that name addresses, and
/// --http off before them.
#[cfg(feature = "operations")]
pub(super) fn passed(
    arguments: &Arguments,
    router: Router,
    passed: Option<lockgate::PassedSockets>,
) -> ServerBuilder {
    let Some(passed) = passed else { return builder(arguments, router, arguments.http) };
    let is_given = |option: &str| arguments.shown.iter().any(|(name, ..)| *name == option);
    let is_at = |socket: &std::net::TcpListener, given: Listen| {
        let is_same = |at: std::net::SocketAddr| {
            at.port() == given.port && given.address.map_or(true, |address| address == at.ip())
        };
        socket.local_addr().is_ok_and(is_same)
    };
    if passed.https.as_ref().is_some_and(|socket| is_given("https") && !is_at(socket, arguments.https)) {
        log::warn!(
            "--https {} is not opened: the service manager has passed a socket for HTTPS",
            arguments.https
        );
    }
    // Without its own socket, the default port stays closed: a service with sockets may open none below 1024.
    let http = arguments.http.filter(|_| passed.http.is_none() && is_given("http"));
    let mut builder = builder(arguments, router, http);
    if let Some(https) = passed.https {
        builder = builder.https_listener(https);
    }
    match (passed.http, arguments.http) {
        (Some(socket), None) => {
            drop(socket);
            log::warn!(
                "plain HTTP is not answered, as --http off says, and the socket for it that the service manager has passed is \
                 closed here; stop its .socket unit too, or clients wait there"
            );
        }
        (Some(socket), Some(given)) => {
            if is_given("http") && !is_at(&socket, given) {
                log::warn!(
                    "--http {given} does not count: the service manager has passed a socket for plain HTTP"
                );
            }
            builder = builder.redirect_listener(socket);
        }
        (None, Some(_)) if !is_given("http") => {
            log::info!("plain HTTP is not answered: the service manager has passed no socket named http");
        }
        (None, _) => {}
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
    #[cfg(feature = "operations")]
    if let Some(address) = server.admin_addr() {
        say(&format!("Watched at http://{address}/metrics"));
    }
    if let Some(advice) = advice {
        say(&advice);
    }
    // The sockets accept since they were opened; clients that have connected by now are served at once.
    Ok(server.run()?)
}
