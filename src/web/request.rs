//! The methods of a request that belong to `web`, all in this file: `http`, where the type stands, knows nothing of them. Handlers
//! call them.

use std::path::Path;

use super::multipart::Multipart;
use super::upload::{Saved, Upload};
use crate::error::Error;
use crate::http::request::Request;

impl Request<'_> {
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
}
