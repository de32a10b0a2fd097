//! The options of a server that is one of several: a table for each subject. `serve` has them, and `check` reads them in its settings.

use std::ffi::OsString;

use lockgate::Cidr;

use crate::command::option::{path, text, Kind, Opt};
use crate::command::value;

pub(in crate::command) const TITLE: &str = "One server of several";

/// The sessions that servers share.
pub(in crate::command) static TICKETS: &[&Opt] = &[&TICKET_KEYS];

static TICKET_KEYS: Opt = Opt::new(
    "ticket-keys",
    "The keys of session tickets, the same file on several servers: each resumes the sessions of \
     the others. lockgate ticket-keys makes it. It is read again when it changes. Without it, keys \
     of this server alone.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a file that lockgate ticket-keys new has made",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.ticket_keys = Some(path)),
    },
);

/// How others watch it, and learn that it leaves.
pub(in crate::command) static WATCHED: &[&Opt] = &[&ADMIN, &ADMIN_ANYWHERE, &READY_GRACE];

static ADMIN: Opt = Opt::new(
    "admin",
    "Where those who watch ask over plain HTTP: /healthz, /readyz, /metrics for Prometheus, and \
     /health. An address of this machine alone, or the path of a Unix socket for this user and \
     its group. Without it, nowhere.",
    Kind::Value {
        name: "ADDR:PORT|unix:PATH",
        accepted: "an address and a port, such as 127.0.0.1:9090, or unix:/run/lockgate/admin.sock",
        default: None,
        set: |arguments, value| text(value).map(|address| arguments.watched.admin = Some(address)),
    },
);

static ADMIN_ANYWHERE: Opt = Opt::new(
    "admin-anywhere",
    "Let --admin be an address that other machines reach, as Kubernetes needs. There is no TLS \
     and no login: everyone who reaches it can read it.",
    Kind::Flag(|arguments| arguments.watched.anywhere = true),
);

static READY_GRACE: Opt = Opt::new(
    "ready-grace",
    "How long a SIGTERM leaves the server serving while /readyz already says 503, so that \
     balancers send no more. A second one ends it. With --drain-timeout it must be shorter than \
     what ends the program by force (TimeoutStopSec, terminationGracePeriodSeconds).",
    Kind::Value {
        name: "TIME",
        accepted: value::TIME,
        default: Some("0s"),
        set: |arguments, given| value::time(given.to_str()?).map(|time| arguments.watched.ready_grace = time),
    },
);

pub(in crate::command) const BEHIND: &str = "Behind a balancer or a proxy";

/// What the help says before these options.
pub(in crate::command) const BEHIND_NOTE: &str = "\
  CIDR is a network, 10.1.0.0/28 or 2001:db8::/64, or one address. Name balancers only: who is
  named may claim any address for its clients.
";

/// Who may speak for clients.
pub(in crate::command) static BALANCERS: &[&Opt] = &[&PROXY_FROM, &TRUST_FORWARDED];

const NETWORK: &str = "a network, or one address: 10.1.0.0/28, 192.0.2.7, 2001:db8::/64";

static PROXY_FROM: Opt = Opt::new(
    "proxy-from",
    "Connections from here, to both ports, begin with a header of the PROXY protocol (version 1 or \
     2), and no others do. The client that it names counts for limits and logs. May be given several \
     times.",
    Kind::Value {
        name: "CIDR",
        accepted: NETWORK,
        default: None,
        set: |arguments, value| network(value).map(|network| arguments.proxy_from.push(network)),
    },
)
.repeated();

static TRUST_FORWARDED: Opt = Opt::new(
    "trust-forwarded",
    "Requests from here tell their client in Forwarded, or X-Forwarded-For, -Proto and -Host, and \
     their id in X-Request-Id; from others these are ignored. That client counts for limits on \
     requests and for logs. May be given several times.",
    Kind::Value {
        name: "CIDR",
        accepted: NETWORK,
        default: None,
        set: |arguments, value| network(value).map(|network| arguments.trust_forwarded.push(network)),
    },
)
.repeated();

fn network(value: OsString) -> Option<Cidr> {
    value.to_str()?.parse().ok()
}
