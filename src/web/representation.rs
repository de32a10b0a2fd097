//! The response with a file: conditions, ranges and the fields that go with them (RFC 9110 §13, §14). Knows requests and responses;
//! where the file comes from, it does not. `files` and `response` call it.

use std::time::SystemTime;

use ::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, ETAG, LAST_MODIFIED, VARY,
};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};

use super::accept_encoding::Coding;
use super::conditional::{Outcome, Validators};
use super::content::Content;
use super::range::{select, ByteRange, Selection};
use crate::calendar::{self, imf_fixdate};
use crate::http::into_response::IntoResponse;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::{Payload, Response};

/// May be kept, and has to be asked for with each use: 304 if nothing has changed (RFC 9111 §5.2.2.4).
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Is never asked for again: its name changes with its content (RFC 8246).
pub(crate) const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What is sent of a resource in this state, to a client that accepts these codings.
#[derive(Debug)]
pub(crate) struct Representation {
    pub content: Content,
    pub etag: Option<HeaderValue>,
    /// In seconds since 1970.
    pub modified: Option<i64>,
    pub media_type: HeaderValue,
    pub coding: Option<Coding>,
    pub cache_control: HeaderValue,
    /// Whether another `Accept-Encoding` could have got another representation.
    pub varies: bool,
}

impl Representation {
    /// The answer to a GET or a HEAD.
    pub(crate) fn answer(self, request: &Request<'_>) -> Response {
        let validators =
            Validators { etag: self.etag.as_ref().map(HeaderValue::as_bytes), modified: self.modified };
        match validators.evaluate(request) {
            Outcome::Proceed => {}
            Outcome::NotModified => return self.not_modified(),
            Outcome::Failed => return failed(),
        }
        let length = self.content.length();
        match self.ranges(request, &validators) {
            Selection::Whole => {
                let (fields, media_type) = (self.fields(), self.media_type);
                response(StatusCode::OK, Some(media_type), fields, self.content.whole())
            }
            Selection::Unsatisfiable => unsatisfiable(length, self.varies),
            Selection::Parts(parts) => self.partial(&parts, length),
        }
    }

    /// The 304, if the client has this state. The content is not needed for it.
    pub(crate) fn if_unchanged(&self, request: &Request<'_>) -> Option<Response> {
        let validators =
            Validators { etag: self.etag.as_ref().map(HeaderValue::as_bytes), modified: self.modified };
        (validators.evaluate(request) == Outcome::NotModified).then(|| self.not_modified())
    }

    /// RFC 9110 §15.4.5: what a cache updates, and nothing about content that is not sent.
    fn not_modified(&self) -> Response {
        response(StatusCode::NOT_MODIFIED, None, self.shared_fields(), Payload::Static(b""))
    }

    /// What `Range` selects. RFC 9110 §14.2 defines it for GET alone.
    fn ranges(&self, request: &Request<'_>, validators: &Validators<'_>) -> Selection {
        let mut lines = request.field_lines("range");
        let Some(line) = lines.next().filter(|_| *request.method() == Method::GET) else {
            return Selection::Whole;
        };
        if lines.next().is_some() || !validators.allows_range(request) {
            return Selection::Whole;
        }
        select(line, self.content.length())
    }

    /// 206, with one part as the body, or several with their heads between them (RFC 9110 §15.3.7).
    fn partial(self, parts: &[ByteRange], length: u64) -> Response {
        let mut fields = self.fields();
        if let [part] = parts {
            if let Ok(range) = HeaderValue::try_from(content_range(*part, length)) {
                fields.insert(CONTENT_RANGE, range);
            }
            let body = self.content.part(*part);
            return response(StatusCode::PARTIAL_CONTENT, Some(self.media_type), fields, body);
        }
        let boundary = boundary();
        let media_type = self.media_type.to_str().unwrap_or_default();
        let head = |part: &ByteRange| {
            let range = content_range(*part, length);
            format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n")
                .into_bytes()
        };
        let parts = parts.iter().map(|part| (head(part), *part)).collect();
        let media_type = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")).ok();
        let body = self.content.parts(parts, format!("\r\n--{boundary}--\r\n").into_bytes());
        response(StatusCode::PARTIAL_CONTENT, media_type, fields, body)
    }

    /// The fields of every answer about this state.
    fn shared_fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(8);
        if let Some(etag) = &self.etag {
            fields.insert(ETAG, etag.clone());
        }
        if let Some(date) =
            self.modified.and_then(|seconds| HeaderValue::from_bytes(&imf_fixdate(seconds)).ok())
        {
            fields.insert(LAST_MODIFIED, date);
        }
        fields.insert(CACHE_CONTROL, self.cache_control.clone());
        if self.varies {
            fields.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        fields
    }

    /// The fields beside the content.
    fn fields(&self) -> HeaderMap {
        let mut fields = self.shared_fields();
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(coding) = self.coding {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        fields
    }
}

/// 412: the state that the client wants is not the present one.
pub(crate) fn failed() -> Response {
    Problem::new(StatusCode::PRECONDITION_FAILED)
        .detail("The resource is not in the state that the request asks for.")
        .into_response()
}

/// 416, which says how long the content is (RFC 9110 §15.5.17).
fn unsatisfiable(length: u64, varies: bool) -> Response {
    let response = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE)
        .detail("The ranges that the request asks for begin behind the end.")
        .into_response()
        .with_header(CONTENT_RANGE, format!("bytes */{length}"))
        .with_field(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if varies {
        response.with_field(VARY, HeaderValue::from_static("accept-encoding"))
    } else {
        response
    }
}

fn content_range(part: ByteRange, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.first, part.last)
}

/// A line that no content can hold on purpose: it is different each time.
fn boundary() -> String {
    let mut random = [0; 16];
    if SystemRandom::new().fill(&mut random).is_err() {
        random = calendar::since_1970(SystemTime::now()).as_nanos().to_le_bytes();
    }
    format!("{:032x}", u128::from_le_bytes(random))
}

fn response(
    status: StatusCode,
    media_type: Option<HeaderValue>,
    fields: HeaderMap,
    body: Payload,
) -> Response {
    let mut response = Response::new(status);
    response.content_type = media_type;
    response.fields = Some(Box::new(fields));
    response.body = body;
    response
}
