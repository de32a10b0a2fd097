//! The methods of a response that belong to `web`, all in this file: `http`, where the type stands, knows nothing of them. Handlers
//! call them.

use std::path::Path;
use std::time::SystemTime;

use ::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use ::http::{HeaderValue, Method, StatusCode};

use rustix::io::Errno;

use super::conditional::{Outcome, Validators};
use super::content_type;
use super::disk::{self, Loaded};
use super::representation::{failed, Representation, NO_CACHE};
use super::tag;
use crate::calendar;
use crate::handler_call;
use crate::http::into_response::{not_served, IntoResponse};
use crate::http::request::Request;
use crate::http::response::{Payload, Response};
use crate::regular_file::{self, Links};

impl Response {
    /// A file, with all that [`Files`](super::Files) does for one: its type, `ETag` and `Last-Modified`, conditions, ranges, and
    /// `Cache-Control: no-cache`. The path is the program's own, so links are followed. With parts of a path that a client has
    /// sent use [`Files`](super::Files), which stays below a folder.
    ///
    /// A file that is missing, may not be read, or is not a regular file is a 404. Another failure is a 500, and the log says why.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router};
    ///
    /// let router = Router::new().get("/log", |request: &mut Request| {
    ///     Response::file(request, "/var/log/pump.log").with_header("content-disposition", "attachment; filename=pump.log")
    /// });
    /// # assert_eq!(router.call(&mut Request::get("/log")).status(), 404);
    /// ```
    pub fn file(request: &Request<'_>, path: impl AsRef<Path>) -> Response {
        let path = path.as_ref();
        let loaded = regular_file::open(path, Links::Followed)
            .and_then(|(file, _)| file.metadata().map(|metadata| (file, metadata)))
            .and_then(|(file, metadata)| disk::load(file, &metadata, SystemTime::now()));
        let Loaded { content, etag, modified, .. } = match loaded {
            Ok(loaded) => loaded,
            Err(error) if is_absent(&error) => return not_served(),
            Err(error) => {
                let path = path.display();
                handler_call::note("a file cannot be read", format_args!("could not read {path}: {error}"));
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        let media_type = content_type::of(path.to_str().unwrap_or_default());
        let representation = Representation {
            content,
            etag,
            modified,
            media_type,
            coding: None,
            cache_control: NO_CACHE,
            varies: false,
        };
        representation.answer(request)
    }

    /// Adds an `ETag`, the hash of the body, to a 200 for a GET or a HEAD, and answers 304 or 412 by the request's conditions
    /// (RFC 9110 §13.2.2). So a page that polls gets its data only when they have changed. An `ETag` or `Last-Modified` that the
    /// response has already is used as it is. A response that streams has no hash, and a response to another method stays as
    /// it is.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router};
    ///
    /// let router = Router::new().get("/state", |request: &mut Request| Response::text("21.5 °C").with_etag(request));
    /// let first = router.call(&mut Request::get("/state"));
    /// let tag = first.header("etag").unwrap().to_str().unwrap();
    /// let second = router.call(&mut Request::get("/state").with_header("if-none-match", tag));
    /// assert_eq!(second.status(), 304);
    /// ```
    ///
    /// The handler still makes the body; what is saved is the way to the client.
    pub fn with_etag(self, request: &Request<'_>) -> Response {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_read || self.status != StatusCode::OK {
            return self;
        }
        let hash = match (&self.body, self.header("etag")) {
            (Payload::Bytes(bytes), None) => Some(tag::of_bytes(bytes)),
            (Payload::Static(bytes), None) => Some(tag::of_bytes(bytes)),
            _ => None,
        };
        let response = match hash {
            Some(hash) => self.with_header(ETAG, hash),
            None => self,
        };
        let modified = response.header("last-modified").and_then(|date| date.to_str().ok());
        let validators = Validators {
            etag: response.header("etag").map(HeaderValue::as_bytes),
            modified: modified.and_then(|date| calendar::parse_http_date(date, calendar::unix_now())),
        };
        match validators.evaluate(request) {
            Outcome::Proceed => response,
            Outcome::NotModified => response.into_not_modified(),
            Outcome::Failed => failed(),
        }
    }

    /// Marks a body that holds a secret, such as a session's token, beside text that a client may choose. Compressed, its length
    /// tells others on the way what the secret is (BREACH). The mark is `Cache-Control: no-transform` (RFC 9111 §5.2.2.6):
    /// lockgate does not compress such a body, nor does a proxy that knows the mark.
    pub fn never_compressed(self) -> Response {
        self.append_header(CACHE_CONTROL, HeaderValue::from_static("no-transform"))
    }

    /// 304 with what a cache updates, and without what describes content (RFC 9110 §15.4.5).
    fn into_not_modified(mut self) -> Response {
        let has_tag = self.header("etag").is_some();
        let fields = self.headers_mut();
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE] {
            fields.remove(name);
        }
        if has_tag {
            fields.remove(LAST_MODIFIED);
        }
        self.status = StatusCode::NOT_MODIFIED;
        self.body = Payload::Static(b"");
        self
    }
}

/// Whether there is nothing to be served at a path of the program. What is no regular file has an error without a number.
fn is_absent(error: &std::io::Error) -> bool {
    match Errno::from_io_error(error) {
        None => true,
        Some(number) => {
            matches!(number, Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::ACCESS | Errno::PERM)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn polled(response: Response, fields: &[(&str, &str)]) -> Response {
        let request =
            fields.iter().fold(Request::get("/"), |request, (name, value)| request.with_header(name, value));
        response.with_etag(&request)
    }

    #[test]
    fn a_304_keeps_what_a_cache_needs_and_drops_what_describes_content() {
        let made = || {
            Response::text("state")
                .with_header("cache-control", "no-cache")
                .with_header("content-location", "/state")
                .with_header("content-language", "en")
                .with_header("expires", "0")
                .with_header("vary", "origin")
                .with_header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
                .with_header("access-control-allow-origin", "https://pump.example")
        };
        let tag = made().with_etag(&Request::get("/")).header("etag").unwrap().to_str().unwrap().to_string();
        let response = polled(made(), &[("if-none-match", &tag)]);
        assert_eq!(response.status(), 304);
        let mut names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let kept =
            ["access-control-allow-origin", "cache-control", "content-location", "etag", "expires", "vary"];
        assert_eq!(names, kept);
        assert_eq!(response.into_bytes().unwrap(), b"");
        assert_eq!(polled(made(), &[("if-none-match", "\"other\"")]).into_bytes().unwrap(), b"state");
        assert_eq!(polled(made(), &[("if-match", "\"other\"")]).status(), 412);
        assert_eq!(polled(made(), &[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]).status(), 304);
    }

    #[test]
    fn only_a_200_for_a_read_gets_a_tag_and_a_tag_of_ones_own_counts() {
        let get = Request::get("/").with_header("if-none-match", "W/\"7\"");
        assert_eq!(Response::text("a").with_header("etag", "\"7\"").with_etag(&get).status(), 304);
        let stream = || Response::reader(&b"a"[..]);
        assert_eq!(stream().with_header("etag", "\"7\"").with_etag(&get).status(), 304);
        assert!(stream().with_etag(&get).header("etag").is_none());
        let created = Response::text("a").with_status(StatusCode::CREATED).with_etag(&get);
        assert!(created.header("etag").is_none());
        let post = Request::post("/").with_header("if-none-match", "*");
        let posted = Response::text("a").with_etag(&post);
        assert_eq!((posted.status().as_u16(), posted.header("etag")), (200, None));
    }

    #[test]
    fn a_file_of_the_programs_is_sent_and_what_is_no_file_is_404() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("manual.txt");
        fs::write(&path, "0123456789").unwrap();
        std::os::unix::fs::symlink(&path, dir.path().join("link.txt")).unwrap();
        for path in [path.clone(), dir.path().join("link.txt")] {
            let request = Request::get("/").with_header("range", "bytes=2-4");
            let response = Response::file(&request, path);
            assert_eq!(response.status(), 206);
            assert_eq!(response.header("content-type").unwrap(), "text/plain; charset=utf-8");
            assert_eq!(response.into_bytes().unwrap(), b"234");
        }
        for path in [dir.path(), &dir.path().join("none"), &path.join("x"), Path::new("/dev/null")] {
            assert_eq!(Response::file(&Request::get("/"), path).status(), 404, "{path:?}");
        }
    }

    #[test]
    fn the_mark_of_a_secret_is_added_to_what_is_said_to_caches() {
        let response = Response::text("token").with_header("cache-control", "no-store").never_compressed();
        let values: Vec<_> = response.headers().get_all("cache-control").iter().collect();
        assert_eq!(values, ["no-store", "no-transform"]);
    }
}
