//! The methods of a request that belong to `web`, all in this file: `http`, where the type stands, knows nothing of them. Handlers
//! call them.

use std::path::Path;

use serde_core::de::DeserializeOwned;

#[cfg(feature = "compression")]
use super::decoding::DecodedBody;
use super::multipart::Multipart;
use super::upload::{Saved, Upload};
use super::{cookie, form};
use crate::error::Error;
use crate::http::request::Request;

impl Request<'_> {
    /// The body, decoded if it comes with `Content-Encoding: gzip`, to be read piece by piece: at most `limit` bytes of what comes
    /// out. What goes in has the server's limits, as always.
    ///
    /// ```
    /// use std::io::Read;
    /// use lockgate::{Error, Request, Router};
    ///
    /// fn readings(request: &mut Request) -> Result<String, Error> {
    ///     let mut text = String::new();
    ///     request.decoded_body(10 * 1024 * 1024)?.read_to_string(&mut text)?; // 413 beyond 10 MiB
    ///     Ok(format!("{} lines", text.lines().count()))
    /// }
    /// let router = Router::new().post("/readings", readings);
    /// assert_eq!(router.call(&mut Request::post("/readings").with_body("1\n2\n")).into_bytes().unwrap(), b"2 lines");
    /// ```
    ///
    /// # Errors
    /// [`Error::Body`]: 415 for another coding, or more than one. Reading fails with 413 beyond the limit, with 400 where the
    /// body is not gzip, is damaged or ends too soon, and as [`body`](Request::body) does; `?` makes these the answer.
    #[cfg(feature = "compression")]
    pub fn decoded_body(&mut self, limit: u64) -> Result<DecodedBody<'_>, Error> {
        DecodedBody::of(self, limit)
    }

    /// Puts a body in the place of what is left of the request's own, for a [layer](crate::Layer) that has read it: the handler
    /// then reads this one.
    ///
    /// ```
    /// use lockgate::{IntoResponse, Next, Request, Response, Router, StatusCode};
    ///
    /// fn signed(request: &mut Request, next: Next) -> Response {
    ///     let body = match request.bytes() {
    ///         Ok(body) => body,
    ///         Err(error) => return error.into_response(),
    ///     };
    ///     if !body.ends_with(b"signature") {
    ///         return StatusCode::FORBIDDEN.into_response();
    ///     }
    ///     request.set_body(body);
    ///     next.run(request)
    /// }
    ///
    /// let router = Router::new().with(signed).post("/", |request: &mut Request| request.bytes());
    /// let response = router.call(&mut Request::post("/").with_body("open, signature"));
    /// assert_eq!(response.into_bytes().unwrap(), b"open, signature");
    /// ```
    ///
    /// A body that is larger than [`Limits::body_buffer_bytes`](crate::Limits::body_buffer_bytes) is then whole in memory.
    pub fn set_body(&mut self, body: impl Into<Vec<u8>>) {
        self.replace_body(body.into());
    }

    /// Saves the body as the file `name` in the folder `dir`: the file is there whole or not at all, also after a crash or a
    /// power cut. [`Upload`] says how, and has the options: progress, the file's mode, and a limit of its own.
    ///
    /// ```
    /// use lockgate::{Error, Request, Router, StatusCode};
    ///
    /// fn put(request: &mut Request) -> Result<StatusCode, Error> {
    ///     let name = request.param_as::<String>("name")?;
    ///     let saved = request.save_to("/data/uploads", &name)?; // 400 for a name such as `..` or `.profile`
    ///     log::info!("{} bytes, sha256 {}", saved.bytes(), saved.sha256_hex());
    ///     Ok(if saved.is_new() { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
    /// }
    ///
    /// let router = Router::new().put("/upload/{name}", put);
    /// # assert_eq!(router.call(&mut Request::new(lockgate::Method::PUT, "/upload/.profile").with_body("x")).status(), 400);
    /// ```
    ///
    /// A body may have [`Limits::body_bytes`](crate::Limits::body_bytes), which defaults to 1 MiB, so a server that takes
    /// firmware raises it.
    ///
    /// # Errors
    /// Those of [`Upload::save`].
    pub fn save_to(&mut self, dir: impl AsRef<Path>, name: &str) -> Result<Saved, Error> {
        Upload::to(dir).save(self, name)
    }

    /// The body as a form with files (`multipart/form-data`, RFC 7578), to be read part by part. [`Multipart`] has an example
    /// and the limits.
    ///
    /// # Errors
    /// [`Error::Answer`] with a [`FormFault`](super::FormFault): 415 when `Content-Type` is another, 400 when it has no proper
    /// boundary. [`Error::Body`], 415, when the body comes in a content coding such as gzip.
    pub fn multipart(&mut self) -> Result<Multipart<'_>, Error> {
        Multipart::of(self)
    }

    /// The body as a form without files (`application/x-www-form-urlencoded`), read into any type that implements serde's
    /// `Deserialize`, such as a struct with a field for each of the form's.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use lockgate::{Error, Request};
    ///
    /// fn settings(request: &mut Request) -> Result<BTreeMap<String, u16>, Error> {
    ///     request.form()
    /// }
    /// let request = Request::post("/").with_header("content-type", "application/x-www-form-urlencoded");
    /// assert_eq!(settings(&mut request.with_body("port=502&unit=1")).unwrap()["port"], 502);
    /// ```
    ///
    /// A field that stands there several times is a list. An empty field is `None` for an `Option`, and `on` is `true`: that is
    /// what browsers send for a field that nobody has filled in, and for a box that is ticked. A box that is not ticked is not sent, so
    /// it needs a default.
    ///
    /// # Errors
    /// [`Error::Answer`]: 415 when `Content-Type` is another or missing, 413 with more than 1,000 fields, 422 when the form is not
    /// what the type asks for. [`Error::Body`] as [`bytes`](Request::bytes), and 413 over 1 MiB.
    pub fn form<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        form::read(self)
    }

    /// The value of the cookie of this name that a [`Cookie`](super::Cookie) has set: its name begins with `__Host-`, which is put
    /// before `name` here too. The first counts when there are several. `None` also when the value is not UTF-8.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookie_without_prefix(&cookie::prefixed(name))
    }

    /// The value of the cookie of this very name. Other hosts of the domain may have set it, and so may anybody in plain HTTP.
    pub fn cookie_without_prefix(&self, name: &str) -> Option<&str> {
        let lines = self.headers().get_all(::http::header::COOKIE).iter();
        cookie::find(lines.map(|line| line.as_bytes()), name)
    }
}
