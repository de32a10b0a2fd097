//! The builder's methods for a server that a service manager runs, or that is one of several.

use std::net::TcpListener;
use std::path::PathBuf;

use super::builder::ServerBuilder;

impl ServerBuilder {
    /// The file of the keys of session tickets that several servers share ([`TicketKeys`](crate::TicketKeys)). A client that was
    /// at one of them resumes its session at another, which saves both the signatures, and the client a round trip in TLS 1.2.
    /// `lockgate ticket-keys new FILE` makes the file. It is read again when it changes and at
    /// [`Handle::reload`](crate::Handle::reload); if it cannot be used then, the old keys stay, with an error in the log. A file
    /// that others than its owner may read is warned of, as for a private key. Defaults to keys of this server alone, which it
    /// makes anew every 6 hours and with each renewal.
    ///
    /// ```no_run
    /// # fn serve(server: lockgate::ServerBuilder) -> Result<(), lockgate::Error> {
    /// server.ticket_keys("/etc/lockgate/ticket-keys").bind()?.run()
    /// # }
    /// ```
    ///
    /// Sessions resume only between servers with certificates for the same names, which the same authority has issued, and with
    /// the same [`client_auth`](ServerBuilder::client_auth), revocation lists included. Each server may have a key and a
    /// certificate of its own. The same certificate served with its issuers and without them is not alike, so give all servers
    /// chains of the same length; a certificate without authorityKeyIdentifier is alike only with itself. A renewed certificate ends
    /// no session; if a private key was stolen, make new ticket keys too. A ticket is good for 12 hours, if the servers' clocks agree.
    pub fn ticket_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.service.ticket_keys = Some(file.into());
        self
    }

    /// A listening socket for HTTPS that was opened elsewhere, in place of the address of [`https`](ServerBuilder::https). With
    /// [`PassedSockets`](crate::PassedSockets) it is the service manager's, and so no client is refused while the program restarts.
    ///
    /// A server that stops leaves the connections that it has not accepted to the next process with this socket. They wait until then,
    /// for [`Limits::drain_timeout`](crate::Limits::drain_timeout) at most if the next process starts as this one ends. It accepts only
    /// while it runs, so whoever opened the socket has to keep it open. The socket becomes non-blocking.
    /// [`bind`](ServerBuilder::bind) fails with [`Error::Setting`](crate::Error::Setting) if it is not a listening TCP socket.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use lockgate::{Router, Server};
    ///
    /// let socket = TcpListener::bind("127.0.0.1:0")?;
    /// let builder = Server::builder(Router::new()).https_listener(socket.try_clone()?);
    /// # let _ = builder;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn https_listener(mut self, socket: TcpListener) -> Self {
        self.service.https = Some(socket);
        self
    }

    /// As [`https_listener`](ServerBuilder::https_listener), for the port of [`redirect_http`](ServerBuilder::redirect_http).
    pub fn redirect_listener(mut self, socket: TcpListener) -> Self {
        self.plain.set_listener(socket);
        self
    }

    /// Tells the service manager that has started the program how the server does (sd_notify(3); systemd: `Type=notify` or
    /// `notify-reload`): that it serves, reloads and stops, and in a few words what it does. The environment says where
    /// (`NOTIFY_SOCKET`); without it, nothing is done.
    ///
    /// With `WatchdogSec=` it also says, three times in that period, that the server goes on: each time the poller has to wake and
    /// to watch its sockets again. A handler that blocks does not keep it from that; a deadlock or a lost poller does, and then
    /// systemd ends the program and starts it again. Defaults to telling nobody.
    pub fn notify_service_manager(mut self) -> Self {
        self.service.notifies = true;
        self
    }

    /// Where those who watch the server ask it: an address with a port, such as `127.0.0.1:9090`, or `unix:PATH`. With the feature
    /// `operations`. Plain HTTP is spoken there, without TLS and without a login, so the address has to be one of this machine
    /// alone, or [`admin_anywhere`](ServerBuilder::admin_anywhere) allows it. A Unix socket is for its user and its group
    /// (0660). A file that a server which has crashed left there is replaced.
    ///
    /// It answers `/healthz`, `/readyz`, `/metrics` and `/health`: see [metrics](crate::metrics).
    ///
    /// It has a thread of its own, and answers while all workers and all connections are taken. A request for a host that is neither
    /// an address, nor a name without a dot, nor a name of the certificate gets 421, because a page in a browser could make it
    /// (DNS rebinding). Defaults to no such listener.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lockgate::{Router, Server};
    ///
    /// let builder = Server::builder(Router::new()).admin("127.0.0.1:9090").ready_grace(Duration::from_secs(10));
    /// # let _ = builder;
    /// ```
    pub fn admin(mut self, address: impl Into<String>) -> Self {
        self.watched.admin = Some(address.into());
        self
    }

    /// Allows [`admin`](ServerBuilder::admin) on an address that other machines can reach, as the probes of Kubernetes need. Everyone
    /// who reaches it can read what is there, and nobody can change anything. With the feature `operations`.
    pub fn admin_anywhere(mut self) -> Self {
        self.watched.anywhere = true;
        self
    }

    /// How long the server goes on as before between [`Handle::stop_after_grace`](crate::Handle::stop_after_grace) and the stop. With
    /// the feature `operations`. `/readyz` answers 503 from the beginning, so that balancers send it no more connections; it has to
    /// last until all of them have asked and acted. In its second half each response closes its connection. Together with
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout) it has to be shorter than what ends the program by force:
    /// `terminationGracePeriodSeconds` of Kubernetes, `TimeoutStopSec` of systemd. Defaults to 0.
    pub fn ready_grace(mut self, time: std::time::Duration) -> Self {
        self.watched.ready_grace = time;
        self
    }

    /// Adds the lines that the program's own logger could not write to the [metrics](crate::metrics), for a logger that drops lines
    /// when nobody takes them. The function returns how many there are since the start; it is called for each scrape, and must not
    /// wait. With the feature `operations`.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use lockgate::{Router, Server};
    ///
    /// static DROPPED: AtomicU64 = AtomicU64::new(0);
    ///
    /// let builder = Server::builder(Router::new()).dropped_log_lines(|| DROPPED.load(Ordering::Relaxed));
    /// ```
    pub fn dropped_log_lines(mut self, count: fn() -> u64) -> Self {
        self.watched.dropped_log_lines = Some(count);
        self
    }

    /// Adds the targets of a proxy to the [metrics](crate::metrics) and to the server's [`Health`](crate::Health), under this name: an
    /// ejected one is a warning there. Whether the server is [ready](crate::Handle::is_ready) does not follow from them. With the
    /// features `operations` and `proxy`. What the log says of its backends counts as notices of the metrics. Settings of the proxy
    /// are made before. [`bind`](ServerBuilder::bind) fails with [`Error::Setting`](crate::Error::Setting) if
    /// two proxies have the same name.
    ///
    /// ```
    /// use lockgate::{Proxy, Router, Server};
    ///
    /// let api = Proxy::to("http://127.0.0.1:3000")?.and_to("http://127.0.0.1:3001")?.at_a_time(64);
    /// let builder = Server::builder(Router::new().nest("/api", api.clone())).watch_proxy("api", &api);
    /// // lockgate_backend_up{proxy="api",backend="http://127.0.0.1:3000"} 1
    /// # let _ = builder;
    /// # Ok::<(), lockgate::Error>(())
    /// ```
    #[cfg(feature = "proxy")]
    pub fn watch_proxy(mut self, name: impl Into<String>, proxy: &crate::Proxy) -> Self {
        self.watched.proxies.push((name.into(), proxy.clone()));
        self
    }
}
