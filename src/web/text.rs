//! Reads a body as text. Knows requests; handlers call it through [`Request::text`](crate::Request::text).

use super::media_type;
use crate::error::{BodyFault, Error};
use crate::http::request::Request;

/// The largest body that is read as text, in bytes, unless the program says more.
pub(super) const MOST_BODY_BYTES: u64 = 1 << 20;

pub(super) fn read(request: &mut Request<'_>, most: u64) -> Result<String, Error> {
    if media_type::of(request).is_some_and(|media_type| !media_type.is_utf8) {
        return Err(Error::Body(BodyFault::Charset));
    }
    request.check_content_coding()?;
    let bytes = request.rest_of_body(most)?.into_owned();
    String::from_utf8(bytes).map_err(|_| Error::Body(BodyFault::NotUtf8))
}
