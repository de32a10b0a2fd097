//! The options of the commands about certificates: `cert show`, `cert csr` and `cert install`.

use crate::command::option::{path, text, Kind, Opt};

/// The one key of a command about certificates.
const KEY: Kind = Kind::Value {
    name: "FILE",
    accepted: "the path of a PEM file",
    default: None,
    set: |arguments, value| path(value).map(|path| arguments.key = Some(path)),
};

pub(in crate::command) static KEY_OF_CERTIFICATE: Opt = Opt::new(
    "key",
    "The private key that should belong to the certificate, as PEM. Without it, a key that stands \
     in FILE itself.",
    KEY,
);

pub(in crate::command) static KEY_TO_KEEP: Opt =
    Opt::new("key", "The private key, as PEM. A key that is already there is never written over.", KEY);

pub(in crate::command) static NAME: Opt = Opt::new(
    "name",
    "A name or an address by which clients call the device. Required; may be given several times.",
    Kind::Value {
        name: "NAME",
        accepted: "a name or an address, without scheme and port",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.names.push(name)),
    },
)
.repeated();

pub(in crate::command) static STATE: Opt = Opt::new(
    "state",
    "The device's state directory: the key is DIR/installed/key.pem, the certificate \
     DIR/installed/cert.pem.",
    Kind::Value {
        name: "DIR",
        accepted: "the path of a folder",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.state = Some(path)),
    },
);

pub(in crate::command) static CERT: Opt = Opt::new(
    "cert",
    "Where the certificate and its issuers go. A certificate that is already there is replaced.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.certs = vec![path]),
    },
);

pub(in crate::command) static OUT: Opt = Opt::new(
    "out",
    "Where the request is written, instead of stdout.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.out = Some(path)),
    },
);
