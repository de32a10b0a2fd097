//! The redirect from a folder's path without its last slash to the path with it, so that the links in its page lead below it.
//! Knows requests and responses. The router and `web` call it.

use ::http::header::LOCATION;
use ::http::{HeaderValue, StatusCode};

use super::request::Request;
use super::response::Response;

/// 307 to the same path with a slash, and the same query. The target is a relative reference that begins with `./`, so it never
/// leads to another host, whatever the path is, and it is right behind a proxy with another prefix. A browser would keep a
/// permanent redirect for ever, also when the folder becomes a file.
pub fn with_slash(request: &Request<'_>) -> Response {
    let path = request.raw_path();
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut target = [b"./", last, b"/"].concat();
    if let Some(query) = request.raw_query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    // What was in a request's head is allowed in a response's.
    let target = HeaderValue::from_bytes(&target).unwrap_or(HeaderValue::from_static("./"));
    Response::new(StatusCode::TEMPORARY_REDIRECT).with_field(LOCATION, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_stays_at_its_host() {
        for (target, expected) in [
            ("/docs", "./docs/"),
            ("/a/docs?x=1&y=//evil", "./docs/?x=1&y=//evil"),
            ("/a%20b", "./a%20b/"),
            ("/%2f%2fevil", "./%2f%2fevil/"),
            ("/javascript:alert(1)", "./javascript:alert(1)/"),
            ("/a/%5C%5Cevil", "./%5C%5Cevil/"),
        ] {
            let response = with_slash(&Request::get(target));
            assert_eq!(response.header("location").unwrap(), expected);
        }
    }
}
