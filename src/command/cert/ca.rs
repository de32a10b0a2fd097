//! `lockgate cert ca`: shows the authority of a device, and how clients come to trust it.

use std::process::ExitCode;

use lockgate::{iso8601, Device};

use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::logger::tell;
use crate::command::option::Table;
use crate::command::options::{self, serving};
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::say;
use crate::command::value::show_fingerprint;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "cert ca",
    synopsis: "--state DIR",
    summary: "Writes the certificate of a device's own authority, and how clients come to trust it.",
    text: &[HELP],
    operands: Operands::None,
    options: &[Table { title: "Options", note: "", options: &[&[&serving::STATE], options::COMMON] }],
    settings: Settings::None,
    exit_codes: &[
        (0, "it is written"),
        (Code::Usage as u8, "the command line is wrong"),
        (Code::Configuration as u8, "there is no authority yet, or it is damaged"),
    ],
    usage_code: Code::Usage,
    run,
};

const HELP: &str = "\
Writes the authority's certificate to standard output, as PEM; and its fingerprint, and how to
trust it on several systems, to standard error.

  lockgate cert ca --state /var/lib/gateway > gateway-ca.crt

When others could have changed the file on its way, compare the fingerprint.
";

const HOW: &str = "\
To trust it, take the certificate to the client as gateway-ca.crt (lockgate cert ca … > gateway-ca.crt),
compare the fingerprint there, and then:

  Debian, Ubuntu  sudo cp gateway-ca.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates
                  (curl, Python and others; not Firefox and Chromium, which have lists of their own)
  Chromium, Linux certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n gateway -i gateway-ca.crt
                  (package libnss3-tools)
  Firefox         Settings > Privacy & Security > Certificates > View Certificates > Authorities > Import,
                  \"Trust this CA to identify websites\"
  Windows         certutil -addstore Root gateway-ca.crt, as administrator
                  (Edge and Chrome; Firefox too, unless it is told otherwise)
  macOS           sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain gateway-ca.crt
  iOS             send the file to the device, Settings > Profile Downloaded > Install, then
                  Settings > General > About > Certificate Trust Settings > on
  Android         Settings > Security > Encryption & credentials > Install a certificate > CA certificate
                  (browsers; other apps only if they ask for user certificates)
  Node            NODE_EXTRA_CA_CERTS=gateway-ca.crt
  Once, to try    curl --cacert gateway-ca.crt https://…";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(state) = &arguments.state else {
        return Err(Failure::usage(
            "--state DIR is missing: the folder that lockgate serve --device was given",
        ));
    };
    let ca = Device::new(state).ca()?;
    say(ca.to_pem().trim_end());
    let (name, fingerprint) = (ca.subject(), show_fingerprint(&ca.fingerprint()));
    let until = iso8601(ca.not_after());
    tell(&format!("{name}, valid until {until}\nSHA-256 fingerprint: {fingerprint}\n\n{HOW}"));
    Ok(ExitCode::SUCCESS)
}
