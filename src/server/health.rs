//! The health of a running server: its certificates, its redirect, and the use of connections and workers. Plain values for a
//! device to serve or show, without anything of a key. [`Handle::health`](super::handle::Handle::health) makes them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{json, Value};

use crate::calendar::{signed_unix, unix};
use crate::finding::{Finding, Severity};
use crate::tls::{Expiry, Identity};

/// The health of a server at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// When.
    pub at: SystemTime,
    /// Each identity in use, the default first.
    pub identities: Vec<IdentityHealth>,
    /// The pairs of [`add_pem_files`](crate::ServerBuilder::add_pem_files) that could not be used and are not served.
    pub missing: Vec<MissingIdentity>,
    /// Why the files of [`ClientAuth`](crate::ClientAuth) could not be read again, if the last attempt failed. The server then
    /// uses their older contents.
    pub clients_failure: Option<IdentityFailure>,
    /// Why the file of [`ticket_keys`](crate::ServerBuilder::ticket_keys) could not be read again, if the last attempt failed. The
    /// server then uses its older keys.
    #[cfg(feature = "operations")]
    pub ticket_keys_failure: Option<IdentityFailure>,
    /// The targets of the proxies that [`watch_proxy`](crate::ServerBuilder::watch_proxy) has named, in the order in which they were
    /// given. With the features `operations` and `proxy`. Whether the server is [ready](crate::Handle::is_ready) does not follow from
    /// them.
    #[cfg(all(feature = "operations", feature = "proxy"))]
    pub backends: Vec<BackendHealth>,
    /// Whether plain HTTP is answered with redirects.
    pub redirect: RedirectHealth,
    /// HTTPS connections that are open.
    pub connections: usize,
    /// How many connections may be open: [`Limits::connections`](crate::Limits::connections), or what the open-file limit
    /// allows.
    pub most_connections: usize,
    /// Workers inside a handler, including the one that calls this.
    pub workers: usize,
    /// How many workers there may be: [`Limits::workers`](crate::Limits::workers) and
    /// [`Limits::reserve_workers`](crate::Limits::reserve_workers) together.
    pub most_workers: usize,
    /// Handlers that have taken longer than their [`handler_timeout`](crate::Router::handler_timeout), and have not returned. Each
    /// holds a worker.
    pub late_handlers: usize,
    /// Whether the server was asked to stop.
    pub is_draining: bool,
}

/// The health of one identity.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentityHealth {
    /// The DNS names that the certificate is for.
    pub dns_names: Vec<String>,
    /// The certificate's first second.
    pub not_before: SystemTime,
    /// The certificate's last second.
    pub not_after: SystemTime,
    /// How much of its life is left.
    pub expiry: Expiry,
    /// What clients object to, the worst first. Files are not read for this.
    pub findings: Vec<Finding>,
    /// Why the last attempt to renew or reload it failed, if it did.
    pub failure: Option<IdentityFailure>,
}

/// A certificate and its key that could not be used. It is served once it can be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MissingIdentity {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
    /// Why it could not be used at the last attempt.
    pub failure: IdentityFailure,
}

/// A failed attempt. It is forgotten when a later one succeeds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdentityFailure {
    /// When.
    pub at: SystemTime,
    /// What was wrong, as it stands in the log.
    pub error: String,
}

/// The health of one target of a proxy. With the features `operations` and `proxy`. [`Proxy::health`](crate::Proxy::health) tells
/// more.
#[cfg(all(feature = "operations", feature = "proxy"))]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackendHealth {
    /// The name that the proxy was given.
    pub proxy: String,
    /// The target, as it was given to [`Proxy::to`](crate::Proxy::to) or [`Proxy::and_to`](crate::Proxy::and_to).
    pub name: String,
    /// Until when it gets no requests, if it is ejected, as [`TargetHealth::ejected_until`](crate::TargetHealth::ejected_until).
    pub ejected_until: Option<SystemTime>,
}

/// The state of the redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectHealth {
    /// There is none.
    Off,
    /// The server is not running yet.
    Waiting,
    /// It answers.
    Running,
    /// It has ended, because the server stops or because the redirect failed.
    Down,
}

/// The redirect's state, shared by threads.
#[derive(Debug, Default)]
pub(crate) struct RedirectState(AtomicU8);

impl RedirectState {
    const RUNNING: u8 = 1;
    const DOWN: u8 = 2;

    /// Marks the redirect as running, until the returned value is dropped.
    pub(super) fn run(self: Arc<Self>) -> RedirectRuns {
        self.0.store(RedirectState::RUNNING, Ordering::SeqCst);
        RedirectRuns(self)
    }

    pub(super) fn health(&self) -> RedirectHealth {
        match self.0.load(Ordering::SeqCst) {
            RedirectState::RUNNING => RedirectHealth::Running,
            RedirectState::DOWN => RedirectHealth::Down,
            _ => RedirectHealth::Waiting,
        }
    }
}

/// The redirect's thread holds it, so that any end of the thread is noticed.
pub(super) struct RedirectRuns(Arc<RedirectState>);

impl Drop for RedirectRuns {
    fn drop(&mut self) {
        self.0 .0.store(RedirectState::DOWN, Ordering::SeqCst);
    }
}

impl Health {
    /// The worst severity: an error for a certificate that clients refuse or that could not be used, and for a redirect that
    /// has failed; a warning for a certificate that expires soon, for a failed renewal or reload, for a late handler, and while
    /// a watched backend is ejected. `None` and notes are good.
    pub fn worst(&self) -> Option<Severity> {
        let of_identities = self.identities.iter().flat_map(IdentityHealth::severities);
        let of_clients = self.clients_failure.iter().map(|_| Severity::Warning);
        #[cfg(feature = "operations")]
        let of_clients = of_clients.chain(self.ticket_keys_failure.iter().map(|_| Severity::Warning));
        #[cfg(all(feature = "operations", feature = "proxy"))]
        let of_clients = of_clients
            .chain(self.backends.iter().filter(|one| one.ejected_until.is_some()).map(|_| Severity::Warning));
        let is_down = self.redirect == RedirectHealth::Down && !self.is_draining;
        let is_error = is_down || !self.missing.is_empty();
        let of_handlers = (self.late_handlers > 0).then_some(Severity::Warning);
        let of_server = of_handlers.into_iter().chain(is_error.then_some(Severity::Error));
        of_identities.chain(of_clients).chain(of_server).max()
    }

    /// The health as JSON. Members keep their meaning as long as `schema` is `lockgate.health/1`. Members may be added.
    ///
    /// | member | what it is |
    /// |---|---|
    /// | `schema` | `lockgate.health/1` |
    /// | `at` | seconds since 1970-01-01 UTC |
    /// | `status` | `good`, `warning` or `error`: the worst of it |
    /// | `identities` | of each `dns_names`, `not_before`, `not_after`, `seconds_left`, `expiry` (`distant`, `due`, `imminent`, `expired`), `findings` (`id`, `severity`, `place`, `seen`, `fix`), `failure` (`at` and `error`, or null) |
    /// | `missing` | of each pair that could not be used `certificate`, `key` (paths), `at` and `error` |
    /// | `clients_failure` | `at` and `error`, or null |
    /// | `ticket_keys_failure` | `at` and `error`, or null; with the feature `operations` |
    /// | `backends` | of each target of a watched proxy `proxy`, `name`, `used` (false while it is ejected) and `ejected_until` (or null); with the features `operations` and `proxy` |
    /// | `redirect` | `off`, `waiting`, `running` or `down` |
    /// | `connections` | `open` and `most` |
    /// | `workers` | `busy` and `most`, and how many of the busy ones are `late` |
    /// | `draining` | whether it has been told to stop |
    pub fn to_json(&self) -> Value {
        let status = match self.worst() {
            Some(Severity::Error) => "error",
            Some(Severity::Warning) => "warning",
            Some(Severity::Note) | None => "good",
        };
        let redirect = match self.redirect {
            RedirectHealth::Off => "off",
            RedirectHealth::Waiting => "waiting",
            RedirectHealth::Running => "running",
            RedirectHealth::Down => "down",
        };
        #[cfg_attr(not(feature = "operations"), allow(unused_mut))]
        let mut health = json!({
            "schema": "lockgate.health/1",
            "at": unix(self.at),
            "status": status,
            "identities": self.identities.iter().map(|identity| identity.to_json(self.at)).collect::<Vec<_>>(),
            "missing": self.missing.iter().map(MissingIdentity::to_json).collect::<Vec<_>>(),
            "clients_failure": self.clients_failure.as_ref().map(IdentityFailure::to_json),
            "redirect": redirect,
            "connections": {"open": self.connections, "most": self.most_connections},
            "workers": {"busy": self.workers, "most": self.most_workers, "late": self.late_handlers},
            "draining": self.is_draining,
        });
        #[cfg(feature = "operations")]
        {
            health["ticket_keys_failure"] =
                self.ticket_keys_failure.as_ref().map(IdentityFailure::to_json).into();
        }
        #[cfg(all(feature = "operations", feature = "proxy"))]
        {
            health["backends"] = self.backends.iter().map(BackendHealth::to_json).collect();
        }
        health
    }
}

impl IdentityHealth {
    pub(super) fn of(
        identity: &Identity,
        clock: SystemTime,
        failure: Option<IdentityFailure>,
    ) -> IdentityHealth {
        IdentityHealth {
            dns_names: identity.dns_names().to_vec(),
            not_before: identity.not_before(),
            not_after: identity.not_after(),
            expiry: identity.expiry(clock),
            findings: identity.findings(unix(clock)),
            failure,
        }
    }

    fn severities(&self) -> impl Iterator<Item = Severity> + '_ {
        let failed = self.failure.iter().map(|_| Severity::Warning);
        self.findings.iter().map(Finding::severity).chain(failed)
    }

    fn to_json(&self, at: SystemTime) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "id": finding.id(),
                "severity": finding.severity().name(),
                "place": finding.place(),
                "seen": finding.seen(),
                "fix": finding.fix(),
            })
        };
        let expiry = match self.expiry {
            Expiry::Distant => "distant",
            Expiry::Due => "due",
            Expiry::Imminent => "imminent",
            Expiry::Expired => "expired",
        };
        json!({
            "dns_names": self.dns_names,
            "not_before": signed_unix(self.not_before),
            "not_after": signed_unix(self.not_after),
            "seconds_left": signed_unix(self.not_after).saturating_sub(unix(at)),
            "expiry": expiry,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "failure": self.failure.as_ref().map(IdentityFailure::to_json),
        })
    }
}

#[cfg(all(feature = "operations", feature = "proxy"))]
impl BackendHealth {
    /// The targets of these proxies.
    pub(super) fn of(proxies: &[(String, crate::Proxy)]) -> Vec<BackendHealth> {
        let mut backends = Vec::new();
        for (proxy, of) in proxies {
            for target in of.health().targets {
                let (name, ejected_until) = (target.name, target.ejected_until);
                backends.push(BackendHealth { proxy: proxy.clone(), name, ejected_until });
            }
        }
        backends
    }

    fn to_json(&self) -> Value {
        json!({
            "proxy": self.proxy,
            "name": self.name,
            "used": self.ejected_until.is_none(),
            "ejected_until": self.ejected_until.map(unix),
        })
    }
}

impl MissingIdentity {
    fn to_json(&self) -> Value {
        json!({
            "certificate": self.certificate.display().to_string(),
            "key": self.key.display().to_string(),
            "at": unix(self.failure.at),
            "error": self.failure.error,
        })
    }
}

impl IdentityFailure {
    pub(super) fn now(error: impl ToString) -> IdentityFailure {
        IdentityFailure { at: SystemTime::now(), error: error.to_string() }
    }

    fn to_json(&self) -> Value {
        json!({"at": unix(self.at), "error": self.error})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health {
            at: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000),
            identities: Vec::new(),
            missing: Vec::new(),
            clients_failure: None,
            #[cfg(feature = "operations")]
            ticket_keys_failure: None,
            #[cfg(all(feature = "operations", feature = "proxy"))]
            backends: Vec::new(),
            redirect: RedirectHealth::Off,
            connections: 1,
            most_connections: 2,
            workers: 3,
            most_workers: 4,
            late_handlers: 0,
            is_draining: false,
        }
    }

    #[test]
    fn the_worst_of_it_is_its_status() {
        let good = health();
        assert_eq!(good.worst(), None);
        assert_eq!(good.to_json()["status"], "good");
        let failure = IdentityFailure::now("it is on purpose");
        let clients = Health { clients_failure: Some(failure.clone()), ..health() };
        assert_eq!(clients.to_json()["status"], "warning");
        assert_eq!(clients.to_json()["clients_failure"]["error"], "it is on purpose");
        let pair = MissingIdentity { certificate: "c.pem".into(), key: "k.pem".into(), failure };
        assert_eq!(Health { missing: vec![pair], ..health() }.to_json()["status"], "error");
        let late = Health { late_handlers: 2, ..health() }.to_json();
        assert_eq!((&late["status"], &late["workers"]["late"]), (&json!("warning"), &json!(2)));
        #[cfg(all(feature = "operations", feature = "proxy"))]
        {
            let one = |until| BackendHealth { proxy: "p".into(), name: "n".into(), ejected_until: until };
            let backends =
                vec![one(None), one(Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7)))];
            assert_eq!(Health { backends: backends[..1].to_vec(), ..health() }.worst(), None);
            let ejected = Health { backends, ..health() }.to_json();
            assert_eq!(ejected["status"], "warning");
            assert_eq!(
                ejected["backends"],
                json!([
                    {"proxy": "p", "name": "n", "used": true, "ejected_until": null},
                    {"proxy": "p", "name": "n", "used": false, "ejected_until": 7},
                ])
            );
        }
        let down = Health { redirect: RedirectHealth::Down, ..health() };
        assert_eq!(down.to_json()["status"], "error");
        assert_eq!(Health { is_draining: true, ..down }.to_json()["status"], "good");
    }

    #[test]
    fn a_redirect_runs_until_its_thread_has_ended() {
        let state = Arc::new(RedirectState::default());
        assert_eq!(state.health(), RedirectHealth::Waiting);
        let runs = state.clone().run();
        assert_eq!(state.health(), RedirectHealth::Running);
        drop(runs);
        assert_eq!(state.health(), RedirectHealth::Down);
        for (redirect, name) in [
            (RedirectHealth::Off, "off"),
            (RedirectHealth::Waiting, "waiting"),
            (RedirectHealth::Running, "running"),
            (RedirectHealth::Down, "down"),
        ] {
            assert_eq!(Health { redirect, ..health() }.to_json()["redirect"], name);
        }
    }
}
