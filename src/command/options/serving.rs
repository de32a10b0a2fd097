//! The options of the commands that serve. `check` shares those that say what would be served, and the commands about
//! certificates share the state directory and the names.

use lockgate::{FieldNames, HttpCredentials};

use crate::command::arguments::ClientDemand;
use crate::command::option::{path, text, Kind, Opt};
use crate::command::value::{self, Listen};

/// Which certificates clients show.
pub(in crate::command) static CLIENTS: &[&Opt] = &[&CLIENT_CA, &CLIENT_AUTH, &CLIENT_CRL];

/// Where a server listens, how it redirects and what its responses look like.
pub(in crate::command) static WIRE: &[&Opt] = &[
    &HTTPS,
    &HTTP,
    &PUBLIC_NAME,
    &PUBLIC_PORT,
    &HTTP_CREDENTIALS,
    &CREDENTIAL_HEADER,
    &FIELD_NAMES,
    &TLS_RECORD_BYTES,
];

/// Where a server's certificate is from, and the names that it is for.
pub(in crate::command) static IDENTITY: &[&Opt] = &[&DEVICE, &STATE, &NAME];

pub(in crate::command) static CONFIG: Opt = Opt::new(
    "config",
    "A file with settings, as TOML: each option by its name without the dashes, such as \
     idle-timeout = \"20s\". Options given here come before it, and so does the environment \
     (LOCKGATE_IDLE_TIMEOUT=20s). LOCKGATE_CONFIG names the file too.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a TOML file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.config = Some(path)),
    },
);

pub(in crate::command) static CERT: Opt = Opt::new(
    "cert",
    "The certificate and its issuers, the server's own first, as PEM. Required. May be given \
     several times, each with its --key: a client gets the certificate with the name that it asks \
     for, else the first. A certificate that cannot be used is left out, with an error in the log, \
     as long as another one can be used. With the URL of lockgate check, the client's own.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.certs.push(path)),
    },
)
.repeated();

pub(in crate::command) static KEY: Opt = Opt::new(
    "key",
    "The certificate's private key, as PEM without a passphrase. Required. The first belongs to \
     the first --cert, and so on.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.keys.push(path)),
    },
)
.repeated();

pub(in crate::command) static CLIENT_CA: Opt = Opt::new(
    "client-ca",
    "The authority or authorities whose certificates clients show (mutual TLS), as PEM. Without \
     it, none are asked for.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.client_ca = Some(path)),
    },
);

pub(in crate::command) static CLIENT_AUTH: Opt = Opt::new(
    "client-auth",
    "Whether a client must show a certificate of --client-ca, or may. A certificate that is not \
     good is refused in either case. Without it, required.",
    Kind::Value {
        name: "required|optional",
        accepted: "required or optional",
        default: None,
        set: |arguments, value| {
            arguments.client_auth = Some(match value.to_str()? {
                "required" => ClientDemand::Required,
                "optional" => ClientDemand::Optional,
                _ => return None,
            });
            Some(())
        },
    },
);

pub(in crate::command) static CLIENT_CRL: Opt = Opt::new(
    "client-crl",
    "The certificates that an authority of --client-ca has revoked (a CRL), as PEM or DER. Once \
     one is given, every authority needs one, and a list that is out of date refuses its clients. \
     May be given several times.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a revocation list",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.client_crls.push(path)),
    },
)
.repeated();

pub(in crate::command) static DEVICE: Opt = Opt::new(
    "device",
    "Serve with a certificate that this device makes itself, for its host name, NAME.local, \
     localhost, each --name and the addresses of its interfaces. An authority of the device's own \
     signs it. It is renewed when it is time and when names or addresses change.",
    Kind::Flag(|arguments| arguments.device = true),
);

pub(in crate::command) static STATE: Opt = Opt::new(
    "state",
    "Where the device's authority and certificate are kept, and the account and the certificate \
     that an authority elsewhere gave; made when they are not there. The \
     folder must be on a disk that keeps its contents.",
    Kind::Value {
        name: "DIR",
        accepted: "the path of a folder",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.state = Some(path)),
    },
);

pub(in crate::command) static NAME: Opt = Opt::new(
    "name",
    "A name or address that clients call this device by, beside those that it has. May be given \
     several times. The device's own authority signs for the names that were given when it was \
     made, and for names below those with a dot in them. An authority elsewhere signs for the \
     names that it can check.",
    Kind::Value {
        name: "NAME",
        accepted: "a host name or an IP address",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.names.push(name)),
    },
)
.repeated();

pub(in crate::command) static DIR: Opt = Opt::new(
    "dir",
    "Where the demo's authority and certificate are kept, and made when they are not there.",
    Kind::Value {
        name: "DIR",
        accepted: "the path of a folder",
        default: Some("certs"),
        set: |arguments, value| path(value).map(|path| arguments.dir = path),
    },
);

pub(in crate::command) static HTTPS: Opt = Opt::new(
    "https",
    "Where HTTPS is served. A port alone stands for all of this machine's addresses, 0 for any \
     free port.",
    Kind::Value {
        name: "[ADDR:]PORT",
        accepted: value::LISTEN,
        default: Some("[::]:8443"),
        set: |arguments, value| Listen::parse(value.to_str()?).map(|listen| arguments.https = listen),
    },
);

pub(in crate::command) static HTTP: Opt = Opt::new(
    "http",
    "Where plain HTTP is answered with redirects to HTTPS; off for nowhere.",
    Kind::Value {
        name: "[ADDR:]PORT|off",
        accepted: "off, a port, or an address and a port: 80, 127.0.0.1:80, [::1]:80",
        default: Some("[::]:80"),
        set: |arguments, value| {
            arguments.http = match value.to_str()? {
                "off" => None,
                listen => Some(Listen::parse(listen)?),
            };
            Some(())
        },
    },
);

pub(in crate::command) static PUBLIC_NAME: Opt = Opt::new(
    "public-name",
    "The host that redirects lead to, whatever host the request names. Without it, the request's \
     own host if the certificate is for it.",
    Kind::Value {
        name: "HOST",
        accepted: "a name or an address, without scheme and port",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.public_name = Some(name)),
    },
);

pub(in crate::command) static PUBLIC_PORT: Opt = Opt::new(
    "public-port",
    "The port that redirects lead to, where clients see another one than this server (port \
     forwarding). Without it, the port of --https.",
    Kind::Value {
        name: "PORT",
        accepted: "a port from 1 to 65535",
        default: None,
        set: |arguments, value| {
            let port = value::whole_number(value.to_str()?).filter(|&port| port > 0)?;
            arguments.public_port = Some(port);
            Some(())
        },
    },
);

pub(in crate::command) static HTTP_CREDENTIALS: Opt = Opt::new(
    "http-credentials",
    "What a request that carries credentials over plain HTTP gets: a redirect and a warning in \
     the log, or 403, so that the leak shows at once.",
    Kind::Value {
        name: "warn|refuse",
        accepted: "warn or refuse",
        default: Some("warn"),
        set: |arguments, value| {
            arguments.credentials = match value.to_str()? {
                "warn" => HttpCredentials::Warn,
                "refuse" => HttpCredentials::Refuse,
                _ => return None,
            };
            Some(())
        },
    },
);

pub(in crate::command) static CREDENTIAL_HEADER: Opt = Opt::new(
    "credential-header",
    "A further header that carries credentials, beside Authorization, Proxy-Authorization, \
     Cookie, X-Api-Key and others of that kind. May be given several times.",
    Kind::Value {
        name: "NAME",
        accepted: "the name of a header, such as X-Device-Token",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.credential_headers.push(name)),
    },
)
.repeated();

pub(in crate::command) static FIELD_NAMES: Opt = Opt::new(
    "field-names",
    "How the names of fields are written in responses, redirects too: content-length, or \
     Content-Length for small clients that compare them letter by letter.",
    Kind::Value {
        name: "lower|title",
        accepted: "lower or title",
        default: Some("lower"),
        set: |arguments, value| {
            arguments.field_names = match value.to_str()? {
                "lower" => FieldNames::LowerCase,
                "title" => FieldNames::TitleCase,
                _ => return None,
            };
            Some(())
        },
    },
);

pub(in crate::command) static TLS_RECORD_BYTES: Opt = Opt::new(
    "tls-record-bytes",
    "The largest TLS record that is sent, from 128 to 16KiB in all, for clients with small \
     buffers. Without it, what TLS allows: 16 KiB of content.",
    Kind::Value {
        name: "SIZE",
        accepted: "a size from 128 to 16KiB, in bytes or with KiB",
        default: None,
        set: |arguments, value| {
            let bytes = usize::try_from(value::size(value.to_str()?)?).ok()?;
            arguments.tls_record_bytes = Some(bytes).filter(|bytes| (128..=16 * 1024).contains(bytes));
            arguments.tls_record_bytes.map(|_| ())
        },
    },
);
