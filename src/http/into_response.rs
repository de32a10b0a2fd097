//! What a handler may return, and how it becomes a response. Knows responses and errors. The router converts what handlers
//! return, and the server its own refusals.

use std::borrow::Cow;

use ::http::header::RETRY_AFTER;
use ::http::{HeaderValue, StatusCode};
use serde_core::Serialize;
use serde_json::Value;

use super::problem::Problem;
use super::response::{Payload, Response, OCTETS, TEXT};
use super::Refusal;
use crate::backports::explained;
use crate::error::Error;

/// 404, as for a path that no route serves.
pub(crate) fn not_served() -> Response {
    Problem::not_served().into_response()
}

explained! { 'r#since {
    message = "`{Self}` cannot be sent as a response",
    label = "what is returned here is `{Self}`",
    note = "a handler returns a `Response`, a `StatusCode`, `()` for 204, text (`String`, `&'static str`), bytes (`Vec<u8>`), \
            `Json(value)` or a `serde_json::Value`, a `Problem`, `(StatusCode, any of these)`, or an `Option` or a `Result` of them",
    note = "for a type of your own implement `IntoResponse`, or wrap it: `Json(value)` if it implements `serde::Serialize`",
    note = "an error of another library gets a status: `.map_err(|error| Error::answer(StatusCode::INTERNAL_SERVER_ERROR, error))?`",
    note = "a `SocketBuilder` is for `Router::websocket`: `.websocket(\"/path\", |_| Ok(Socket::on_message(…)))`",
    note = "an `async fn` returns a future, which is no response: leave `async` out, because a handler may block"
}
/// What a handler may return: a [`Response`], a [`StatusCode`], nothing (204), text, bytes, JSON ([`Json`] or
/// [`Value`]), a [`Problem`], a pair of status and any of these, an [`Option`] (404 for `None`) or a [`Result`] of them.
///
/// Implement the trait for a type of your own:
///
/// ```
/// use lockgate::{IntoResponse, Request, Response, Router};
///
/// struct Celsius(f32);
///
/// impl IntoResponse for Celsius {
///     fn into_response(self) -> Response {
///         Response::text(format!("{:.1} °C", self.0))
///     }
/// }
///
/// let router = Router::new().get("/boiler", |_: &mut Request| Celsius(61.0));
/// assert_eq!(router.call(&mut Request::get("/boiler")).into_bytes().unwrap(), "61.0 °C".as_bytes());
/// ```
pub trait IntoResponse {
    /// Whether a handler that returns this is called before the request's body has come, because the response passes that on.
    #[cfg(feature = "proxy")]
    #[doc(hidden)]
    const PASSES_BODY_ON: bool = false;

    /// Makes the response.
    fn into_response(self) -> Response;
}
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// The status alone. From 400 up, a problem document is the body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        if self.is_client_error() || self.is_server_error() {
            Problem::new(self).into_response()
        } else {
            Response::new(self)
        }
    }
}

/// 204, no content.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::NO_CONTENT)
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::of(TEXT, Payload::Static(self.as_bytes()))
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`].
impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::of(OCTETS, Payload::Bytes(self))
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`]. Nothing is copied.
impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::of(OCTETS, Payload::Static(self))
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`].
impl<const N: usize> IntoResponse for [u8; N] {
    fn into_response(self) -> Response {
        Vec::from(self).into_response()
    }
}

/// 200, `application/octet-stream`; another type is set with [`Response::with_header`].
impl IntoResponse for Cow<'static, [u8]> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(bytes) => bytes.into_response(),
            Cow::Owned(bytes) => bytes.into_response(),
        }
    }
}

/// As a slice, for `b"…"` and [`include_bytes!`].
impl<const N: usize> IntoResponse for &'static [u8; N] {
    fn into_response(self) -> Response {
        self.as_slice().into_response()
    }
}

/// The value, or 404 with a problem document.
///
/// ```
/// use lockgate::{Request, Router};
///
/// fn name_of(id: &str) -> Option<&'static str> {
///     (id == "7").then_some("kitchen")
/// }
///
/// let router = Router::new().get("/sensors/{id}", |request: &mut Request| name_of(request.param("id")?));
/// assert_eq!(router.call(&mut Request::get("/sensors/7")).status(), 200);
/// assert_eq!(router.call(&mut Request::get("/sensors/8")).status(), 404);
/// ```
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        self.map_or_else(not_served, T::into_response)
    }
}

/// A value that is sent as JSON: 200, `application/json`, as [`Response::json`].
///
/// ```
/// use std::collections::BTreeMap;
/// use lockgate::{Json, Request, Router, StatusCode};
///
/// let router = Router::new()
///     .get("/sensors", |_: &mut Request| Json(BTreeMap::from([("kitchen", 21.5)])))
///     .post("/sensors", |_: &mut Request| (StatusCode::CREATED, Json(["bath"])));
/// assert_eq!(router.call(&mut Request::get("/sensors")).into_bytes().unwrap(), br#"{"kitchen":21.5}"#);
/// assert_eq!(router.call(&mut Request::post("/sensors")).status(), 201);
/// ```
///
/// A request's body is read as JSON by [`Request::json`](crate::Request::json).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}

/// 200, `application/json`.
impl IntoResponse for Value {
    fn into_response(self) -> Response {
        Response::json(&self)
    }
}

/// The value with another status.
impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// The value or the error, whichever it is. Errors that implement this trait are [`Problem`], [`StatusCode`], lockgate's
/// [`Error`], and types of your own.
impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let response = Response::of_problem(&self);
        match self.field {
            Some((name, value)) => response.with_field(name, value),
            None => response,
        }
    }
}

/// As the [`Problem`] that it becomes.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// For `?` in functions that refuse with a response.
impl From<Error> for Response {
    fn from(error: Error) -> Response {
        error.into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let response = Problem::new(self.status).detail(self.detail).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.with_field(RETRY_AFTER, HeaderValue::from_static("1"))
        } else {
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_has_its_type_and_status() {
        let seen = |response: Response| {
            let media_type = response.header("content-type").map(|value| value.to_str().unwrap().to_string());
            (response.status().as_u16(), media_type, response.into_bytes().unwrap())
        };
        let of = |status: u16, media_type: &str, body: &[u8]| {
            (status, Some(media_type.to_string()), body.to_vec())
        };
        let (text, octets, json) =
            ("text/plain; charset=utf-8", "application/octet-stream", "application/json");
        assert_eq!(seen("a".into_response()), of(200, text, b"a"));
        assert_eq!(seen(String::from("a").into_response()), of(200, text, b"a"));
        assert_eq!(seen(Cow::Borrowed("a").into_response()), of(200, text, b"a"));
        assert_eq!(seen(vec![0_u8, 255].into_response()), of(200, octets, &[0, 255]));
        assert_eq!(seen([0_u8, 255].into_response()), of(200, octets, &[0, 255]));
        assert_eq!(seen(b"ab".into_response()), of(200, octets, b"ab"));
        assert_eq!(seen(b"ab".as_slice().into_response()), of(200, octets, b"ab"));
        assert_eq!(seen(Cow::Borrowed(b"ab".as_slice()).into_response()), of(200, octets, b"ab"));
        assert_eq!(seen(Cow::<[u8]>::Owned(b"ab".to_vec()).into_response()), of(200, octets, b"ab"));
        assert_eq!(seen(Json([1, 2]).into_response()), of(200, json, b"[1,2]"));
        assert_eq!(seen(Json("a").into_response()), of(200, json, b"\"a\""));
        assert_eq!(seen(Some(Json(())).into_response()), of(200, json, b"null"));
        assert_eq!(seen((StatusCode::ACCEPTED, Json(7)).into_response()), of(202, json, b"7"));
        assert_eq!(seen(().into_response()), (204, None, Vec::new()));
        assert_eq!(seen(None::<Json<()>>.into_response()).0, 404);
        assert_eq!(None::<()>.into_response().header("content-type").unwrap(), "application/problem+json");
        assert_eq!(seen(Err::<(), _>(StatusCode::CONFLICT).into_response()).0, 409);
    }

    #[test]
    fn problems_are_equal_when_their_members_are() {
        let one = Problem::new(StatusCode::CONFLICT).member("a", 1).member("b", 2);
        assert_eq!(one, Problem::new(StatusCode::CONFLICT).member("b", 2).member("a", 1));
        assert_ne!(one, Problem::new(StatusCode::CONFLICT).member("a", 1));
    }
}
