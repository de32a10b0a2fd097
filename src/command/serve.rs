//! `lockgate serve`: the server with a certificate of the user's own, of the device's own authority, or from an authority
//! elsewhere.

use std::process::ExitCode;

#[cfg(feature = "proxy")]
use lockgate::internal::memory_of;
use lockgate::internal::{shell_word, shortage_here};
use lockgate::{Device, Identity};

use super::arguments::Arguments;
#[cfg(feature = "acme")]
use super::authority;
use super::exit::{self, Code};
use super::failure::Failure;
use super::option::Table;
use super::options::{self, limits, serving as shared};
use super::serving;
use super::signals::Signals;
use super::spec::{Operands, Settings, Spec};

pub(super) static SPEC: Spec = Spec {
    name: "serve",
    synopsis: if cfg!(feature = "acme") {
        "--cert FILE --key FILE | --device --state DIR | --acme URL --state DIR [OPTIONS]"
    } else {
        "--cert FILE --key FILE | --device --state DIR [OPTIONS]"
    },
    summary: if cfg!(feature = "acme") {
        "Serves with a certificate of your own, of the device's own authority, or of another."
    } else {
        "Serves with a certificate of your own, or of the device's own authority."
    },
    text: &[
        HELP,
        if cfg!(feature = "proxy") { HELP_ON_BACKENDS } else { "" },
        if cfg!(feature = "acme") { HELP_ON_AUTHORITIES } else { "" },
        HELP_ON_PORTS,
        if cfg!(feature = "operations") { HELP_ON_SERVICES } else { "" },
    ],
    operands: Operands::None,
    options: &[
        Table {
            title: "Options",
            note: "",
            options: &[
                &[&shared::CONFIG, &shared::CERT, &shared::KEY],
                shared::CLIENTS,
                shared::IDENTITY,
                shared::WIRE,
                #[cfg(feature = "operations")]
                options::logs::LOGS,
                options::COMMON,
            ],
        },
        #[cfg(feature = "proxy")]
        Table {
            title: options::answers::TITLE,
            note: options::answers::NOTE,
            options: &[options::answers::ANSWERS],
        },
        #[cfg(feature = "acme")]
        Table { title: options::authority::TITLE, note: "", options: &[options::authority::OBTAIN] },
        #[cfg(feature = "operations")]
        Table {
            title: options::operations::TITLE,
            note: "",
            options: &[options::operations::TICKETS, options::operations::WATCHED],
        },
        #[cfg(feature = "operations")]
        Table {
            title: options::operations::BEHIND,
            note: options::operations::BEHIND_NOTE,
            options: &[options::operations::BALANCERS],
        },
        Table { title: limits::TITLE, note: limits::NOTE, options: &[limits::LIMITS] },
    ],
    settings: Settings::Own,
    exit_codes: exit::SERVING,
    usage_code: Code::Usage,
    run: |arguments| run(arguments).map(|()| ExitCode::SUCCESS),
};

const HELP: &str = "\
Serves GET /api/data over HTTPS with your certificate, and answers plain HTTP with redirects.

  lockgate serve --cert cert.pem --key key.pem --https 8443 --http off
  curl https://NAME:8443/api/data      where NAME is a name that the certificate is for

No certificate yet? lockgate demo makes one for localhost; an authority such as Let's Encrypt
gives one that every client trusts. The server takes renewed files by itself.

To serve only clients that show a certificate of your own authority (mutual TLS):
  lockgate serve --cert cert.pem --key key.pem --client-ca clients-ca.pem
  curl --cert client.pem --key client-key.pem https://NAME:8443/api/data

A device in a network of its own makes its certificate itself, for its names and addresses, and
renews it. Clients have to be told once to trust its authority:

  lockgate serve --device --state /var/lib/gateway --name gateway.example
  lockgate cert ca --state /var/lib/gateway
";

const HELP_ON_AUTHORITIES: &str = "
A device that the internet can reach gets a certificate that every client trusts, and renews it:

  lockgate serve --acme letsencrypt --name gateway.example.org --accept-terms \\
      --state /var/lib/gateway --https 443
";

const HELP_ON_BACKENDS: &str = "
HTTPS in front of a program that speaks plain HTTP, here on port 3000 of this machine:

  lockgate serve --cert cert.pem --key key.pem --to http://127.0.0.1:3000
  lockgate serve --acme letsencrypt --name api.example.com --accept-terms \\
      --state /var/lib/lockgate --to http://127.0.0.1:3000

Several programs, or files beside one, share the paths:

  lockgate serve --device --state /var/lib/lockgate --files /usr/share/ui \\
      --route /api/=unix:/run/app.sock

The longest prefix wins, by whole segments: /api takes /api, /api/ and /api/x, never /apix. A
path that a program may read as one of a longer route (/API, /api;x, //api) gets 400.

  --route /api=http://127.0.0.1:3000     the program gets /api/x for /api/x, /api for /api
  --route /api=http://127.0.0.1:3000/    the program gets /x for /api/x, and / for /api
  --route /api/=http://127.0.0.1:3000    as without the slash; /api is redirected to /api/
  --route /api/=http://127.0.0.1:3000/   the program gets /x for /api/x, and / for /api/

In the file of --config a [[route]] table says the same, and has limits of its own:

  [[route]]
  path = \"/api\"
  to = [\"http://127.0.0.1:3000\", \"http://127.0.0.1:3001\"]
  methods = [\"GET\", \"POST\"]
  body-bytes = \"16MiB\"

Instead of to it may have files or answer; further keys are headers, body-timeout, concurrent, and
those of the options about servers, from host to backend-queue-timeout. The fields in headers are
added to every answer of the route; those that let caches keep it (Cache-Control) to no error.
With methods, HEAD goes with GET, and the server answers OPTIONS itself (204), unless it is listed.
lockgate check --config FILE asks each program whether it answers.
";

const HELP_ON_PORTS: &str = "
Ports below 1024 need a permission that users do not have. It can be given to the program:
  sudo setcap cap_net_bind_service=+ep $(command -v lockgate)
";

const HELP_ON_SERVICES: &str = "
systemd can open the ports and pass them (a .socket unit for each, with FileDescriptorName=https or
http): they come before --https and --http, and a restart refuses no client. Type=notify and
WatchdogSec= are served too.
";

fn run(arguments: &Arguments) -> Result<(), Failure> {
    check(arguments)?;
    serving::check_together(arguments)?;
    let answers = serving::answers(arguments)?;
    // Before anything of this process takes the place of a socket.
    #[cfg(feature = "operations")]
    let passed = lockgate::PassedSockets::take()?;
    let signals = Signals::catch(arguments)?;
    #[cfg(feature = "operations")]
    let builder = serving::passed(arguments, answers.router, passed).notify_service_manager();
    #[cfg(not(feature = "operations"))]
    let builder = serving::builder(arguments, answers.router, arguments.http);
    #[cfg(feature = "proxy")]
    let builder = match super::answers::fields::Fields::of(arguments) {
        Some(fields) => builder.on_response(move |seen, response| fields.add_to(seen, response)),
        None => builder,
    };
    #[cfg(all(feature = "proxy", feature = "operations"))]
    let builder = super::answers::paths_of_proxies(arguments)
        .iter()
        .zip(&answers.proxies)
        .fold(builder, |builder, (path, proxy)| builder.watch_proxy(path, proxy));
    #[cfg(all(feature = "proxy", feature = "check"))]
    let told = arguments.hsts.map(super::answers::hsts::Told::new);
    #[cfg(all(feature = "proxy", feature = "check"))]
    let builder = match told.clone() {
        Some(told) => builder.on_response(move |seen, response| told.add_to(seen, response)),
        None => builder,
    };
    let server = match arguments.certs.len() {
        0 | 1 => serving::with_identities(builder, identities(arguments)?).bind()?,
        // Of several pairs, the server takes those that can be used.
        _ => {
            let pairs = arguments.certs.iter().zip(&arguments.keys);
            pairs.fold(builder, |builder, (cert, key)| builder.add_pem_files(cert, key)).bind()?
        }
    };
    #[cfg(all(feature = "proxy", feature = "check"))]
    if let Some(told) = told {
        told.serve(server.handle());
    }
    #[cfg(feature = "proxy")]
    let beside = |connections| memory_of(&answers.proxies, &arguments.limits, connections);
    #[cfg(not(feature = "proxy"))]
    let beside = |_| 0;
    let shortage = shortage_here(&arguments.limits, server.connections(), &beside);
    #[cfg(feature = "proxy")]
    if super::answers::is_named(arguments) {
        super::answers::start::tell(arguments, answers.proxies);
    } else {
        log::info!("GET /api/data is answered as an example; --to http://127.0.0.1:3000 passes requests on to a program of yours");
    }
    if let Some(shortage) = shortage {
        // Users know the limits by their options.
        log::warn!("{} (--connections)", shortage.replace('_', "-"));
    }
    let port = server.local_addr().port();
    let state = arguments.state.as_ref().filter(|_| arguments.device);
    let advice = state.map(|state| {
        let trust = format!("lockgate cert ca --state {}", shell_word(state));
        format!(
            "{}\nHow clients come to trust this device: {trust}",
            serving::try_it(arguments, &state.join("ca.pem"), port)
        )
    });
    let state = arguments.state.as_ref().filter(|_| arguments.acme.directory.is_some());
    let how_it_stands = state.map(|state| {
        let state = shell_word(state);
        format!("How the certificate from the authority stands: lockgate cert status --state {state}")
    });
    serving::until_stopped(server, signals, advice.or(how_it_stands))
}

/// Whether the options go together, so that exactly one of them says where the certificate is from.
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
        let what = format!(
            "{option} is for a certificate from an authority elsewhere; give --acme URL too, or leave it out"
        );
        return Err(serving::in_vain(arguments, option, what));
    }
    let wrong = match (arguments.device, &arguments.state) {
        (true, _) if certs + keys > 0 => {
            "--device and --cert do not go together: the device makes its certificate itself; give one of them".into()
        }
        (true, None) => "--state DIR is missing: the device's authority and certificate are kept there".into(),
        (true, Some(_)) => return Ok(()),
        (false, Some(_)) => {
            format!("--state is for what a server makes or obtains itself; give {OWN_IDENTITIES} too")
        }
        (false, None) if !arguments.names.is_empty() => {
            format!("--name is for a certificate that a server makes or obtains itself; give {OWN_IDENTITIES} too")
        }
        (false, None) if certs == keys && certs > 0 => return Ok(()),
        (false, None) => {
            let missing = match (certs, keys) {
                (0, 0) => "--cert FILE and --key FILE are missing",
                (certs, keys) if certs > keys => "--key FILE is missing",
                _ => "--cert FILE is missing",
            };
            format!(
                "{missing}: a server needs a certificate and its private key; give them, or {OWN_SOURCES}; lockgate demo makes \
                 both, to try it with"
            )
        }
    };
    Err(Failure::usage(wrong))
}

/// The options for it, whole.
const OWN_SOURCES: &str = if cfg!(feature = "acme") {
    "--device --state DIR, or --acme URL --state DIR"
} else {
    "--device --state DIR"
};

/// What makes a server get its certificate itself.
const OWN_IDENTITIES: &str = if cfg!(feature = "acme") { "--device or --acme URL" } else { "--device" };

/// The certificates that clients get, the default first.
fn identities(arguments: &Arguments) -> Result<Vec<Identity>, Failure> {
    #[cfg(feature = "acme")]
    if arguments.acme.directory.is_some() {
        return Ok(vec![Identity::acme(authority::of(arguments)?)?]);
    }
    if let Some(state) = arguments.state.as_ref().filter(|_| arguments.device) {
        let device = arguments.names.iter().fold(Device::new(state), |device, name| device.name(name));
        return Ok(vec![Identity::from_source(device)?]);
    }
    let pairs = arguments.certs.iter().zip(&arguments.keys);
    Ok(pairs.map(|(cert, key)| Identity::from_pem_files(cert, key)).collect::<Result<_, _>>()?)
}
