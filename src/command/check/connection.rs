//! The checks about a connection: of a server by its URL, and of what is to be served, before it is. `check` calls it.

use std::process::ExitCode;

use lockgate::check::{explain, Explanation, JSON_SCHEMA};

use super::kind::Kind;
use super::{preflight, report, url};
use crate::command::arguments::Arguments;
use crate::command::failure::Failure;
use crate::command::terminal::say_json;

pub(super) const KIND: Kind = Kind {
    help: HELP,
    look,
    findings: || Explanation::all().map(|one| (one.id(), one.severity(), one.reference())).collect(),
    explain: |id| explain(id).map(|explanation| report::explanation(&explanation)),
};

const HELP: &str = "\
Connects to a server, lockgate's or another, and looks at its certificate, at the TLS that it
accepts, and at its HTTP, over TLS and without. It opens a few dozen connections one after the
other, within 90 s, and sends nothing that could change anything on the server.

  lockgate check https://device.local:8443/api/data --ca certs/ca.pem --http-port 8080
  lockgate check https://api.example.com/ --json

It trusts Mozilla's authorities, those of this machine (SSL_CERT_FILE, or its own store), and
those of --ca. The JSON is described at lockgate::check::Report::to_json, and --schema writes its
JSON Schema; its schema member says lockgate.check/1, its kind url or before. When nothing could be
checked (exit code 3), or the options do not go together (64), it holds the error instead of a
verdict.

To a server that asks for a client certificate (mutual TLS) it shows that of --cert and --key, as
PEM. Without them it reports that the server asks for one, and all else that can be seen; the exit
code is 3 when the server turns away clients without one.

  lockgate check https://device.local:8443/ --ca ca.pem --cert client.pem --key client-key.pem

Without a URL, and with --config, or --cert and --key, or --device and --state, it says what
would be wrong if lockgate serve were started with the same, and with the same environment: files
and their modes, certificates, the state directory, ports (each is opened and closed at once), the
clock, limits, and the servers of --to and --route, each of which is asked for HEAD /. It writes
nothing, and asks nothing else of the network. It takes all options of lockgate serve for that.

  lockgate check --config lockgate.toml
  lockgate check --device --state /var/lib/lockgate --to http://127.0.0.1:3000
  lockgate check --cert fullchain.pem --key privkey.pem --https 443 --http 80
";

fn look(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.schema {
        say_json(JSON_SCHEMA.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.operands.first() {
        Some(url) => url::run(arguments, &url.to_string_lossy()),
        None => preflight::run(arguments),
    }
}
