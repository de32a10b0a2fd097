//! Recognizes and answers the requests of an authority that validates a name over plain HTTP (RFC 8555 §8.3).
//!
//! Knows a request's bytes. A closure gives the answer for a token, because only ACME knows it. `answer` calls it.

use ::http::StatusCode;

use crate::http::request_head::Line;
use crate::http::Refusal;

/// Returns the answer for a token. `None` for an unknown token.
pub(crate) type Challenges = dyn Fn(&str) -> Option<String> + Send;

/// The folder that an authority requests.
const PATH: &[u8] = b"/.well-known/acme-challenge/";

pub(super) const UNKNOWN_TOKEN: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "no authority is validating a name of this server with this token now",
);

/// `None` for a request that is not about a challenge; else the answer, if the token is known. The request's host does not
/// matter, because only the authority knows the token.
pub(super) fn answer(head: &[u8], line: &Line, challenges: &Challenges) -> Option<Result<String, Refusal>> {
    let token = line.target.path.of(head).strip_prefix(PATH)?;
    let authorization = std::str::from_utf8(token).ok().and_then(challenges);
    Some(authorization.ok_or(UNKNOWN_TOKEN))
}
