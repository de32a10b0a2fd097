//! `Files`: the files of a folder, or of the program itself, as a handler. Finds what a path names, chooses the coding, and leaves
//! the answer to `representation`. A program's routes call it.

mod embedded;
mod folder;
mod found;
mod listing;
mod path;

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use ::http::header::{ALLOW, RETRY_AFTER};
use ::http::{HeaderValue, Method, StatusCode};

use self::embedded::Embedded;
use self::folder::Folder;
use self::found::Found;
use super::accept_encoding::{Accepted, Coding};
use super::content::Content;
use super::content_type;
use super::disk::Loaded;
use super::representation::{Representation, IMMUTABLE, NO_CACHE};
use super::tar;
use crate::backports::Trim;
use crate::error::Error;
use crate::http::folder::with_slash;
use crate::http::into_response::{not_served, IntoResponse};
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;

/// How much older a compressed form may be, in seconds: a copy writes the files of a folder in any order. One that is older
/// still was made of other content.
const COPIED_WITHIN: i64 = 2;

/// Serves files: those below a folder, or those that the program itself holds.
///
/// ```
/// use lockgate::web::Files;
/// use lockgate::Router;
///
/// let router = Router::new()
///     .folder("/", Files::dir("/srv/www").fallback("index.html").handler())
///     .folder("/manuals", Files::dir("/srv/manuals").listing().handler());
/// # router.check().unwrap();
/// ```
///
/// A request gets, for GET and HEAD:
///
/// - the type by the extension of the name, with `charset=utf-8` for text ([`media_type`](Files::media_type) adds to the table);
/// - `ETag`, and 304 or 412 by `If-None-Match`, `If-Match`, `If-Modified-Since` and `If-Unmodified-Since` (RFC 9110 §13.2.2).
///   The tag of a file of the program, and of a file of up to 1 MiB, is the hash of its content. A larger file has a tag of its
///   metadata, and none within 3 s of its last change; where its times come from an image (they have no fraction of a second),
///   the tag also changes with each start of the program;
/// - `Last-Modified`, except for a date within 3 s of now, ahead of it or before 1990: it would hide a change;
/// - 206 for one `Range` or several, with `If-Range`; ranges that overlap become one, and a set of more than 16 is ignored; 416
///   when all of them begin behind the end (RFC 9110 §14);
/// - `Cache-Control: no-cache` (kept, and asked for each time), or for a name that holds a hash `public, max-age=31536000,
///   immutable`. A hash is 8 to 64 lower-case hexadecimal digits, letters and numerals among them, between two of `.`, `-` and
///   `_`, as in `app.4f3c2a1b.js`; bundlers that write hashes in another form have them in a folder of their own:
///   [`immutable`](Files::immutable);
/// - a file `app.js.br`, `app.js.zst` or `app.js.gz` beside `app.js`, by `Accept-Encoding`: see
///   [`precompressed`](Files::precompressed);
/// - `index.html` of a folder; for a folder's path without the slash at its end a redirect to that with it (307, a relative
///   reference).
///
/// 404 is everything else: a name that begins with a dot, except `.well-known` as the first of a path (RFC 8615); what is neither
/// a regular file nor a folder; what may not be read; and whatever leads out of the folder. Symbolic links that stay below the
/// folder are followed on Linux since 5.6; elsewhere none is. The folder itself may be a link, and may be replaced while the
/// server runs. A pipe or a device in the folder is opened without waiting for it, closed again, and not served.
///
/// A file is sent with the length that it has when it is opened. What is appended later is not sent; when it becomes shorter
/// the connection is cut, so that no client takes the part for the whole. To change a file, write another and rename it, so that
/// no client gets half of each. One descriptor is open for each response that is being sent; parts of up to 16 KiB are read
/// at once.
///
/// # Beside an API, and with a 404 page
///
/// A folder at `/` has every path that no other route has: also a path below `/api` that the API does not know, which gets a
/// 404, or a 405 for a POST, that the API's own fallback and layers never see. As the fallback, files come after everything else:
///
/// ```
/// use lockgate::web::Files;
/// use lockgate::{Request, Response, Router, StatusCode};
///
/// let files = Files::embedded(&[("index.html", b"<h1>Pump 7</h1>")]);
/// let api = Router::new().get("/state", |_: &mut Request| "on").fallback(|_: &mut Request| StatusCode::NOT_FOUND);
/// let router = Router::new().nest("/api", api).fallback(move |request: &mut Request| {
///     match files.serve(request) {
///         none if none.status() == StatusCode::NOT_FOUND => Response::html("No such page.").with_status(StatusCode::NOT_FOUND),
///         found => found,
///     }
/// });
/// assert_eq!(router.call(&mut Request::get("/")).into_bytes().unwrap(), b"<h1>Pump 7</h1>");
/// assert_eq!(router.call(&mut Request::get("/none")).into_bytes().unwrap(), b"No such page.");
/// assert_eq!(router.call(&mut Request::post("/api/none")).header("content-type").unwrap(), "application/problem+json");
/// ```
pub struct Files {
    source: Source,
    index: &'static str,
    fallback: Option<String>,
    listing: bool,
    precompressed: bool,
    immutable: Vec<String>,
    types: Vec<(String, HeaderValue)>,
    /// Without a slash at its end.
    prefix: String,
}

enum Source {
    Folder(Folder),
    Embedded(Embedded),
}

impl Files {
    /// The files below this folder of the disk. The folder is opened anew for each request; when it cannot be, requests get 500,
    /// and the log says why.
    pub fn dir(root: impl Into<PathBuf>) -> Files {
        Files::of(Source::Folder(Folder::new(root.into())), false)
    }

    /// Files that stand in the program: pairs of a path and the bytes. [`embed!`](crate::embed) makes them of files that are named.
    ///
    /// ```
    /// use lockgate::web::Files;
    /// use lockgate::{Request, Router};
    ///
    /// let files: &[(&str, &[u8])] = &[("index.html", b"<h1>Pump 7</h1>"), ("app.css", b"h1 { color: teal }")];
    /// let router = Router::new().folder("/", Files::embedded(files).handler());
    /// assert_eq!(router.call(&mut Request::get("/")).into_bytes().unwrap(), b"<h1>Pump 7</h1>");
    /// ```
    ///
    /// Nothing is read from the disk, and nothing is copied: bytes are encrypted where they stand. A file's hash is made when it
    /// is first asked for. Files with `.br`, `.zst` or `.gz` behind the name of another are its compressed forms.
    pub fn embedded(files: &[(&str, &'static [u8])]) -> Files {
        let files = files.iter().map(|(name, bytes)| ((*name).to_string(), *bytes));
        Files::of(Source::Embedded(Embedded::new(files)), true)
    }

    /// As [`embedded`](Files::embedded), with all files of a tar archive: a whole folder, however many files a bundler makes.
    ///
    /// A build script of four lines makes the archive, and cargo runs it again when anything in the folder changes:
    ///
    /// ```no_run
    /// // build.rs
    /// # use std::process::Command;
    /// fn main() {
    ///     println!("cargo:rerun-if-changed=ui");
    ///     let archive = std::env::var("OUT_DIR").unwrap() + "/ui.tar";
    ///     assert!(Command::new("tar").args(["-cf", &archive, "-C", "ui", "."]).status().unwrap().success());
    /// }
    /// ```
    ///
    /// ```ignore
    /// let files = Files::tar(include_bytes!(concat!(env!("OUT_DIR"), "/ui.tar")))?;
    /// ```
    ///
    /// # Errors
    /// [`Error::Setting`]: the bytes are not a tar archive, or it holds something else than files and folders.
    pub fn tar(archive: &'static [u8]) -> Result<Files, Error> {
        let entries =
            tar::entries(archive).map_err(|fault| Error::Setting { setting: "Files::tar", fault })?;
        let files = entries.into_iter().map(|entry| (entry.name, entry.bytes));
        Ok(Files::of(Source::Embedded(Embedded::new(files)), true))
    }

    fn of(source: Source, precompressed: bool) -> Files {
        Files {
            source,
            index: "index.html",
            fallback: None,
            listing: false,
            precompressed,
            immutable: Vec::new(),
            types: Vec::new(),
            prefix: String::new(),
        }
    }

    /// The page of a program in the browser that makes its own paths: it answers, with 200, what would be 404. Only for a
    /// navigation of a browser (`Accept` names `text/html`, and `Sec-Fetch-Mode`, if it is there, is `navigate`), and only for
    /// a path whose last segment has no extension of the table of types: a missing script stays 404. There is none by default.
    pub fn fallback(mut self, page: &str) -> Files {
        self.fallback = Some(page.to_string());
        self
    }

    /// A folder without `index.html` gets a page with the names in it, at most 10,000. By default it is 404.
    pub fn listing(mut self) -> Files {
        self.listing = true;
        self
    }

    /// Sends `app.js.br`, `app.js.zst` or `app.js.gz` instead of `app.js` to a client that accepts it. Only for types that are
    /// worth compressing, and only if the compressed file is at most 2 s older than the other. Such a response has an `ETag` and ranges of
    /// its own, and all responses say `Vary: accept-encoding`. By default it is on for files in the program, and off for a
    /// folder, because it costs up to three more system calls a request.
    pub fn precompressed(mut self) -> Files {
        self.precompressed = true;
        self
    }

    /// Says that what is below this folder never changes its content under the same name: `Files::dir("dist").immutable("assets")`.
    pub fn immutable(mut self, folder: &str) -> Files {
        self.immutable.push(format!("{}/", folder.trim_matches('/')));
        self
    }

    /// The type of files with this extension, which goes before that of the table. A type that a field cannot hold is ignored, and
    /// the log gets an error.
    pub fn media_type(mut self, extension: &str, media_type: &str) -> Files {
        match HeaderValue::try_from(media_type) {
            Ok(value) => self.types.push((extension.trim_start_matches('.').to_string(), value)),
            Err(_) => {
                log::error!("the media type for .{} is not one: it is ignored", extension.escape_debug())
            }
        }
        self
    }

    /// Takes this prefix off the request's path, for a handler that no route has a parameter `path` for: a
    /// [`fallback`](crate::Router::fallback) of a router that is nested there. A path without it gets 404.
    ///
    /// ```
    /// use lockgate::web::Files;
    /// use lockgate::{Request, Router};
    ///
    /// let files = Files::embedded(&[("index.html", b"<h1>Pump 7</h1>")]).strip_prefix("/ui");
    /// let router = Router::new().nest("/ui", Router::new().fallback(files.handler()));
    /// assert_eq!(router.call(&mut Request::get("/ui/")).into_bytes().unwrap(), b"<h1>Pump 7</h1>");
    /// assert_eq!(router.call(&mut Request::get("/ui/none")).status(), 404);
    /// ```
    pub fn strip_prefix(mut self, prefix: &str) -> Files {
        self.prefix = prefix.trim_end_matches('/').to_string();
        self
    }

    /// The handler for a route: [`Router::folder`](crate::Router::folder).
    pub fn handler(self) -> impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static {
        move |request| self.serve(request)
    }

    /// Answers a request for the file that the parameter `path` of the route names, or, on a route without it, the request's
    /// path. For a handler that does something before or after.
    ///
    /// ```
    /// use lockgate::web::Files;
    /// use lockgate::{Request, Router};
    ///
    /// let files = Files::dir("/srv/www");
    /// let router = Router::new().folder("/", move |request: &mut Request| {
    ///     files.serve(request).with_header("referrer-policy", "no-referrer")
    /// });
    /// # router.check().unwrap();
    /// ```
    pub fn serve(&self, request: &Request<'_>) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Problem::new(StatusCode::METHOD_NOT_ALLOWED)
                .detail("Files are only read here.")
                .into_response()
                .with_field(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        let below = || {
            request.path().strip_prefix(&*self.prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let path = request.param("path").or_else(|| below().map(|path| path.trim_start_matches('/')));
        let Some(path) = path else { return not_served() };
        match self.answer(request, path) {
            Ok(answer) => answer.unwrap_or_else(not_served),
            Err(status) if status == StatusCode::SERVICE_UNAVAILABLE => {
                status.into_response().with_field(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            Err(status) => status.into_response(),
        }
    }

    /// The answer, if the path names something.
    fn answer(&self, request: &Request<'_>, path: &str) -> Result<Option<Response>, StatusCode> {
        let name = path.strip_suffix('/').unwrap_or(path);
        if path::is_served(name) {
            let is_folder = path.is_empty() || name.len() < path.len();
            let answer = if is_folder { self.folder(request, name)? } else { self.file(request, name)? };
            if answer.is_some() {
                return Ok(answer);
            }
        }
        self.fall_back(request, name)
    }

    /// For a path without a slash at its end.
    fn file(&self, request: &Request<'_>, name: &str) -> Result<Option<Response>, StatusCode> {
        let unchanged = self.unchanged(request, name);
        if unchanged.is_some() {
            return Ok(unchanged);
        }
        match self.find(name)? {
            Found::File(file) => self.send(request, name, file).map(Some),
            Found::Folder => {
                let is_served =
                    self.listing || matches!(self.find(&path::joined(name, self.index))?, Found::File(_));
                Ok(is_served.then(|| with_slash(request)))
            }
            Found::Nothing => Ok(None),
        }
    }

    /// For a path with a slash at its end.
    fn folder(&self, request: &Request<'_>, name: &str) -> Result<Option<Response>, StatusCode> {
        let page = path::joined(name, self.index);
        let unchanged = self.unchanged(request, &page);
        if unchanged.is_some() {
            return Ok(unchanged);
        }
        match self.find(&page)? {
            Found::File(file) => self.send(request, &page, file).map(Some),
            Found::Folder | Found::Nothing if self.listing => {
                let items = match &self.source {
                    Source::Folder(folder) => folder.list(name)?,
                    Source::Embedded(embedded) => embedded.list(name),
                };
                Ok(items.map(|items| listing::page(request.path(), items).with_etag(request)))
            }
            Found::Folder | Found::Nothing => Ok(None),
        }
    }

    /// The page for paths that exist in the browser only.
    fn fall_back(&self, request: &Request<'_>, name: &str) -> Result<Option<Response>, StatusCode> {
        let Some(page) = self.fallback.as_deref().filter(|_| is_navigation(request)) else { return Ok(None) };
        if self.known_type(name).is_some() {
            return Ok(None);
        }
        match self.find(page)? {
            Found::File(file) => self.send(request, page, file).map(Some),
            Found::Folder | Found::Nothing => Ok(None),
        }
    }

    fn find(&self, name: &str) -> Result<Found, StatusCode> {
        match &self.source {
            Source::Folder(folder) => folder.find(name),
            Source::Embedded(embedded) => Ok(embedded.find(name)),
        }
    }

    /// The 304 for a client that has a file of the folder as it is. Which of several forms of a file a client has is not known
    /// without looking at all of them, so those are looked at.
    fn unchanged(&self, request: &Request<'_>, name: &str) -> Option<Response> {
        let Source::Folder(folder) = &self.source else { return None };
        if self.precompressed || !is_conditional(request) {
            return None;
        }
        let (etag, modified) = folder.unchanged(name, SystemTime::now())?;
        let loaded =
            Loaded { content: Content::Static(b""), stamp: None, etag: Some(etag), modified, written: 0 };
        self.representation(name, self.media_type_of(name), loaded).if_unchanged(request)
    }

    /// The answer with a file that was found, or with a compressed form of it.
    fn send(&self, request: &Request<'_>, name: &str, file: Loaded) -> Result<Response, StatusCode> {
        let media_type = self.media_type_of(name);
        let varies = self.precompressed && content_type::is_compressible(media_type.as_bytes());
        let coded = if varies { self.coded(request, name, &file)? } else { None };
        let (coding, file) = coded.map_or((None, file), |(coding, coded)| (Some(coding), coded));
        let stamp = file.stamp;
        let representation = Representation { coding, varies, ..self.representation(name, media_type, file) };
        let answer = representation.answer(request);
        if let (Source::Folder(folder), Some(stamp), StatusCode::NOT_MODIFIED) =
            (&self.source, stamp, answer.status())
        {
            // It will be asked about again.
            if coding.is_none() {
                folder.remember(name, stamp);
            }
        }
        Ok(answer)
    }

    /// A file as it is, whether or not there are other forms of it.
    fn representation(&self, name: &str, media_type: HeaderValue, file: Loaded) -> Representation {
        let is_immutable =
            path::has_hash(name) || self.immutable.iter().any(|folder| name.starts_with(folder.as_str()));
        let Loaded { content, etag, modified, .. } = file;
        let cache_control = if is_immutable { IMMUTABLE } else { NO_CACHE };
        Representation { content, etag, modified, media_type, coding: None, cache_control, varies: false }
    }

    fn media_type_of(&self, name: &str) -> HeaderValue {
        self.known_type(name).unwrap_or_else(|| content_type::of(name))
    }

    /// The compressed form that the client likes best.
    fn coded(
        &self,
        request: &Request<'_>,
        name: &str,
        file: &Loaded,
    ) -> Result<Option<(Coding, Loaded)>, StatusCode> {
        for coding in Accepted::of(request).in_order() {
            if let Found::File(coded) = self.find(&format!("{name}{}", coding.suffix()))? {
                if coded.written + COPIED_WITHIN >= file.written {
                    return Ok(Some((coding, coded)));
                }
            }
        }
        Ok(None)
    }

    /// The type by the extension, if that is known.
    fn known_type(&self, name: &str) -> Option<HeaderValue> {
        let extension = content_type::extension(name)?;
        let own = self.types.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(extension));
        own.map(|(_, value)| value.clone())
            .or_else(|| content_type::known(name).map(HeaderValue::from_static))
    }
}

/// Whether a client may have the file already.
fn is_conditional(request: &Request<'_>) -> bool {
    ["if-none-match", "if-modified-since"].into_iter().any(|name| request.field_lines(name).next().is_some())
}

/// Whether a browser asks for a page to show, rather than for a script, an image or data.
fn is_navigation(request: &Request<'_>) -> bool {
    let accepts = request.field_lines("accept").any(|line| {
        let mut types = line.split(|&byte| byte == b',');
        types.any(|of| of.trimmed().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html")))
    });
    accepts && request.header("sec-fetch-mode").map_or(true, |mode| mode.eq_ignore_ascii_case("navigate"))
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Files");
        match &self.source {
            Source::Folder(folder) => shown.field("dir", &folder.root()),
            Source::Embedded(embedded) => shown.field("embedded", &embedded.count()),
        };
        shown.finish_non_exhaustive()
    }
}
