//! `lockgate demo`: the server with a certificate that it makes itself, and with the feature `demo-page` a page. `make run-demo`
//! calls it.

mod certs;
#[cfg(feature = "demo-page")]
mod load;
#[cfg(feature = "demo-page")]
mod page;

use std::process::ExitCode;

use lockgate::internal::escape;
use lockgate::{Identity, Router};

use self::certs::Freshness;
use super::arguments::Arguments;
use super::exit::{self, Code};
use super::failure::Failure;
use super::option::Table;
use super::options::{self, limits, serving as shared};
use super::serving;
use super::signals::Signals;
use super::spec::{Operands, Settings, Spec};
use super::terminal::say_while_serving as say;
use super::value::Listen;

/// The port that needs a permission, and the port to take when this user has none.
const HTTP_PORT: u16 = 80;
const HTTP_PORT_INSTEAD: u16 = 8080;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "demo",
    synopsis: "[OPTIONS]",
    summary: "Makes a certificate for localhost and serves with it.",
    text: &[HELP, if cfg!(feature = "demo-page") { HELP_ON_PAGE } else { "" }],
    operands: Operands::None,
    options: &[
        Table {
            title: "Options",
            note: "",
            options: &[&[&shared::CONFIG], shared::CLIENTS, &[&shared::DIR], shared::WIRE, options::COMMON],
        },
        Table { title: limits::TITLE, note: limits::NOTE, options: &[limits::LIMITS] },
    ],
    settings: Settings::Own,
    exit_codes: exit::SERVING,
    usage_code: Code::Usage,
    run: |arguments| run(arguments).map(|()| ExitCode::SUCCESS),
};

const HELP: &str = "\
Makes a small authority of its own and a certificate for localhost, unless they are there, and
serves GET /api/data over HTTPS. No other program trusts this authority until you tell it to, as
curl here:

  lockgate demo --http 8080
  curl --cacert certs/ca.pem https://localhost:8443/api/data

When port 80 cannot be had for plain HTTP, the demo takes port 8080.
";

const HELP_ON_PAGE: &str = "
A page at https://localhost:8443/ shows the load of this machine as it changes, what protects the
connection, and an echo. The demo listens on all addresses, so the network sees them too, without
a login.
";

fn run(arguments: &Arguments) -> Result<(), Failure> {
    serving::check_together(arguments)?;
    let signals = Signals::catch(arguments)?;
    let certificates = certs::ensure(&arguments.dir)
        .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    if let Freshness::Made { because } = &certificates.freshness {
        let dir = escape::path(&arguments.dir);
        say(&format!("Made a demo CA and a certificate for localhost in {dir}: {}.", escape::line(because)));
    }
    let identities = vec![Identity::from_pem_files(&certificates.certificate, &certificates.key)?];
    let opened = serving::open(arguments, router()?, identities.clone(), arguments.http);
    let server = match (opened, arguments.http) {
        (Ok(server), _) => server,
        (Err(error), Some(http)) if http.port == HTTP_PORT && is_about_http(&error) => {
            let instead = Listen { port: HTTP_PORT_INSTEAD, ..http };
            let server = serving::open(arguments, router()?, identities, Some(instead))?;
            let why = if error.is_permission_denied() {
                "This user may not open port 80"
            } else {
                "Another program has port 80"
            };
            say(&format!("{why}; plain HTTP is answered on port {HTTP_PORT_INSTEAD} instead."));
            server
        }
        (Err(error), _) => return Err(error.into()),
    };
    let port = server.local_addr().port();
    let mut advice = serving::try_it(arguments, &certificates.ca, port);
    if cfg!(feature = "demo-page") {
        let ca = escape::path(&certificates.ca);
        advice += &format!("\nOr in a browser: https://localhost:{port}/ (it warns until it trusts {ca})");
    }
    serving::until_stopped(server, signals, Some(advice))
}

#[cfg(feature = "demo-page")]
fn router() -> Result<Router, lockgate::Error> {
    page::beside(serving::router())
}

#[cfg(not(feature = "demo-page"))]
fn router() -> Result<Router, lockgate::Error> {
    Ok(serving::router())
}

/// Whether another port for plain HTTP would help.
fn is_about_http(error: &lockgate::Error) -> bool {
    matches!(error, lockgate::Error::Listen { listener: "HTTP", .. })
        && (error.is_permission_denied() || error.is_address_in_use())
}
