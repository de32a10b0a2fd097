//! The options about a certificate from an authority elsewhere (ACME, RFC 8555): for `serve`, and for the commands that
//! obtain one without a server.

use lockgate::internal::without_userinfo;

use crate::command::arguments::Proof;
use crate::command::option::{path, text, Kind, Opt};
use crate::command::value::{self, Listen};

pub(in crate::command) const TITLE: &str = "Certificates from an authority";

/// The options of `serve` and `cert obtain`.
pub(in crate::command) static OBTAIN: &[&Opt] =
    &[&ACME, &ACCEPT_TERMS, &CHALLENGE, &CA, &PROFILE, &CHAIN, &CONTACT, &EAB_KID, &EAB_KEY];

static ACME: Opt = Opt::new(
    "acme",
    "Get the certificate from the authority with this directory, for each --name, and renew it. \
     letsencrypt and letsencrypt-staging stand for those of Let's Encrypt; try with the latter.",
    Kind::Value {
        name: "URL",
        accepted: "the https URL of an authority's directory, letsencrypt or letsencrypt-staging",
        default: None,
        set: |arguments, value| {
            let url = text(value).filter(|url| without_userinfo(url) == *url)?;
            arguments.acme.directory = Some(url);
            Some(())
        },
    },
);

static ACCEPT_TERMS: Opt = Opt::new(
    "accept-terms",
    "You have read the authority's terms of service, and agree. Without it, the error says where \
     they can be read.",
    Kind::Flag(|arguments| arguments.acme.accept_terms = true),
);

static CHALLENGE: Opt = Opt::new(
    "challenge",
    "How names are proven: on port 80, where plain HTTP is answered, or on port 443, where HTTPS \
     is served. The authority must reach this machine there under every name. Without it, \
     http-01.",
    Kind::Value {
        name: "http-01|tls-alpn-01",
        accepted: "http-01 or tls-alpn-01",
        default: None,
        set: |arguments, value| {
            arguments.acme.proof = Some(match value.to_str()? {
                "http-01" => Proof::Http01,
                "tls-alpn-01" => Proof::TlsAlpn01,
                _ => return None,
            });
            Some(())
        },
    },
);

static CA: Opt = Opt::new(
    "acme-ca",
    "The roots to trust for the authority's own server, as PEM, in place of the public ones.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.acme.ca = Some(path)),
    },
);

static PROFILE: Opt = Opt::new(
    "acme-profile",
    "The kind of certificate, by the authority's name for it, such as shortlived at Let's Encrypt.",
    Kind::Value {
        name: "NAME",
        accepted: "the name of a profile",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.acme.profile = Some(name)),
    },
);

static CHAIN: Opt = Opt::new(
    "acme-chain",
    "Which of several chains to take: the one that leads to an issuer of this name. When there is \
     none, the first.",
    Kind::Value {
        name: "NAME",
        accepted: "the common name of an issuer",
        default: None,
        set: |arguments, value| text(value).map(|name| arguments.acme.chain = Some(name)),
    },
);

static CONTACT: Opt = Opt::new(
    "acme-contact",
    "Where the authority may write to. May be given several times; most need none.",
    Kind::Value {
        name: "EMAIL",
        accepted: "an e-mail address",
        default: None,
        set: |arguments, value| text(value).map(|email| arguments.acme.contacts.push(email)),
    },
)
.repeated();

static EAB_KID: Opt = Opt::new(
    "acme-eab-kid",
    "The key identifier of an account that the authority knows already (external account binding).",
    Kind::Value {
        name: "ID",
        accepted: "a key identifier, as the authority gave it",
        default: None,
        set: |arguments, value| text(value).map(|kid| arguments.acme.eab_kid = Some(kid)),
    },
);

static EAB_KEY: Opt = Opt::new(
    "acme-eab-key",
    "The file with the HMAC key that belongs to it, as the authority gave it.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.acme.eab_key = Some(path)),
    },
);

/// An option of `cert renew` alone.
pub(in crate::command) static FORCE: Opt =
    Opt::new("force", "Renew before it is due.", Kind::Flag(|arguments| arguments.acme.force = true));

/// Where a command answers the authority that runs no server.
pub(in crate::command) static HTTP: Opt = Opt::new(
    "http",
    "Where the authority's question is answered. The authority asks on port 80.",
    Kind::Value {
        name: "[ADDR:]PORT",
        accepted: value::LISTEN,
        default: Some("[::]:80"),
        set: |arguments, value| {
            arguments.http = Some(Listen::parse(value.to_str()?)?);
            Some(())
        },
    },
);
