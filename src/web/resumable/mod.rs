//! Uploads that go on after a connection was lost (draft-ietf-httpbis-resumable-upload). Knows requests, responses and uploads;
//! a program gives its handler to a router.

mod fields;
mod partial;
mod store;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::{Method, StatusCode};

use self::partial::{Partial, State};
use self::store::{Bounds, NotBegun, Store};
use super::digest::{Digester, Mismatch};
use super::temporary::{Folder, Temporary};
use super::upload::{
    content_digests, fill, read_repr_digest, received, repr_digest, Received, Upload, BUFFER_BYTES,
};
use super::upload_fault::UploadFault;
use crate::calendar::unix_now;
use crate::error::Error;
use crate::http::into_response::IntoResponse;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;

/// Uploads that can go on after a connection was lost, by the IETF's draft for resumable uploads
/// (draft-ietf-httpbis-resumable-upload-12).
///
/// ```
/// use std::time::Duration;
/// use lockgate::web::Resumable;
/// use lockgate::{Error, Method, Request, Router, StatusCode};
///
/// fn routes() -> Result<Router, Error> {
///     let uploads = Resumable::in_dir("/data/uploads").max_bytes(512 << 20).max_age(Duration::from_secs(3600));
///     let upload = uploads.handler(|request, received| -> Result<StatusCode, Error> {
///         received.save_as(&request.param_as::<String>("name")?)?;
///         Ok(StatusCode::CREATED)
///     })?;
///     Ok(Router::new()
///         .put("/upload/{name}", upload.clone())
///         .route(Method::OPTIONS, "/upload/{name}", upload.clone())
///         .route(Method::HEAD, "/upload/{name}/{upload}", upload.clone())
///         .patch("/upload/{name}/{upload}", upload.clone())
///         .delete("/upload/{name}/{upload}", upload))
/// }
/// # assert!(routes().is_err(), "there is no such folder");
/// ```
///
/// A client begins with `Upload-Complete: ?0`, with the first part of the file or with none. It gets 201 and in `Location` the URI
/// of the upload: the path that it was sent to, a slash, and 128 random bits. There `PATCH` appends at `Upload-Offset`, with
/// `Content-Type: application/partial-upload`, `HEAD` asks for the offset after a connection was lost, and `DELETE` cancels. The
/// request that completes the upload (`Upload-Complete: ?1`) calls the program, and gets its response. A request without
/// `Upload-Complete` is an upload as any other.
///
/// ```text
/// PUT /upload/image.bin          Upload-Complete: ?0
///   201  Location: /upload/image.bin/0d6c…   Upload-Offset: 0
/// PATCH /upload/image.bin/0d6c…  Upload-Complete: ?1   Upload-Offset: 0     (and the connection is lost)
/// HEAD /upload/image.bin/0d6c…
///   204  Upload-Offset: 262144   Upload-Complete: ?0
/// PATCH /upload/image.bin/0d6c…  Upload-Complete: ?1   Upload-Offset: 262144
///   201  Upload-Complete: ?1
/// ```
///
/// The draft was chosen, and not `PUT` with `Content-Range` (RFC 9110 §14.5), because it says how a client learns what has come,
/// what happens when two requests overlap, and when an upload is complete; and because clients for it exist. What is not done
/// here: interim responses (104). A client that sends the whole file at once with `Upload-Complete: ?1` so learns of no URI, and
/// begins again when it is cut.
///
/// The parts are in the folder, in files whose names begin with `.lockgate-partial-`, and an upload goes on after the program
/// was started again: the offset is told to a client only when the bytes before it are on the disk. One program at a time uses
/// a folder. An upload ends after [`max_age`](Resumable::max_age); when there is no room for another, the one that was unused for
/// longest goes, if it was unused for a minute.
#[derive(Debug, Clone)]
#[must_use = "`handler` makes the handler for a router"]
pub struct Resumable {
    dir: PathBuf,
    mode: u32,
    most_bytes: u64,
    bounds: Bounds,
}

impl Resumable {
    /// Uploads into this folder, which must exist.
    pub fn in_dir(dir: impl AsRef<Path>) -> Resumable {
        let bounds = Bounds { uploads: 64, bytes: 1 << 30, age_seconds: 24 * 3600 };
        Resumable { dir: dir.as_ref().to_path_buf(), mode: 0o600, most_bytes: 1 << 30, bounds }
    }

    /// The largest file, in bytes: 413. Defaults to 1 GiB. Each request of it may have
    /// [`Limits::body_bytes`](crate::Limits::body_bytes).
    pub fn max_bytes(mut self, most: u64) -> Self {
        self.most_bytes = most;
        self
    }

    /// How long an upload may take from its beginning. Defaults to 24 h; less than a second is one.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.bounds.age_seconds = i64::try_from(age.as_secs().max(1)).unwrap_or(i64::MAX);
        self
    }

    /// How many uploads may be under way, those that are complete for less than [`max_age`](Resumable::max_age) included: 507.
    /// Defaults to 64.
    pub fn max_uploads(mut self, most: usize) -> Self {
        self.bounds.uploads = most.max(1);
        self
    }

    /// How many bytes all uploads that are under way may have: 507. Defaults to 1 GiB.
    pub fn max_total_bytes(mut self, most: u64) -> Self {
        self.bounds.bytes = most;
        self
    }

    /// The permissions of the file, once it has its name. Defaults to `0o600`.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// The handler for all routes of these uploads. It calls `complete` with the request that completes an upload, and with the
    /// file that has come; the parameters of the path are those of the request that began it. The file is removed unless it
    /// gets a name.
    ///
    /// The routes of an upload in its midst end with a parameter `{upload}`, below the route where it begins.
    ///
    /// # Errors
    /// [`Error::Answer`] when the folder cannot be read.
    pub fn handler<R: IntoResponse>(
        self,
        complete: impl Fn(&mut Request<'_>, Received) -> R + Send + Sync + 'static,
    ) -> Result<impl Fn(&mut Request<'_>) -> Response + Clone + Send + Sync + 'static, Error> {
        let store = Store::open(&self.dir, self.bounds.clone(), unix_now())
            .map_err(|error| UploadFault::io("the folder for uploads cannot be read", &self.dir, error))?;
        let uploads = Arc::new(Uploads { settings: self, store });
        let complete = Arc::new(complete);
        Ok(move |request: &mut Request<'_>| {
            let complete =
                |request: &mut Request<'_>, received: Received| complete(request, received).into_response();
            uploads.answer(request, &complete)
        })
    }
}

/// What the program does with a file that has come whole.
type Complete<'c> = dyn Fn(&mut Request<'_>, Received) -> Response + 'c;

struct Uploads {
    settings: Resumable,
    store: Store,
}

/// Why an upload does not go on.
enum Stopped {
    /// The request's body, or the disk.
    Error(Error),
    Answer(Response),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Error(error)
    }
}

impl From<UploadFault> for Stopped {
    fn from(fault: UploadFault) -> Stopped {
        Stopped::Error(fault.into())
    }
}

/// An upload, and the request that has taken it over.
struct Taken {
    id: String,
    partial: Arc<Mutex<Partial>>,
    generation: u64,
    seconds_left: i64,
}

impl Uploads {
    fn answer(&self, request: &mut Request<'_>, complete: &Complete<'_>) -> Response {
        let answer = match request.param("upload").map(String::from) {
            None if *request.method() == Method::OPTIONS => Ok(self.options(request)),
            None => self.begin(request, complete),
            Some(id) => self.go_on(&id, request, complete),
        };
        answer.unwrap_or_else(|stopped| match stopped {
            Stopped::Error(error) => error.into_response(),
            Stopped::Answer(response) => response,
        })
    }

    /// Tells the limits (§4.1.4).
    fn options(&self, _: &Request<'_>) -> Response {
        Response::new(StatusCode::NO_CONTENT)
            .with_header("allow", "PUT, POST, OPTIONS")
            .with_header("upload-limit", self.limits(self.settings.bounds.age_seconds))
    }

    fn limits(&self, seconds_left: i64) -> String {
        format!("max-size={}, max-age={seconds_left}", self.settings.most_bytes)
    }

    /// A request where uploads begin (§4.2).
    fn begin(&self, request: &mut Request<'_>, complete: &Complete<'_>) -> Result<Response, Stopped> {
        let is_whole = fields::complete(request);
        if is_whole != Some(false) {
            let upload =
                Upload::to(&self.settings.dir).mode(self.settings.mode).max_bytes(self.settings.most_bytes);
            let received = upload.receive(request)?;
            let response = complete(request, received);
            return Ok(if is_whole.is_some() {
                response.with_header("upload-complete", "?1")
            } else {
                response
            });
        }
        request.check_content_coding()?;
        let length = fields::length(request, 0).map_err(|()| Stopped::Answer(inconsistent_length()))?;
        if length.is_some_and(|length| length > self.settings.most_bytes) {
            return Err(Stopped::Answer(self.too_large()));
        }
        let digest = repr_digest(request);
        if let Some(digest) = &digest {
            read_repr_digest(digest)?;
        }
        let now = unix_now();
        let target = escaped(request.path());
        let state = State { target, offset: 0, length, created: now, digest, is_complete: false };
        let (id, partial) = match self.store.create(state) {
            Ok(begun) => begun,
            Err(NotBegun::Full) => return Err(Stopped::Answer(no_room())),
            Err(NotBegun::Io(error)) => return Err(self.io(error).into()),
        };
        let location = format!("{}/{id}", String::from_utf8_lossy(request.raw_path()));
        let taken = Taken { id, partial, generation: 0, seconds_left: self.settings.bounds.age_seconds };
        // Nobody knows the upload's URI yet, so nobody could go on.
        let appended = self.append(&taken, request);
        if appended.is_err() {
            self.store.remove(&taken.id);
        }
        let offset = appended?;
        Ok(Response::new(StatusCode::CREATED)
            .with_header("location", location)
            .with_header("upload-complete", "?0")
            .with_header("upload-offset", offset.to_string())
            .with_header("upload-limit", self.limits(taken.seconds_left)))
    }

    /// A request to an upload in its midst.
    fn go_on(
        &self,
        id: &str,
        request: &mut Request<'_>,
        complete: &Complete<'_>,
    ) -> Result<Response, Stopped> {
        let taken =
            self.take(id, request).ok_or_else(|| Stopped::Answer(StatusCode::NOT_FOUND.into_response()))?;
        match *request.method() {
            Method::HEAD => self.tell_offset(&taken),
            Method::DELETE => {
                self.store.remove(&taken.id);
                Ok(Response::new(StatusCode::NO_CONTENT))
            }
            Method::PATCH => self.patch(&taken, request, complete),
            _ => Err(Stopped::Answer(
                StatusCode::METHOD_NOT_ALLOWED.into_response().with_header("allow", "HEAD, PATCH, DELETE"),
            )),
        }
    }

    /// Takes an upload over: a request that still has it is one that its client has given up (§4.6).
    fn take(&self, id: &str, request: &Request<'_>) -> Option<Taken> {
        let (partial, seconds_left) = self.store.find(id, unix_now())?;
        let target = escaped(request.path().strip_suffix(id)?.strip_suffix('/')?);
        let generation = {
            let mut partial = lock(&partial);
            if partial.state.target != target {
                return None;
            }
            partial.generation += 1;
            partial.generation
        };
        Some(Taken { id: id.to_string(), partial, generation, seconds_left })
    }

    /// §4.3.
    fn tell_offset(&self, taken: &Taken) -> Result<Response, Stopped> {
        let mut partial = lock(&taken.partial);
        partial.sync().map_err(|error| self.io(error))?;
        let State { offset, length, is_complete, .. } = partial.state;
        let response = Response::new(StatusCode::NO_CONTENT)
            .with_header("upload-offset", offset.to_string())
            .with_header("upload-complete", if is_complete { "?1" } else { "?0" })
            .with_header("upload-limit", self.limits(taken.seconds_left))
            .with_header("cache-control", "no-store");
        Ok(match length {
            Some(length) => response.with_header("upload-length", length.to_string()),
            None => response,
        })
    }

    /// §4.4.
    fn patch(
        &self,
        taken: &Taken,
        request: &mut Request<'_>,
        complete: &Complete<'_>,
    ) -> Result<Response, Stopped> {
        let media_type = request.header("content-type").unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case("application/partial-upload") {
            let detail = "an upload goes on with Content-Type: application/partial-upload";
            let response = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(detail).into_response();
            return Err(Stopped::Answer(response.with_header("accept-patch", "application/partial-upload")));
        }
        request.check_content_coding()?;
        let bad = |detail: &str| {
            Stopped::Answer(Problem::new(StatusCode::BAD_REQUEST).detail(detail).into_response())
        };
        let is_last = fields::complete(request).ok_or_else(|| bad("Upload-Complete must be ?0 or ?1"))?;
        let told =
            fields::number(request, "upload-offset").ok_or_else(|| bad("Upload-Offset must be a number"))?;
        let length = {
            let partial = lock(&taken.partial);
            if partial.state.is_complete {
                return Err(Stopped::Answer(is_complete_already()));
            }
            if partial.offset != told {
                return Err(Stopped::Answer(other_offset(partial.offset, told)));
            }
            let length =
                fields::length(request, told).map_err(|()| Stopped::Answer(inconsistent_length()))?;
            match (partial.state.length, length) {
                (Some(known), Some(length)) if known != length => {
                    return Err(Stopped::Answer(inconsistent_length()))
                }
                (known, length) => known.or(length),
            }
        };
        if length.is_some_and(|length| length > self.settings.most_bytes) {
            return Err(Stopped::Answer(self.too_large()));
        }
        self.still(taken)?.state.length = length;
        let offset = self.append(taken, request)?;
        if !is_last {
            return Ok(Response::new(StatusCode::NO_CONTENT)
                .with_header("upload-complete", "?0")
                .with_header("upload-offset", offset.to_string()));
        }
        if length.is_some_and(|length| length != offset) {
            return Err(Stopped::Answer(inconsistent_length()));
        }
        let response = match self.finish(taken) {
            Ok(received) => complete(request, received),
            Err(Stopped::Error(error)) => error.into_response(),
            Err(Stopped::Answer(response)) => return Err(Stopped::Answer(response)),
        };
        Ok(response.with_header("upload-complete", "?1").with_header("upload-offset", offset.to_string()))
    }

    /// Appends the body. What has come before the body breaks off stays. Returns the offset that is on the disk.
    fn append(&self, taken: &Taken, request: &mut Request<'_>) -> Result<u64, Stopped> {
        let mut digester = Digester::new(content_digests(request)?);
        let begin = lock(&taken.partial).offset;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let (read, end) = fill(request.body(), &mut buffer);
            let piece = &buffer[..read];
            digester.update(piece);
            let is_full = self.store.is_full(piece.len() as u64);
            let mut partial = self.still(taken)?;
            if is_full {
                partial.sync().map_err(|error| self.io(error))?;
                return Err(Stopped::Answer(no_room()));
            }
            let offset = partial.offset + piece.len() as u64;
            if offset > self.settings.most_bytes || partial.state.length.is_some_and(|length| offset > length)
            {
                drop(partial);
                self.store.remove(&taken.id);
                return Err(Stopped::Answer(self.too_large()));
            }
            partial.append(piece).map_err(|error| self.io(error))?;
            match end {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => {
                    partial.sync().map_err(|error| self.io(error))?;
                    return Err(error.into());
                }
            }
        }
        let mut partial = self.still(taken)?;
        if let Err(Mismatch(field)) = digester.finish() {
            partial.cut(begin).map_err(|error| self.io(error))?;
            return Err(UploadFault::Digest(field).into());
        }
        partial.sync().map_err(|error| self.io(error))?;
        Ok(partial.offset)
    }

    /// The upload, unless a later request has taken it over.
    fn still<'t>(&self, taken: &'t Taken) -> Result<MutexGuard<'t, Partial>, Stopped> {
        let partial = lock(&taken.partial);
        if partial.generation == taken.generation {
            Ok(partial)
        } else {
            let detail = "a later request has this upload";
            Err(Stopped::Answer(Problem::new(StatusCode::CONFLICT).detail(detail).into_response()))
        }
    }

    /// The whole file, with the digest that was told when the upload began.
    fn finish(&self, taken: &Taken) -> Result<Received, Stopped> {
        let folder = Folder::open(&self.settings.dir)?;
        let mut partial = self.still(taken)?;
        let expected = partial.state.digest.as_deref().map(read_repr_digest).transpose()?.unwrap_or_default();
        let (name, file) = partial.complete().map_err(|error| self.io(error))?;
        drop(partial);
        Ok(received(Temporary::adopt(folder, name, file), self.settings.mode, expected)?)
    }

    fn io(&self, error: io::Error) -> Error {
        UploadFault::io("an upload cannot be written", &self.settings.dir, error)
    }

    fn too_large(&self) -> Response {
        let detail = format!(
            "the file is larger than its length, or than the {} bytes accepted here",
            self.settings.most_bytes
        );
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
            .detail(detail)
            .into_response()
            .with_header("upload-limit", format!("max-size={}", self.settings.most_bytes))
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn lock(partial: &Mutex<Partial>) -> MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

fn escaped(path: &str) -> String {
    path.escape_default().collect()
}

/// 507, as when the disk is full.
fn no_room() -> Response {
    log::warn!("an upload is refused, because those that are under way have all the room that they may have");
    Problem::new(StatusCode::INSUFFICIENT_STORAGE)
        .detail("too many uploads are under way; try again later")
        .into_response()
}

/// §8.1.
fn other_offset(expected: u64, provided: u64) -> Response {
    Problem::new(StatusCode::CONFLICT)
        .kind("https://iana.org/assignments/http-problem-types#mismatching-upload-offset")
        .title("offset from request does not match offset of resource")
        .member("expected-offset", expected)
        .member("provided-offset", provided)
        .into_response()
        .with_header("upload-offset", expected.to_string())
        .with_header("upload-complete", "?0")
}

/// §8.2.
fn is_complete_already() -> Response {
    Problem::new(StatusCode::BAD_REQUEST)
        .kind("https://iana.org/assignments/http-problem-types#completed-upload")
        .title("upload is already completed")
        .into_response()
        .with_header("upload-complete", "?0")
}

/// §8.3.
fn inconsistent_length() -> Response {
    Problem::new(StatusCode::BAD_REQUEST)
        .kind("https://iana.org/assignments/http-problem-types#inconsistent-upload-length")
        .title("inconsistent length values for upload")
        .into_response()
        .with_header("upload-complete", "?0")
}
