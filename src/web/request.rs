//! The methods of a request that belong to `web`, all in this file: `http`, where the type stands, knows nothing of them. Handlers
//! call them.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use serde_core::de::DeserializeOwned;

#[cfg(feature = "compression")]
use super::decoding::DecodedBody;
use super::multipart::Multipart;
use super::upload::{Saved, Upload};
use super::{cookie, form, json, parsed, text};
use crate::error::Error;
use crate::http::request::Request;

impl Request<'_> {
    /// The value of a path parameter, read as a number, an address, or whatever else can be read from text. What cannot be read
    /// gets 400, with a problem document that names the parameter (also in its member `parameter`), what was given and what is
    /// expected.
    ///
    /// ```
    /// use lockgate::{Error, Request, Router};
    ///
    /// fn port(request: &mut Request) -> Result<String, Error> {
    ///     let port: u16 = request.parse_param("port")?;
    ///     Ok(format!("port {port}"))
    /// }
    ///
    /// let router = Router::new().get("/ports/{port}", port);
    /// let response = router.call(&mut Request::get("/ports/70000"));
    /// assert_eq!(response.status(), 400);
    /// let problem = String::from_utf8(response.into_bytes().unwrap()).unwrap();
    /// assert!(problem.contains("the path's parameter 'port' is '70000'; expected a whole number from 0 to 65535"));
    /// ```
    ///
    /// [`param_as`](Request::param_as) gives 404 in its place, for paths where nothing can be: `/sensors/{id}`. For a type of
    /// the program's own the client is told the text of its error.
    ///
    /// # Errors
    /// [`Error::Answer`], 400, as above. [`Error::Parameter`], 404, when the route has no parameter of this name: a fault of the
    /// program, so the log gets an error too.
    pub fn parse_param<T>(&self, name: &str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        parsed::param(self, name)
    }

    /// The value of the query's parameter of this name, read as [`parse_param`](Request::parse_param) does.
    ///
    /// ```
    /// use lockgate::{Error, Request};
    ///
    /// fn since(request: &mut Request) -> Result<u64, Error> {
    ///     request.parse_query("since")
    /// }
    /// assert_eq!(since(&mut Request::get("/log?since=1700000000")).unwrap(), 1_700_000_000);
    /// assert!(since(&mut Request::get("/log")).is_err()); // 400: the query has no parameter 'since'
    /// ```
    ///
    /// # Errors
    /// [`Error::Answer`], 400: the parameter is missing, is there twice, or cannot be read as a `T`.
    pub fn parse_query<T>(&self, name: &str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        parsed::query(self, name)
    }

    /// The value of the query's parameter of this name, as [`parse_query`](Request::parse_query); `None` when it is missing or
    /// empty, as a browser sends a field that nobody has filled in.
    ///
    /// ```
    /// use lockgate::{Error, Request};
    ///
    /// fn limit(request: &mut Request) -> Result<u32, Error> {
    ///     Ok(request.parse_optional_query("limit")?.unwrap_or(50).min(500))
    /// }
    /// assert_eq!(limit(&mut Request::get("/readings?limit=20")).unwrap(), 20);
    /// assert_eq!(limit(&mut Request::get("/readings")).unwrap(), 50);
    /// ```
    ///
    /// # Errors
    /// [`Error::Answer`], 400: the parameter is there twice, or cannot be read as a `T`.
    pub fn parse_optional_query<T>(&self, name: &str) -> Result<Option<T>, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        parsed::optional_query(self, name)
    }

    /// The whole query, read into any type that implements serde's `Deserialize`, such as a struct with a field for each parameter.
    /// What [`form`](Request::form) says of lists, of empty fields and of boxes holds here too.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use lockgate::{Error, Request};
    ///
    /// fn filter(request: &mut Request) -> Result<BTreeMap<String, Vec<u16>>, Error> {
    ///     request.query_as()
    /// }
    /// assert_eq!(filter(&mut Request::get("/log?port=80&port=443")).unwrap()["port"], [80, 443]);
    /// ```
    ///
    /// # Errors
    /// [`Error::Answer`], 400: the query is not what the type asks for, or has more than 1,000 parameters. The problem document
    /// names the parameter where it is known (also in its member `parameter`).
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        form::read_query(self)
    }

    /// The body read as JSON into any type that implements serde's `Deserialize`, if `Content-Type` says that it is JSON:
    /// `application/json`, or a type with the suffix `+json` (RFC 6839 §3.1). A byte order mark at its beginning is ignored
    /// (RFC 8259 §8.1).
    ///
    /// ```
    /// use lockgate::{Error, Request, Router};
    /// use serde_json::json;
    ///
    /// fn sum(request: &mut Request) -> Result<String, Error> {
    ///     let numbers: Vec<u32> = request.json()?;
    ///     Ok(numbers.iter().sum::<u32>().to_string())
    /// }
    ///
    /// let router = Router::new().post("/sum", sum);
    /// assert_eq!(router.call(&mut Request::post("/sum").with_json(&[1, 2])).into_bytes().unwrap(), b"3");
    /// let response = router.call(&mut Request::post("/sum").with_json(&json!([1, "two"])));
    /// let problem: serde_json::Value = serde_json::from_slice(&response.into_bytes().unwrap()).unwrap();
    /// assert_eq!(problem["errors"][0]["pointer"], "#/1");
    /// assert_eq!(router.call(&mut Request::post("/sum").with_body("[1, 2]")).status(), 415); // no Content-Type
    /// ```
    ///
    /// A body without a `Content-Type` is refused, because a page of another site can send one without its browser asking the
    /// server first (CORS), and the browser sends cookies and client certificates with it. For clients that cannot be told to
    /// set the field, read [`bytes`](Request::bytes) and give them to serde_json.
    ///
    /// # Errors
    /// [`Error::Body`]: 415 when `Content-Type` is not JSON's or is missing (with `Accept: application/json`), or names another
    /// charset than UTF-8; 413 over 1 MiB, whatever the server takes otherwise ([`json_up_to`](Request::json_up_to) has another
    /// limit); 400 when the body is not JSON; 422 when it is JSON of another shape, with a pointer to the value at fault in
    /// `errors` (to one around it when serde reads in two steps: for `flatten`, and enums that are untagged or have their tag
    /// inside); 503 when the [memory for bodies](crate::Limits::body_memory_bytes) is taken; and the errors of
    /// [`bytes`](Request::bytes).
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        json::read(self, json::MOST_BODY_BYTES)
    }

    /// As [`json`](Request::json), for a body of up to `most` bytes in place of 1 MiB. What the server or the
    /// [router](crate::Router::body_bytes) takes at most holds too. A handler that reads a body as JSON holds it in memory, and
    /// what becomes of it, which can be many times as much for a [`Value`](serde_json::Value).
    ///
    /// # Errors
    /// Those of [`json`](Request::json).
    pub fn json_up_to<T: DeserializeOwned>(&mut self, most: u64) -> Result<T, Error> {
        json::read(self, most)
    }

    /// The body as text in UTF-8, whatever its `Content-Type`, at most 1 MiB of it.
    ///
    /// ```
    /// use lockgate::{Request, Router};
    ///
    /// let router = Router::new().put("/name", |request: &mut Request| request.text().map(|name| name.trim().to_uppercase()));
    /// let mut put = Request::new(lockgate::Method::PUT, "/name").with_body("pump\n");
    /// assert_eq!(router.call(&mut put).into_bytes().unwrap(), b"PUMP");
    /// ```
    ///
    /// # Errors
    /// [`Error::Body`]: 415 when `Content-Type` names another charset, 400 when the body is not UTF-8, 413 over 1 MiB, and the
    /// errors of [`bytes`](Request::bytes). [`text_up_to`](Request::text_up_to) has another limit.
    pub fn text(&mut self) -> Result<String, Error> {
        text::read(self, text::MOST_BODY_BYTES)
    }

    /// As [`text`](Request::text), for a body of up to `most` bytes in place of 1 MiB. What the server or the
    /// [router](crate::Router::body_bytes) takes at most holds too.
    ///
    /// # Errors
    /// Those of [`text`](Request::text).
    pub fn text_up_to(&mut self, most: u64) -> Result<String, Error> {
        text::read(self, most)
    }

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
    /// what browsers send for a field that nobody has filled in, and for a box that is ticked. A box that is not ticked is not
    /// sent, so it needs a default. In a struct that serde's `flatten` puts into another, every field must be text, because
    /// serde reads it before it knows the type.
    ///
    /// # Errors
    /// [`Error::Answer`]: 415 when `Content-Type` is another, is missing, or names another charset than UTF-8; 413 with more
    /// than 1,000 fields; 422 when the form is not what the type asks for, with a pointer to the field in `errors` where it is
    /// known. [`Error::Body`] as [`bytes`](Request::bytes), 413 over 1 MiB ([`form_up_to`](Request::form_up_to) has another limit), and 503 as for [`json`](Request::json).
    pub fn form<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        form::read(self, form::MOST_BODY_BYTES)
    }

    /// As [`form`](Request::form), for a body of up to `most` bytes in place of 1 MiB. What the server or the
    /// [router](crate::Router::body_bytes) takes at most holds too, and so do the 1,000 fields.
    ///
    /// # Errors
    /// Those of [`form`](Request::form).
    pub fn form_up_to<T: DeserializeOwned>(&mut self, most: u64) -> Result<T, Error> {
        form::read(self, most)
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
