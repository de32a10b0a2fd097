//! An answer of this proxy instead of the backend's: a problem document, or a small page for a client that prefers one. Values only.
//! `failure` and `mod` make answers with it.

use ::http::header::{ACCEPT, RETRY_AFTER, VARY};
use ::http::{HeaderValue, StatusCode};

use crate::backports::Trim;
use crate::http::into_response::IntoResponse;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::upgrade::members;

/// What the client can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Problem,
    Page,
}

impl Shows {
    /// What this request prefers by its `Accept` fields (RFC 9110 §12.5.1): a page only if it weighs more than a problem document.
    pub(super) fn of(request: &Request<'_>) -> Shows {
        let mut page = Weight::default();
        let mut problem = Weight::default();
        for range in members(request.field_lines(ACCEPT.as_str())) {
            let mut parts = range.split(|&byte| byte == b';').map(Trim::trimmed);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(weight).unwrap_or(1_000);
            match &*kind {
                b"text/html" => page.note(2, weight),
                b"text/*" => page.note(1, weight),
                b"application/problem+json" | b"application/json" => problem.note(2, weight),
                b"application/*" => problem.note(1, weight),
                b"*/*" => {
                    page.note(0, weight);
                    problem.note(0, weight);
                }
                _ => {}
            }
        }
        if page.weight > problem.weight {
            Shows::Page
        } else {
            Shows::Problem
        }
    }
}

/// The weight of a type in thousandths, by the most particular range that names it.
#[derive(Default)]
struct Weight {
    particular: u8,
    weight: u32,
}

impl Weight {
    fn note(&mut self, particular: u8, weight: u32) {
        if particular > self.particular {
            *self = Weight { particular, weight };
        } else if particular == self.particular {
            self.weight = self.weight.max(weight);
        }
    }
}

/// The weight in a parameter `q=0.8`, in thousandths.
fn weight(parameter: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(parameter).ok()?;
    let value: f32 = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q="))?.parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1_000.0) as u32)
}

/// The answer with this status, which says why in `detail`: a plain sentence of this program. `retry` is after how many seconds the
/// client may try again.
pub(super) fn answer(shows: Shows, status: StatusCode, detail: &str, retry: Option<u32>) -> Response {
    let answer = match shows {
        Shows::Problem => Problem::new(status).detail(detail).into_response(),
        Shows::Page => {
            let reason = status.canonical_reason().unwrap_or("");
            let again = match retry {
                Some(1) => "<p>Try again in a second.</p>".to_string(),
                Some(seconds) => format!("<p>Try again in {seconds} seconds.</p>"),
                None => String::new(),
            };
            let number = status.as_u16();
            Response::html(format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{number} {reason}</title>\
                 <h1>{number} {reason}</h1><p>{detail}</p>{again}</html>\n"
            ))
            .with_status(status)
        }
    };
    let answer = answer.with_field(VARY, HeaderValue::from_static("accept"));
    match retry {
        Some(seconds) => answer.with_field(RETRY_AFTER, HeaderValue::from(seconds)),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_those_who_prefer_one() {
        let shows = |accept: &[&str]| {
            let request = accept
                .iter()
                .fold(Request::get("/"), |request, accept| request.with_header("Accept", accept));
            Shows::of(&request)
        };
        for page in [
            &["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"][..],
            &["text/html"],
            &["application/json;q=0.5, text/html;q=0.6"],
            &["application/json;q=0.5", "TEXT/HTML"],
            &["text/*"],
            &["application/*;q=0, text/html;q=0.001"],
        ] {
            assert_eq!(shows(page), Shows::Page, "{page:?}");
        }
        for problem in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &["application/json, text/html"],
            &["text/html;q=0"],
            &["text/html;q=0, */*"],
            &["application/problem+json, text/html;q=0.9"],
            &["text/html;level=1;q=0.3, application/*;q=0.4"],
            &["text/plain"],
            &["x"],
            &[",;q="],
        ] {
            assert_eq!(shows(problem), Shows::Problem, "{problem:?}");
        }
    }

    #[test]
    fn both_say_the_same() {
        let said = |shows| answer(shows, StatusCode::SERVICE_UNAVAILABLE, "Nobody is here.", Some(5));
        for (shows, content_type) in
            [(Shows::Problem, "application/problem+json"), (Shows::Page, "text/html; charset=utf-8")]
        {
            let response = said(shows);
            assert_eq!(response.status(), 503);
            assert_eq!(response.header("retry-after").unwrap(), "5");
            assert_eq!(response.header("content-type").unwrap(), content_type);
            assert_eq!(response.header("vary").unwrap(), "accept");
        }
        let page = String::from_utf8(said(Shows::Page).into_bytes().unwrap()).unwrap();
        assert!(page.contains(
            "<h1>503 Service Unavailable</h1><p>Nobody is here.</p><p>Try again in 5 seconds.</p>"
        ));
        assert!(!page.contains("script"), "{page}");
    }
}
