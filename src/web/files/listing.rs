//! The page with the names in a folder. Knows text only. `Files` calls it, if it was asked to list.

use std::fmt::Write;

use ::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use ::http::HeaderValue;

use super::found::Item;
use crate::http::response::Response;
use crate::web::representation::NO_CACHE;

/// The page for a folder; `path` is the folder's as it was asked for. Nothing in it runs, whatever the names are.
pub(super) fn page(path: &str, items: Vec<Item>) -> Response {
    let title = escaped(path);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<ul>\n"
    );
    if path != "/" {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for Item { is_file, name } in items {
        let slash = if is_file { "" } else { "/" };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<li><a href=\"./{}{slash}\">{}{slash}</a>", encoded(&name), escaped(&name));
    }
    page.push_str("</ul>\n</html>\n");
    Response::bytes(page)
        .with_header("content-type", "text/html; charset=utf-8")
        .with_field(CACHE_CONTROL, NO_CACHE)
        .with_field(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"))
}

/// Text, as it stands in HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A name, as it stands in a URL's path and in HTML: all but unreserved characters are encoded (RFC 3986 §2.3).
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_in_the_page_and_stay_in_the_folder() {
        let names =
            ["a&b", "<script>alert(1)</script>", "\"'x", "a b", "50%", "//evil", "javascript:alert(1)", "ä"];
        let items = names.map(|name| Item { is_file: true, name: name.into() });
        let items = items.into_iter().chain([Item { is_file: false, name: "sub".into() }]).collect();
        let page = String::from_utf8(page("/a<b>/", items).into_bytes().unwrap()).unwrap();
        assert!(page.contains("<h1>/a&lt;b&gt;/</h1>") && !page.contains("<script"), "{page}");
        for link in [
            "../",
            "./a%26b",
            "./%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
            "./%22%27x",
            "./a%20b",
            "./50%25",
            "./%2F%2Fevil",
            "./javascript%3Aalert%281%29",
            "./%C3%A4",
            "./sub/",
        ] {
            assert!(page.contains(&format!("href=\"{link}\"")), "{link} in {page}");
        }
    }
}
