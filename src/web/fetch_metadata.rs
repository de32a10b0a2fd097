//! The guard against requests that other sites make in a user's name, by Fetch metadata (W3C, "Fetch Metadata Request
//! Headers") and `Origin`. Knows requests and responses. It is used as a layer.

use ::http::{Method, StatusCode};

use super::origin::{is_own, Null, Origin, Origins};
use super::vary;
use crate::error::Error;
use crate::http::into_response::IntoResponse;
use crate::http::layer::{Layer, Next};
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;

/// Keeps out what pages of other origins do in a user's name: their requests come with the user's cookies or certificate, and
/// from the user's network (CSRF). Refused requests get 403.
///
/// ```
/// use lockgate::web::FetchMetadata;
/// use lockgate::{Request, Router, StatusCode};
///
/// let router = Router::new().post("/api/reboot", |_: &mut Request| StatusCode::ACCEPTED).with(FetchMetadata::new());
/// let reboot = |site: &str| router.call(&mut Request::post("/api/reboot").with_header("sec-fetch-site", site)).status();
/// assert_eq!(reboot("same-origin"), 202);
/// assert_eq!(reboot("cross-site"), 403);
/// // A program is no page.
/// assert_eq!(router.call(&mut Request::post("/api/reboot")).status(), 202);
/// ```
///
/// GET, HEAD and OPTIONS go on, so a GET must change nothing. Any other request, and one that opens a WebSocket, goes on if
///
/// - `Sec-Fetch-Site` says `same-origin`, or `none`: the user typed the address, or used a bookmark;
/// - its `Origin` is [trusted](FetchMetadata::trust);
/// - it has no `Sec-Fetch-Site`, and its `Origin` is `https://` and its `Host`: browsers send the one since 2019 to 2023
///   (Chrome 76, Firefox 90, Safari 16.4), and the other with such requests for much longer;
/// - it has neither: no browser sends that, so it comes from a program, which nobody else can make do it.
///
/// `same-site` is refused as well: another host of the domain, or another port of this host, is somebody else's program.
/// [`guard_reads`](FetchMetadata::guard_reads) refuses more.
#[derive(Debug, Clone, Default)]
#[must_use = "`Router::with` puts it around the routes"]
pub struct FetchMetadata {
    trusted: Origins,
    guards_reads: bool,
}

impl FetchMetadata {
    /// With the defaults.
    pub fn new() -> FetchMetadata {
        FetchMetadata::default()
    }

    /// Pages of these origins may do what the user may: those that [`Cors`](super::Cors) names. Defaults to none.
    ///
    /// # Errors
    /// [`Error::Setting`]: there is no origin, or one is not written as browsers write it, or is `null`.
    pub fn trust<O: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = O>,
    ) -> Result<FetchMetadata, Error> {
        self.trusted = Origins::named("fetch metadata", Null::Refused, origins)?;
        Ok(self)
    }

    /// Refuses GET and HEAD from pages of other origins too, except when the user follows a link: so no other page embeds an
    /// image, a script or a frame of this server, or measures how it answers. Defaults to off.
    pub fn guard_reads(mut self) -> FetchMetadata {
        self.guards_reads = true;
        self
    }

    /// The answer to a request that is refused.
    fn refusal(&self, request: &Request<'_>) -> Option<Response> {
        if self.lets_pass(request) {
            return None;
        }
        let problem = Problem::new(StatusCode::FORBIDDEN)
            .detail("The request comes from a page of another origin (Sec-Fetch-Site, Origin), which may not make it.");
        Some(problem.into_response())
    }

    fn lets_pass(&self, request: &Request<'_>) -> bool {
        let kind = Kind::of(request);
        if kind == Kind::Options || (kind == Kind::Read && !self.guards_reads) {
            return true;
        }
        let origin = Origin::of(request);
        if self.trusted.find(origin).is_some() {
            return true;
        }
        let mut sites = request.field_lines("sec-fetch-site");
        match (sites.next(), sites.next()) {
            (None, _) => match origin {
                Origin::Absent => true,
                Origin::One(origin) => is_own(origin, request),
                Origin::Several => false,
            },
            (Some(b"same-origin" | b"none"), None) => true,
            (Some(_), _) => kind == Kind::Read && is_link(request),
        }
    }
}

impl Layer for FetchMetadata {
    fn call(&self, request: &mut Request<'_>, next: Next<'_>) -> Response {
        let mut response = match self.refusal(request) {
            Some(refusal) => refusal,
            None => next.run(request),
        };
        if self.guards_reads {
            let fields = response.headers_mut();
            for name in ["sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "origin"] {
                vary::add(fields, name);
            }
        }
        response
    }
}

/// What a request can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    /// Asks what there is, as a preflight does.
    Options,
    /// Changes something, or opens a connection that can.
    Write,
}

impl Kind {
    fn of(request: &Request<'_>) -> Kind {
        match *request.method() {
            Method::OPTIONS => Kind::Options,
            // CORS does not keep pages of other origins from a WebSocket.
            Method::GET | Method::HEAD if request.field_lines("upgrade").next().is_none() => Kind::Read,
            _ => Kind::Write,
        }
    }
}

/// Whether the user follows a link, in a window of its own.
fn is_link(request: &Request<'_>) -> bool {
    let is = |name: &'static str, value: &str| request.header(name) == Some(value);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUSTED: &str = "https://app.example:8443";

    fn passes(guard: &FetchMetadata, method: &Method, fields: &[(&str, &str)]) -> bool {
        let request = fields.iter().fold(Request::new(method.clone(), "/"), |request, (name, value)| {
            request.with_header(name, value)
        });
        let refusal = guard.refusal(&request);
        assert!(refusal.as_ref().map_or(true, |response| response.status() == 403));
        refusal.is_none()
    }

    #[test]
    fn a_write_of_another_origin_is_refused_and_one_of_a_user_or_a_program_is_not() {
        let guard = FetchMetadata::new().trust([TRUSTED]).unwrap();
        let site = |site| ("sec-fetch-site", site);
        let origin = |origin| ("origin", origin);
        let host = ("host", "gateway.local");
        for (fields, passed) in [
            (&[][..], true),
            (&[host], true),
            (&[site("same-origin")], true),
            (&[site("none")], true),
            (&[site("none"), ("sec-fetch-mode", "navigate")], true),
            (&[site("same-origin"), origin("null")], true),
            (&[site("same-site")], false),
            (&[site("cross-site")], false),
            (&[site("cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], false),
            (&[site("cross-site"), ("sec-fetch-mode", "no-cors")], false),
            (&[site("cross-site"), origin("https://evil.example")], false),
            (&[site("cross-site"), origin(TRUSTED)], true),
            (&[site("same-site"), origin(TRUSTED)], true),
            (&[site("cross-site"), origin("https://app.example")], false),
            (&[site("cross-site"), origin(TRUSTED), origin("https://evil.example")], false),
            // The browser knows better than a proxy that has changed Host.
            (&[site("same-origin"), origin("https://gateway.example"), host], true),
            (&[site("cross-site"), origin("https://gateway.local"), host], false),
            // What is not known is not trusted.
            (&[site("")], false),
            (&[site("Same-Origin")], false),
            (&[site("sibling")], false),
            (&[site("same-origin"), site("cross-site")], false),
            (&[site("same-origin, cross-site")], false),
        ] {
            for method in [
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
                Method::from_bytes(b"PURGE").unwrap(),
            ] {
                assert_eq!(passes(&guard, &method, fields), passed, "{method} {fields:?}");
            }
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                assert!(passes(&guard, &method, fields), "{method} {fields:?}");
            }
            let websocket = [fields, &[("upgrade", "websocket"), ("connection", "upgrade")]].concat();
            assert_eq!(passes(&guard, &Method::GET, &websocket), passed, "{websocket:?}");
        }
    }

    #[test]
    fn an_older_browser_is_judged_by_its_origin() {
        let guard = FetchMetadata::new();
        for (origin, host, passed) in [
            ("https://gateway.local", "gateway.local", true),
            ("https://gateway.local", "gateway.local:443", true),
            ("https://gateway.local", "Gateway.Local", true),
            ("https://gateway.local:8443", "gateway.local:8443", true),
            ("https://192.168.1.7:8443", "192.168.1.7:8443", true),
            ("https://[fd00::7]:8443", "[fd00::7]:8443", true),
            ("https://gateway.local:8443", "gateway.local", false),
            ("https://gateway.local", "gateway.local:8443", false),
            ("http://gateway.local", "gateway.local", false),
            ("http://gateway.local:443", "gateway.local:443", false),
            ("https://gateway.local.evil.example", "gateway.local", false),
            ("https://evil.example", "gateway.local", false),
            ("null", "gateway.local", false),
            ("", "gateway.local", false),
            ("https://", "", false),
        ] {
            let fields = [("origin", origin), ("host", host)];
            assert_eq!(passes(&guard, &Method::POST, &fields), passed, "{origin} {host}");
        }
        assert!(!passes(&guard, &Method::POST, &[("origin", "https://gateway.local")]));
        let twice = ("origin", "https://gateway.local");
        assert!(!passes(&guard, &Method::POST, &[twice, twice, ("host", "gateway.local")]));
    }

    #[test]
    fn reads_are_guarded_on_request_and_links_still_lead_here() {
        let guard = FetchMetadata::new().guard_reads();
        let get = |site, mode, dest| {
            passes(
                &guard,
                &Method::GET,
                &[("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)],
            )
        };
        for (site, mode, dest, passed) in [
            ("none", "navigate", "document", true),
            ("same-origin", "no-cors", "image", true),
            ("same-origin", "cors", "empty", true),
            ("cross-site", "navigate", "document", true),
            ("same-site", "navigate", "document", true),
            ("cross-site", "navigate", "iframe", false),
            ("cross-site", "navigate", "object", false),
            ("cross-site", "no-cors", "image", false),
            ("cross-site", "no-cors", "script", false),
            ("same-site", "no-cors", "script", false),
            ("cross-site", "cors", "empty", false),
            ("cross-site", "websocket", "websocket", false),
        ] {
            assert_eq!(get(site, mode, dest), passed, "{site} {mode} {dest}");
        }
        assert!(passes(&guard, &Method::GET, &[]));
        assert!(passes(
            &guard,
            &Method::OPTIONS,
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]
        ));
        assert!(!passes(
            &guard,
            &Method::GET,
            &[("origin", "https://evil.example"), ("host", "gateway.local")]
        ));
    }

    #[test]
    fn null_cannot_be_trusted() {
        for origin in ["null", "*", "https://app.example/"] {
            assert!(FetchMetadata::new().trust([origin]).is_err(), "{origin}");
        }
    }
}
