//! What a command line says beside the name of the command, with the defaults.
//!
//! A value that knows nothing of options and commands. The options write to it, and the commands read it.

#[cfg(feature = "operations")]
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

#[cfg(feature = "operations")]
use lockgate::Cidr;
use lockgate::{FieldNames, HttpCredentials, Limits};

#[cfg(feature = "operations")]
use super::log_format::Format;
#[cfg(any(feature = "operations", feature = "proxy"))]
use super::place::Place;
#[cfg(feature = "proxy")]
use super::route::{Backends, Hsts, Route};
use super::value::Listen;

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientDemand {
    Required,
    Optional,
}

/// How an authority checks that a name is this machine's.
#[cfg_attr(not(feature = "acme"), allow(dead_code))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Http01,
    TlsAlpn01,
}

/// What the options about an authority elsewhere say.
#[cfg_attr(not(feature = "acme"), allow(dead_code))]
#[derive(Debug, Default, Clone)]
pub(super) struct FromAuthority {
    pub directory: Option<String>,
    pub accept_terms: bool,
    pub ca: Option<PathBuf>,
    pub proof: Option<Proof>,
    pub profile: Option<String>,
    pub chain: Option<String>,
    pub contacts: Vec<String>,
    pub eab_kid: Option<String>,
    pub eab_key: Option<PathBuf>,
    pub force: bool,
}

impl FromAuthority {
    /// An option that needs an authority, when none is named.
    pub(super) fn without_authority(&self) -> Option<&'static str> {
        let FromAuthority { directory: None, accept_terms, ca, proof, profile, chain, .. } = self else {
            return None;
        };
        let given = [
            (*accept_terms, "--accept-terms"),
            (proof.is_some(), "--challenge"),
            (ca.is_some(), "--acme-ca"),
            (profile.is_some(), "--acme-profile"),
            (chain.is_some(), "--acme-chain"),
            (!self.contacts.is_empty(), "--acme-contact"),
            (self.eab_kid.is_some(), "--acme-eab-kid"),
            (self.eab_key.is_some(), "--acme-eab-key"),
        ];
        given.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

/// What reads the command line, the file and the environment again.
#[cfg(feature = "operations")]
pub(super) type Again = fn() -> Result<Box<Arguments>, String>;

/// How others watch the server, and learn that it leaves.
#[cfg(feature = "operations")]
#[derive(Debug, Default, Clone)]
pub(super) struct Watched {
    pub admin: Option<String>,
    pub anywhere: bool,
    pub ready_grace: std::time::Duration,
}

/// All that a command line can say beside the command.
// A build without a part of the command neither sets nor reads the fields of that part.
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
#[derive(Debug)]
pub(super) struct Arguments {
    /// The words that are no options, in the order given.
    pub operands: Vec<PathBuf>,
    /// As many as there are keys; the first pair is the default.
    pub certs: Vec<PathBuf>,
    pub keys: Vec<PathBuf>,
    /// The one key of a command about certificates.
    pub key: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub names: Vec<String>,
    pub out: Option<PathBuf>,
    /// The file of settings that stand beside those of the command line.
    pub config: Option<PathBuf>,
    /// Reads all of this again.
    #[cfg(feature = "operations")]
    pub again: Option<Again>,
    /// All that was given, without what is overridden: what `config show` shows.
    #[cfg(feature = "operations")]
    pub shown: Vec<(&'static str, Option<OsString>, Place)>,
    /// Variables of the environment that look like misspelled settings, as the log is to tell of them.
    #[cfg(feature = "operations")]
    pub misspelled: Vec<String>,
    /// What is wrong with the settings of a server that is checked before it serves.
    pub settings_fault: Option<String>,
    /// The options say what would be served, and it is checked before it is.
    pub is_to_be_served: bool,
    pub client_ca: Option<PathBuf>,
    pub client_auth: Option<ClientDemand>,
    pub client_crls: Vec<PathBuf>,
    pub dir: PathBuf,
    pub device: bool,
    pub acme: FromAuthority,
    pub https: Listen,
    pub http: Option<Listen>,
    pub public_name: Option<String>,
    pub public_port: Option<u16>,
    pub credentials: HttpCredentials,
    pub credential_headers: Vec<String>,
    pub field_names: FieldNames,
    pub tls_record_bytes: Option<usize>,
    /// The keys of tickets that servers share.
    #[cfg(feature = "operations")]
    pub ticket_keys: Option<PathBuf>,
    #[cfg(feature = "operations")]
    pub watched: Watched,
    /// The servers behind this one that answer requests which no route takes, and what holds for those of all routes.
    #[cfg(feature = "proxy")]
    pub backends: Backends,
    #[cfg(feature = "proxy")]
    pub routes: Vec<Route>,
    /// The folder that answers them.
    #[cfg(feature = "proxy")]
    pub files: Option<PathBuf>,
    /// Paths, and the JSON files that answer there.
    #[cfg(feature = "proxy")]
    pub answers: Vec<(String, PathBuf)>,
    /// Where the options that name who answers were given; without one, on the command line.
    #[cfg(feature = "proxy")]
    pub places: Vec<(&'static str, Place)>,
    #[cfg(feature = "proxy")]
    pub hsts: Option<Hsts>,
    /// The networks of those who speak the PROXY protocol, and of those whose `Forwarded` is believed.
    #[cfg(feature = "operations")]
    pub proxy_from: Vec<Cidr>,
    #[cfg(feature = "operations")]
    pub trust_forwarded: Vec<Cidr>,
    pub limits: Limits,
    /// The authorities that a check trusts beside the public ones.
    pub ca: Option<PathBuf>,
    /// Where a check tries plain HTTP.
    pub http_port: Option<u16>,
    /// What a check connects to instead of looking up the host.
    pub connect: Option<(IpAddr, Option<u16>)>,
    /// The tree that is looked through.
    pub source: Option<PathBuf>,
    /// The hosts that serve HTTPS.
    pub hosts: Vec<String>,
    /// The finding to be explained.
    pub explain: Option<String>,
    /// The JSON Schema of reports is asked for.
    pub schema: bool,
    pub fix: bool,
    pub yes: bool,
    pub sarif: bool,
    pub json: bool,
    #[cfg(feature = "operations")]
    pub log_format: Format,
    /// Which lines are logged, by target.
    #[cfg(feature = "operations")]
    pub log: Option<String>,
    /// How often -v was given, less how often -q was.
    pub verbosity: i8,
    pub help: bool,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            operands: Vec::new(),
            certs: Vec::new(),
            keys: Vec::new(),
            key: None,
            state: None,
            names: Vec::new(),
            out: None,
            config: None,
            #[cfg(feature = "operations")]
            again: None,
            #[cfg(feature = "operations")]
            shown: Vec::new(),
            #[cfg(feature = "operations")]
            misspelled: Vec::new(),
            settings_fault: None,
            is_to_be_served: false,
            client_ca: None,
            client_auth: None,
            client_crls: Vec::new(),
            dir: "certs".into(),
            device: false,
            acme: FromAuthority::default(),
            https: Listen::on_all(8443),
            http: Some(Listen::on_all(80)),
            public_name: None,
            public_port: None,
            credentials: HttpCredentials::default(),
            credential_headers: Vec::new(),
            field_names: FieldNames::default(),
            tls_record_bytes: None,
            #[cfg(feature = "operations")]
            ticket_keys: None,
            #[cfg(feature = "operations")]
            watched: Watched::default(),
            #[cfg(feature = "proxy")]
            backends: Backends::with_defaults(),
            #[cfg(feature = "proxy")]
            routes: Vec::new(),
            #[cfg(feature = "proxy")]
            files: None,
            #[cfg(feature = "proxy")]
            answers: Vec::new(),
            #[cfg(feature = "proxy")]
            places: Vec::new(),
            #[cfg(feature = "proxy")]
            hsts: None,
            #[cfg(feature = "operations")]
            proxy_from: Vec::new(),
            #[cfg(feature = "operations")]
            trust_forwarded: Vec::new(),
            limits: Limits::default(),
            ca: None,
            http_port: Some(80),
            connect: None,
            source: None,
            hosts: Vec::new(),
            explain: None,
            schema: false,
            fix: false,
            yes: false,
            sarif: false,
            json: false,
            #[cfg(feature = "operations")]
            log_format: Format::Text,
            #[cfg(feature = "operations")]
            log: None,
            verbosity: 0,
            help: false,
        }
    }
}
