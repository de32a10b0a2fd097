//! Requests of an authority that validates a name over plain HTTP (RFC 8555 §8.3): which they are, and what they get.
//!
//! Knows a request's bytes. What is to be said for a token is asked of a closure, since only ACME knows it. Called by
//! `answer`.

use ::http::StatusCode;

use crate::http::request_head::Line;
use crate::http::Refusal;

/// What an authority is to find for a token; `None` for a token that it did not give.
pub(crate) type Challenges = dyn Fn(&str) -> Option<String> + Send;

/// The folder that an authority looks in.
const PATH: &[u8] = b"/.well-known/acme-challenge/";

pub(super) const UNKNOWN_TOKEN: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "no authority is validating a name of this server with this token now",
);

/// `None` for a request that is not about a challenge; else what it is answered with, if the token is known. Which host it
/// names does not matter: a token is known only to the authority that gave it.
pub(super) fn answer(head: &[u8], line: &Line, challenges: &Challenges) -> Option<Result<String, Refusal>> {
    let token = line.target.path.of(head).strip_prefix(PATH)?;
    let authorization = std::str::from_utf8(token).ok().and_then(challenges);
    Some(authorization.ok_or(UNKNOWN_TOKEN))
}
