//! The setting for requests with credentials in clear. A plain value: a program chooses it, and `answer` follows it.

/// What the redirect does with a request that carries credentials over plain HTTP, where anyone on the way can read them.
///
/// Credentials are fields such as `Authorization` and `Cookie` (see
/// [`credential_header`](crate::ServerBuilder::credential_header)), parameters of the query such as `access_token` (RFC 6750
/// §2.3), `token`, `api_key` and `password`, and a user in the URL. The log also warns of credentials in a request that is
/// refused for another reason, however malformed it is, and in plain HTTP to the HTTPS port. The warning names the credentials,
/// and never shows their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HttpCredentials {
    /// Redirect, and warn in the log. The default.
    #[default]
    Warn,
    /// Answer 403 with a problem document and no `Location`, so that the leak shows at once.
    Refuse,
}
