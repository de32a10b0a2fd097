//! Every option of the command, in one table. The parser, the help and the tests all read it, so that none of them can
//! know an option that another does not.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use lockgate::{FieldNames, HttpCredentials, Limits};

use super::cert::obtain;
use super::parse::{Arguments, ClientDemand};
use super::spec::Command;
use super::value::{self, Listen};

/// One option.
pub(super) struct Opt {
    pub name: &'static str,
    pub short: Option<char>,
    /// The commands that have it. Several options may have one name, if no command has two of them.
    pub of: &'static [Command],
    /// Whether it may be given several times, and all count; of others the last does.
    pub many: bool,
    pub kind: Kind,
    pub help: &'static str,
}

/// What an option takes, and where it goes.
pub(super) enum Kind {
    Count(fn(&mut Limits) -> &mut usize),
    Size(fn(&mut Limits) -> &mut usize),
    LongSize(fn(&mut Limits) -> &mut u64),
    Time(fn(&mut Limits) -> &mut Duration),
    Switch(fn(&mut Limits) -> &mut bool),
    Value {
        /// What stands for the value in the help.
        name: &'static str,
        accepted: &'static str,
        default: Option<&'static str>,
        /// Gives `None` for a value that is not accepted.
        set: fn(&mut Arguments, OsString) -> Option<()>,
    },
    Flag(fn(&mut Arguments)),
}

/// The one key of a command about certificates.
const KEY: Kind = Kind::Value {
    name: "FILE",
    accepted: "the path of a PEM file",
    default: None,
    set: |arguments, value| path(value).map(|path| arguments.key = Some(path)),
};

/// The options that are no limits.
pub(super) const GENERAL: &[Opt] = &[
    Opt {
        of: &[Command::Serve, Command::Demo, Command::Check],
        ..Opt::new(
        "config",
        "A file with settings, as TOML: each option by its name without the dashes, such as \
         idle-timeout = \"20s\". Options given here come before it, and so does the environment \
         (LOCKGATE_IDLE_TIMEOUT=20s).",
        Kind::Value {
            name: "FILE",
            accepted: "the path of a TOML file",
            default: None,
            set: |arguments, value| path(value).map(|path| arguments.config = Some(path)),
        },    )
    },

    Opt {
        of: &[Command::Serve, Command::Check],
        many: true,
        ..Opt::new(
            "cert",
            "The certificate and those that vouch for it, the server's own first, as PEM. Required. May be given several \
             times, each with its --key: a client gets the one with the name that it asks for, else the first; those that \
             cannot be used are left out, with an error in the log, while another can be. With the URL of lockgate check, the \
             client's own.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a PEM file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.certs.push(path)),
            },
        )
    },
    Opt {
        of: &[Command::Serve, Command::Check],
        many: true,
        ..Opt::new(
            "key",
            "The certificate's private key, as PEM without a passphrase. Required. The first belongs to the first --cert, \
             and so on.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a PEM file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.keys.push(path)),
            },
        )
    },
    Opt::new(
        "client-ca",
        "The authority or authorities whose certificates clients show (mutual TLS), as PEM. Without it, none are asked for.",
        Kind::Value {
            name: "FILE",
            accepted: "the path of a PEM file",
            default: None,
            set: |arguments, value| path(value).map(|path| arguments.client_ca = Some(path)),
        },
    ),
    Opt::new(
        "client-auth",
        "Whether a client must show a certificate of --client-ca, or may. One that is not good is refused in either case. \
         Without it, required.",
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
    ),
    Opt {
        many: true,
        ..Opt::new(
            "client-crl",
            "The certificates that an authority of --client-ca has revoked (a CRL), as PEM or DER. Once one is given, every \
             authority needs one, and one that is out of date refuses its clients. May be given several times.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a revocation list",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.client_crls.push(path)),
            },
        )
    },
    Opt {
        of: &[Command::Serve, Command::Check],
        ..Opt::new(
            "device",
            "Serve with a certificate that this device makes itself, for its host name, NAME.local, localhost, each \
             --name and the addresses of its interfaces. It is signed by an authority of the device's own, and renewed \
             when it is time and when names or addresses change.",
            Kind::Flag(|arguments| arguments.device = true),
        )
    },
    Opt {
        of: &[
            Command::Serve,
            Command::CertCa,
            Command::CertObtain,
            Command::CertRenew,
            Command::CertStatus,
            Command::Check,
        ],
        ..Opt::new(
            "state",
            "Where the device's authority and certificate are kept, and the account and the certificate that an authority \
             elsewhere gave; made when they are not there. Needs a disk that lasts.",
            Kind::Value {
                name: "DIR",
                accepted: "the path of a folder",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.state = Some(path)),
            },
        )
    },
    Opt {
        of: &[Command::Serve, Command::CertObtain, Command::CertRenew, Command::Check],
        many: true,
        ..Opt::new(
            "name",
            "A name or address that clients call this device by, beside those that it has. May be given several times. \
             The device's own authority vouches for the names that were given when it was made, and for what is below \
             those with a dot in them; one elsewhere for those that it can prove.",
            Kind::Value {
                name: "NAME",
                accepted: "a host name or an IP address",
                default: None,
                set: |arguments, value| text(value).map(|name| arguments.names.push(name)),
            },
        )
    },
    Opt {
        of: &[Command::CertShow],
        ..Opt::new(
            "key",
            "The private key that should belong to the certificate, as PEM. Without it, a key that stands in FILE itself.",
            KEY,
        )
    },
    Opt {
        of: &[Command::CertCsr],
        many: true,
        ..Opt::new(
            "name",
            "A name or an address by which clients call the device. Required; may be given several times.",
            Kind::Value {
                name: "NAME",
                accepted: "a name or an address, without scheme and port",
                default: None,
                set: |arguments, value| text(value).map(|name| arguments.names.push(name)),
            },
        )
    },
    Opt {
        of: &[Command::CertCsr, Command::CertInstall],
        ..Opt::new(
            "state",
            "The device's state directory: the key is DIR/installed/key.pem, the certificate DIR/installed/cert.pem.",
            Kind::Value {
                name: "DIR",
                accepted: "the path of a folder",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.state = Some(path)),
            },
        )
    },
    Opt {
        of: &[Command::CertCsr, Command::CertInstall],
        ..Opt::new(
            "key",
            "The private key, as PEM. One that is there is never written over.",
            KEY,
        )
    },
    Opt {
        of: &[Command::CertInstall],
        ..Opt::new(
            "cert",
            "Where the certificate and its issuers go. One that is there is replaced.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a PEM file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.certs = vec![path]),
            },
        )
    },
    Opt {
        of: &[Command::CertCsr],
        ..Opt::new(
            "out",
            "Where the request is written, instead of stdout.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.out = Some(path)),
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "ca",
            "Authorities to trust beside those that everybody does, or the very certificate of the server, as PEM.",
            Kind::Value {
                name: "FILE",
                accepted: "the path of a PEM file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.ca = Some(path)),
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "http-port",
            "Where plain HTTP is tried; off for nowhere.",
            Kind::Value {
                name: "PORT|off",
                accepted: "off, or a port from 1 to 65535",
                default: Some("80"),
                set: |arguments, value| {
                    arguments.http_port = match value.to_str()? {
                        "off" => None,
                        port => Some(value::whole_number(port).filter(|&port| port > 0)?),
                    };
                    Some(())
                },
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "connect",
            "The address to connect to, instead of looking up the host of the URL; with a port, that port instead of the \
             URL's.",
            Kind::Value {
                name: "ADDR[:PORT]",
                accepted: "an address, with a port or without: 192.0.2.1, [2001:db8::1]:8443",
                default: None,
                set: |arguments, value| {
                    value::address(value.to_str()?).map(|address| arguments.connect = Some(address))
                },
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "source",
            "The tree that is looked through, or a file.",
            Kind::Value {
                name: "DIR",
                accepted: "the path of a folder or a file",
                default: None,
                set: |arguments, value| path(value).map(|path| arguments.source = Some(path)),
            },
        )
    },
    Opt {
        of: &[Command::Check],
        many: true,
        ..Opt::new(
            "host",
            "A host that serves HTTPS: plain HTTP to it is an error, and --fix rewrites it. May be given several times.",
            Kind::Value {
                name: "HOST",
                accepted: "a name or an address, without scheme and port",
                default: None,
                set: |arguments, value| {
                    let host = text(value).filter(|host| !host.contains([':', '/']) || host.parse::<IpAddr>().is_ok())?;
                    arguments.hosts.push(host);
                    Some(())
                },
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "fix",
            "Show the difference that makes http:// of the named hosts https://, and write it if that is confirmed at the \
             terminal. What has a port or a user in it, and test code, is left alone.",
            Kind::Flag(|arguments| arguments.fix = true),
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new("yes", "With --fix: write without asking.", Kind::Flag(|arguments| arguments.yes = true))
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "explain",
            "Say all about a kind of finding, or list all kinds.",
            Kind::Value {
                name: "ID|all",
                accepted: "the id of a finding, or all",
                default: None,
                set: |arguments, value| text(value).map(|id| arguments.explain = Some(id)),
            },
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "schema",
            "Write the JSON Schema of what --json writes, and check nothing.",
            Kind::Flag(|arguments| arguments.schema = true),
        )
    },
    Opt {
        of: &[Command::Check],
        ..Opt::new(
            "sarif",
            "Write SARIF 2.1.0 for code scanning instead of text for people.",
            Kind::Flag(|arguments| arguments.sarif = true),
        )
    },
    Opt {
        of: &[Command::CertShow, Command::CertStatus, Command::Check],
        ..Opt::new(
            "json",
            "Write JSON for programs instead of text for people.",
            Kind::Flag(|arguments| arguments.json = true),
        )
    },
    Opt {
        of: &[Command::Demo],
        ..Opt::new(
            "dir",
            "Where the demo's authority and certificate are kept, and made when they are not there.",
            Kind::Value {
                name: "DIR",
                accepted: "the path of a folder",
                default: Some("certs"),
                set: |arguments, value| path(value).map(|path| arguments.dir = path),
            },
        )
    },
    Opt {
        of: &[Command::Serve, Command::Demo, Command::Check],
        ..Opt::new(
        "https",
        "Where HTTPS is served. A port alone stands for all of this machine's addresses, 0 \
         for any free port.",
        Kind::Value {
            name: "[ADDR:]PORT",
            accepted: value::LISTEN,
            default: Some("[::]:8443"),
            set: |arguments, value| Listen::parse(value.to_str()?).map(|listen| arguments.https = listen),
        },    )
    },

    Opt {
        of: &[Command::Serve, Command::Demo, Command::Check],
        ..Opt::new(
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
        },    )
    },

    Opt::new(
        "public-name",
        "The host that redirects lead to, whatever host the request names. Without it, the \
         request's own host if the certificate is for it.",
        Kind::Value {
            name: "HOST",
            accepted: "a name or an address, without scheme and port",
            default: None,
            set: |arguments, value| text(value).map(|name| arguments.public_name = Some(name)),
        },
    ),
    Opt::new(
        "public-port",
        "The port that redirects lead to, where clients see another one than this server \
         (port forwarding). Without it, the port of --https.",
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
    ),
    Opt::new(
        "http-credentials",
        "What a request that carries credentials over plain HTTP gets: a redirect and a \
         warning in the log, or 403, so that the leak shows at once.",
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
    ),
    Opt {
        many: true,
        ..Opt::new(
            "credential-header",
            "A further header that carries credentials, beside Authorization, \
             Proxy-Authorization, Cookie, X-Api-Key and others of that kind. May be given several times.",
            Kind::Value {
                name: "NAME",
                accepted: "the name of a header, such as X-Device-Token",
                default: None,
                set: |arguments, value| text(value).map(|name| arguments.credential_headers.push(name)),
            },
        )
    },
    Opt::new(
        "field-names",
        "How the names of fields are written in responses, redirects too: content-length, or Content-Length for small \
         clients that compare them letter by letter.",
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
    ),
    Opt::new(
        "tls-record-bytes",
        "The largest TLS record that is sent, from 128 to 16KiB in all, for clients with small buffers. Without it, what \
         TLS allows: 16 KiB of content.",
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
    ),
    Opt {
        of: Command::ALL,
        short: Some('v'),
        ..Opt::new(
            "verbose",
            "Log more: debug; given twice, trace. RUST_LOG, when it is set, decides instead.",
            Kind::Flag(|arguments| {
                arguments.verbosity = arguments.verbosity.saturating_add(1);
            }),
        )
    },
    Opt {
        of: Command::ALL,
        short: Some('q'),
        ..Opt::new(
            "quiet",
            "Log less: warnings and errors, and no requests; twice, errors; three times, nothing.",
            Kind::Flag(|arguments| {
                arguments.verbosity = arguments.verbosity.saturating_sub(1);
            }),
        )
    },
    Opt {
        of: Command::ALL,
        short: Some('h'),
        ..Opt::new("help", "This text.", Kind::Flag(|arguments| arguments.help = true))
    },
];

/// An option for every field of [`Limits`], named as the field.
pub(super) const LIMITS: &[Opt] = &[
    Opt::new(
        "connections",
        "Open HTTPS connections; then one that has stalled, the longest-idle or the slowest makes room. Never more than the \
         open-file limit leaves.",
        Kind::Count(|l| &mut l.connections),
    ),
    Opt::new(
        "connections-per-address",
        "Open HTTPS connections from one address, an IPv6 address counted by its /64 and, ten times as many, by its /48.",
        Kind::Count(|l| &mut l.connections_per_address),
    ),
    Opt::new(
        "count-loopback",
        "Count this machine's own connections, requests and uploads per address too.",
        Kind::Switch(|l| &mut l.count_loopback),
    ),
    Opt::new(
        "requests-per-address",
        "Requests a second from one address, 0 for no limit; more get 429.",
        Kind::Count(|l| &mut l.requests_per_address),
    ),
    Opt::new(
        "redirect-connections",
        "Open connections to the redirect's port; then the oldest makes room.",
        Kind::Count(|l| &mut l.redirect_connections),
    ),
    Opt::new(
        "workers",
        "Worker threads active at a time. Without it, one per core.",
        Kind::Count(|l| &mut l.workers),
    ),
    Opt::new(
        "reserve-workers",
        "Further worker threads, started when handlers block. At most half of them may be inside readers of streamed \
         responses; one more gets 503.",
        Kind::Count(|l| &mut l.reserve_workers),
    ),
    Opt::new(
        "queue-requests",
        "Requests that may wait for a worker; one more gets 503.",
        Kind::Count(|l| &mut l.queue_requests),
    ),
    Opt::new(
        "queue-timeout",
        "How long a request may wait for a worker before it gets 503.",
        Kind::Time(|l| &mut l.queue_timeout),
    ),
    Opt::new(
        "stall-timeout",
        "How long a head may take, and a body or a response may be slow, before its connection makes room for another \
         one when all places are taken.",
        Kind::Time(|l| &mut l.stall_timeout),
    ),
    Opt::new(
        "handshake-timeout",
        "From the accepted connection to the end of the TLS handshake.",
        Kind::Time(|l| &mut l.handshake_timeout),
    ),
    Opt::new(
        "head-timeout",
        "From a request's first byte to the end of its head; else 408.",
        Kind::Time(|l| &mut l.head_timeout),
    ),
    Opt::new(
        "body-timeout",
        "From the head's end to the body's end, prolonged by --body-min-rate; else 408.",
        Kind::Time(|l| &mut l.body_timeout),
    ),
    Opt::new(
        "body-min-rate",
        "Bytes a second that prolong --body-timeout.",
        Kind::LongSize(|l| &mut l.body_min_rate),
    ),
    Opt::new(
        "idle-timeout",
        "Between a response and the next request on a kept-alive connection.",
        Kind::Time(|l| &mut l.idle_timeout),
    ),
    Opt::new(
        "write-timeout",
        "For a response: without any progress, and in all while the client is waited for, prolonged by --write-min-rate.",
        Kind::Time(|l| &mut l.write_timeout),
    ),
    Opt::new(
        "write-min-rate",
        "Bytes a second that prolong --write-timeout.",
        Kind::LongSize(|l| &mut l.write_min_rate),
    ),
    Opt::new(
        "drain-timeout",
        "From the wish to stop to the end, whatever is still open.",
        Kind::Time(|l| &mut l.drain_timeout),
    ),
    Opt::new(
        "head-bytes",
        "A request's head; a larger one gets 431, or 414.",
        Kind::Size(|l| &mut l.head_bytes),
    ),
    Opt::new(
        "head-fields",
        "Fields in a request's head, at most 256; more get 431.",
        Kind::Count(|l| &mut l.head_fields),
    ),
    Opt::new("body-bytes", "A request's body; a larger one gets 413.", Kind::LongSize(|l| &mut l.body_bytes)),
    Opt::new(
        "body-buffer-bytes",
        "Up to this size a body is read before the handler is called, and holds no worker \
         meanwhile.",
        Kind::Size(|l| &mut l.body_buffer_bytes),
    ),
    Opt::new(
        "body-memory-bytes",
        "Memory for the bodies being received on all connections; then 503.",
        Kind::Size(|l| &mut l.body_memory_bytes),
    ),
    Opt::new(
        "streaming-bodies",
        "Handlers that may be reading larger bodies at a time.",
        Kind::Count(|l| &mut l.streaming_bodies),
    ),
    Opt::new(
        "streaming-bodies-per-address",
        "How many of those may be reading from one address; then 429.",
        Kind::Count(|l| &mut l.streaming_bodies_per_address),
    ),
];

/// All options of all commands, those that users meet first in front.
pub(super) fn all() -> impl Iterator<Item = &'static Opt> {
    GENERAL.iter().chain(obtain::OPTIONS).chain(LIMITS)
}

/// The options of one command.
pub(super) fn of(command: Command) -> impl Iterator<Item = &'static Opt> {
    all().filter(move |option| option.is_of(command))
}

/// The option for a setting of the library, which has the same name with `_` for `-`.
pub(super) fn named_as_setting(setting: &str) -> Option<&'static Opt> {
    let name = setting.replace('_', "-");
    all().find(|option| option.name == name)
}

impl Opt {
    /// An option of the commands that serve.
    pub(super) const fn new(name: &'static str, help: &'static str, kind: Kind) -> Opt {
        Opt { name, short: None, of: Command::SERVING, many: false, kind, help }
    }

    pub(super) fn is_of(&self, command: Command) -> bool {
        self.of.contains(&command)
    }

    /// Whether a file with settings and the environment may say it too.
    pub(super) fn may_stand_in_a_file(&self) -> bool {
        !matches!(self.name, "config" | "help" | "quiet" | "verbose")
    }

    /// Whether this is how it stands on the command line: `--name`, or `-n`.
    pub(super) fn is_spelled(&self, spelling: &str) -> bool {
        match spelling.strip_prefix("--") {
            Some(name) => name == self.name,
            None => self.short.is_some_and(|letter| spelling == format!("-{letter}")),
        }
    }

    /// What stands for its value in the help; `None` when it takes none.
    pub(super) fn value_name(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Count(_) => Some("N"),
            Kind::Size(_) | Kind::LongSize(_) => Some("SIZE"),
            Kind::Time(_) => Some("TIME"),
            Kind::Value { name, .. } => Some(name),
            Kind::Switch(_) | Kind::Flag(_) => None,
        }
    }

    /// What it accepts, for an error message.
    pub(super) fn accepted(&self) -> &'static str {
        match self.kind {
            Kind::Count(_) => value::COUNT,
            Kind::Size(_) | Kind::LongSize(_) => value::SIZE,
            Kind::Time(_) => value::TIME,
            Kind::Value { accepted, .. } => accepted,
            Kind::Switch(_) | Kind::Flag(_) => "no value",
        }
    }

    /// Its default, with the unit.
    pub(super) fn default(&self) -> Option<String> {
        let mut limits = Limits::default();
        match self.kind {
            Kind::Count(field) => Some(field(&mut limits).to_string()),
            Kind::Size(field) => u64::try_from(*field(&mut limits)).ok().map(value::show_size),
            Kind::LongSize(field) => Some(value::show_size(*field(&mut limits))),
            Kind::Time(field) => Some(value::show_time(*field(&mut limits))),
            Kind::Value { default, .. } => default.map(String::from),
            Kind::Switch(_) | Kind::Flag(_) => None,
        }
    }

    /// Turns on what takes no value.
    pub(super) fn turn_on(&self, arguments: &mut Arguments) {
        match self.kind {
            Kind::Switch(field) => *field(&mut arguments.limits) = true,
            Kind::Flag(set) => set(arguments),
            Kind::Count(_) | Kind::Size(_) | Kind::LongSize(_) | Kind::Time(_) | Kind::Value { .. } => {}
        }
    }

    /// Takes a value; `None` when it is not one that is accepted.
    pub(super) fn take(&self, arguments: &mut Arguments, given: OsString) -> Option<()> {
        let limits = &mut arguments.limits;
        match self.kind {
            Kind::Count(field) => *field(limits) = value::whole_number(given.to_str()?)?,
            Kind::Size(field) => *field(limits) = usize::try_from(value::size(given.to_str()?)?).ok()?,
            Kind::LongSize(field) => *field(limits) = value::size(given.to_str()?)?,
            Kind::Time(field) => *field(limits) = value::time(given.to_str()?)?,
            Kind::Value { set, .. } => set(arguments, given)?,
            Kind::Switch(_) | Kind::Flag(_) => return None,
        }
        Some(())
    }
}

pub(super) fn path(value: OsString) -> Option<std::path::PathBuf> {
    (!value.is_empty()).then(|| value.into())
}

pub(super) fn text(value: OsString) -> Option<String> {
    value.into_string().ok().filter(|text| !text.is_empty())
}
