//! Names a limit that a client or a configuration has met. Refusals, cuts and deadlines carry it to the log line and to the
//! answer, so that each limit's name is spelt only here. Knows nothing but the names.

/// A field of [`Limits`](crate::Limits), or a limit of a [`Router`](crate::Router).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    Connections,
    ConnectionsPerAddress,
    RequestsPerAddress,
    RedirectConnections,
    Workers,
    ReserveWorkers,
    QueueRequests,
    QueueTimeout,
    StallTimeout,
    HandshakeTimeout,
    HeadTimeout,
    BodyTimeout,
    BodyMinRate,
    IdleTimeout,
    WriteTimeout,
    WriteMinRate,
    DrainTimeout,
    HeadBytes,
    HeadFields,
    BodyBytes,
    BodyBufferBytes,
    BodyMemoryBytes,
    StreamingBodies,
    StreamingBodiesPerAddress,
    /// [`Router::concurrent`](crate::Router::concurrent).
    Concurrent,
    /// [`Router::handler_timeout`](crate::Router::handler_timeout).
    #[cfg(feature = "handler-timeout")]
    HandlerTimeout,
}

impl Limit {
    /// Those by which a client is refused or cut.
    #[cfg(feature = "operations")]
    pub(crate) const OF_CLIENTS: &'static [Limit] = &[
        Limit::Connections,
        Limit::ConnectionsPerAddress,
        Limit::RequestsPerAddress,
        Limit::ReserveWorkers,
        Limit::QueueRequests,
        Limit::QueueTimeout,
        Limit::HandshakeTimeout,
        Limit::HeadTimeout,
        Limit::BodyTimeout,
        Limit::BodyMinRate,
        Limit::IdleTimeout,
        Limit::WriteTimeout,
        Limit::WriteMinRate,
        Limit::HeadBytes,
        Limit::HeadFields,
        Limit::BodyBytes,
        Limit::BodyMemoryBytes,
        Limit::StreamingBodies,
        Limit::StreamingBodiesPerAddress,
        Limit::Concurrent,
        #[cfg(feature = "handler-timeout")]
        Limit::HandlerTimeout,
    ];

    /// The name of the field or the method. The command's option and its line in a configuration file use hyphens instead of underscores.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionsPerAddress => "connections_per_address",
            Limit::RequestsPerAddress => "requests_per_address",
            Limit::RedirectConnections => "redirect_connections",
            Limit::Workers => "workers",
            Limit::ReserveWorkers => "reserve_workers",
            Limit::QueueRequests => "queue_requests",
            Limit::QueueTimeout => "queue_timeout",
            Limit::StallTimeout => "stall_timeout",
            Limit::HandshakeTimeout => "handshake_timeout",
            Limit::HeadTimeout => "head_timeout",
            Limit::BodyTimeout => "body_timeout",
            Limit::BodyMinRate => "body_min_rate",
            Limit::IdleTimeout => "idle_timeout",
            Limit::WriteTimeout => "write_timeout",
            Limit::WriteMinRate => "write_min_rate",
            Limit::DrainTimeout => "drain_timeout",
            Limit::HeadBytes => "head_bytes",
            Limit::HeadFields => "head_fields",
            Limit::BodyBytes => "body_bytes",
            Limit::BodyBufferBytes => "body_buffer_bytes",
            Limit::BodyMemoryBytes => "body_memory_bytes",
            Limit::StreamingBodies => "streaming_bodies",
            Limit::StreamingBodiesPerAddress => "streaming_bodies_per_address",
            Limit::Concurrent => "concurrent",
            #[cfg(feature = "handler-timeout")]
            Limit::HandlerTimeout => "handler_timeout",
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
