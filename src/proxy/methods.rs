//! Methods that are about the way of a request: TRACE, which no backend gets, and OPTIONS, whose client may say how many proxies it
//! passes (RFC 9110 §7.6.2). Values only. `mod` asks for the answer, and `request` for what the next one gets.

use ::http::header::{ALLOW, MAX_FORWARDS};
use ::http::{HeaderValue, Method, StatusCode};

use super::error_page::{self, Shows};
use crate::http::request::Request;
use crate::http::response::Response;

/// What a program behind this one may serve.
const PASSED_ON: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// The answer to a request that goes to no backend.
pub(super) fn own_answer(request: &Request<'_>) -> Option<Response> {
    let response = match *request.method() {
        // Its answer shows a client's script the fields that browsers hide from it, and those that the proxy adds.
        Method::TRACE => {
            let detail = "TRACE is not passed on to the server behind this one.";
            error_page::answer(Shows::of(request), StatusCode::METHOD_NOT_ALLOWED, detail, None)
        }
        Method::OPTIONS if request.field_lines(MAX_FORWARDS.as_str()).any(|left| number(left) == Some(0)) => {
            Response::new(StatusCode::NO_CONTENT)
        }
        _ => return None,
    };
    Some(response.with_field(ALLOW, PASSED_ON))
}

/// The value of `Max-Forwards` for the next proxy. `None` if it is no number, which means nothing.
pub(super) fn one_less(left: &[u8]) -> Option<String> {
    number(left).map(|left| left.saturating_sub(1).to_string())
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    // A larger one is more than there are proxies.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::request::{write_head, Framing};
    use super::super::shared::Settings;
    use super::*;

    fn written(request: &Request<'_>) -> String {
        let mut out = Vec::new();
        let path = request.raw_path();
        write_head(&mut out, request, path, None, &Settings::default(), Framing::Length(0), false);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn trace_goes_to_no_backend_and_options_as_far_as_its_client_says() {
        let ask = |method, left: &str| Request::new(method, "/").with_header("Max-Forwards", left);
        let status = |method, left| own_answer(&ask(method, left)).map(|answer| answer.status().as_u16());
        assert_eq!(status(Method::TRACE, "5"), Some(405));
        for (left, answered, next) in [
            ("0", true, ""),
            ("00", true, ""),
            ("1", false, "0"),
            ("10", false, "9"),
            ("99999999999999999999", false, "18446744073709551614"),
            ("-1", false, "-1"),
            ("1, 2", false, "1, 2"),
            ("", false, ""),
        ] {
            assert_eq!(status(Method::OPTIONS, left), answered.then_some(204), "{left:?}");
            if !answered {
                let head = written(&ask(Method::OPTIONS, left));
                assert!(head.contains(&format!("\r\nMax-Forwards: {next}\r\n")), "{left:?}: {head}");
            }
        }
        // For other methods it means nothing.
        assert_eq!(status(Method::GET, "0"), None);
        let head = written(&ask(Method::GET, "3"));
        assert!(head.contains("\r\nMax-Forwards: 3\r\n"), "{head}");
    }
}
