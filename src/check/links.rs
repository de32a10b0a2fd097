//! Links in JSON that lead a client from HTTPS to plain HTTP. Values only; the HTTPS probes call it.

use std::net::IpAddr;

use serde_json::Value;

use crate::escape;
use crate::url::{Host, Url};

/// How many strings of a document are read, and how deep.
const MOST_STRINGS: usize = 20_000;
const DEEPEST: usize = 64;
/// How many links a finding names.
pub(super) const MOST_NAMED: usize = 5;

/// Hosts whose URLs are names of schemas, namespaces and problems, not links.
const NAMES: [&str; 9] = [
    "www.w3.org",
    "w3.org",
    "json-schema.org",
    "schema.org",
    "schemas.xmlsoap.org",
    "purl.org",
    "xmlns.com",
    "swagger.io",
    "spec.openapis.org",
];
/// Members whose values are such names, for any host.
const NAMING: [&str; 8] = ["$schema", "$id", "$ref", "@context", "@id", "@vocab", "namespace", "xmlns"];

/// The `http://` links in a document, each once. A link to this machine does not count, unless this machine is checked.
pub(super) fn http_links(document: &Value, checked: &Host) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = MOST_STRINGS;
    walk(document, "", DEEPEST, &mut left, &mut |member, text| {
        if NAMING.contains(&member) || !starts_with_http(text) || found.iter().any(|link| link == text) {
            return;
        }
        // Text after the first blank is prose.
        let Ok(url) = Url::parse(text.split_whitespace().next().unwrap_or_default()) else { return };
        if is_link(&url, checked) {
            found.push(escape::bounded(text, 200).to_string());
        }
    });
    found
}

/// The `http://` servers of an OpenAPI document: `servers` of version 3, `schemes` of version 2.
pub(super) fn http_servers(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for server in document["servers"].as_array().into_iter().flatten().take(100) {
        if let Some(url) = server["url"].as_str().filter(|url| starts_with_http(url)) {
            found.push(escape::bounded(url, 200).to_string());
        }
    }
    let schemes = document["schemes"].as_array().into_iter().flatten();
    if schemes.into_iter().any(|scheme| scheme == "http") {
        found.push("schemes: http".to_string());
    }
    found
}

pub(super) fn is_openapi(document: &Value) -> bool {
    document["openapi"].is_string() || document["swagger"].is_string()
}

/// The place of the API's description, as a JSON answer gives it.
pub(super) fn descriptions(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = MOST_STRINGS;
    walk(document, "", DEEPEST, &mut left, &mut |_, text| {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.ends_with("openapi.json") || path.ends_with("swagger.json") {
            found.push(text.to_string());
        }
    });
    found
}

fn walk(value: &Value, member: &str, depth: usize, left: &mut usize, see: &mut impl FnMut(&str, &str)) {
    if depth == 0 || *left == 0 {
        return;
    }
    match value {
        Value::String(text) => {
            *left -= 1;
            see(member, text);
        }
        Value::Array(values) => {
            values.iter().for_each(|value| walk(value, member, depth - 1, left, see));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| walk(value, name, depth - 1, left, see));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn starts_with_http(text: &str) -> bool {
    text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
}

fn is_link(url: &Url, checked: &Host) -> bool {
    if url.host == *checked {
        return true;
    }
    match &url.host {
        Host::Name(name) => {
            let is_example = ["example.com", "example.org", "example.net"]
                .iter()
                .any(|domain| name == domain || name.ends_with(&format!(".{domain}")));
            name != "localhost" && !is_example && !NAMES.contains(&name.as_str())
        }
        Host::Ip(IpAddr::V4(address)) => !address.is_loopback(),
        Host::Ip(IpAddr::V6(address)) => !address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_differ_from_names_and_from_this_machine() {
        let document = json!({
            "self": "http://device.local/api/data",
            "next": {"href": "HTTP://cdn.device.test/2"},
            "again": "http://device.local/api/data",
            "secure": "https://device.local/",
            "$schema": "http://device.local/schema",
            "type": "http://www.w3.org/2001/XMLSchema",
            "base": "http://localhost:3000/",
            "loop": ["http://127.0.0.1/", "http://[::1]/"],
            "docs": "http://api.example.com/",
            "words": "see http://device.local/",
        });
        let mut links = http_links(&document, &Host::Name("device.local".into()));
        links.sort();
        assert_eq!(links, ["HTTP://cdn.device.test/2", "http://device.local/api/data"]);
        let own = http_links(&document, &Host::Name("localhost".into()));
        assert!(own.contains(&"http://localhost:3000/".to_string()), "{own:?}");
    }

    #[test]
    fn servers_of_both_versions_are_found() {
        let three = json!({"openapi": "3.1.0", "servers": [{"url": "https://a/"}, {"url": "http://a/"}]});
        let two = json!({"swagger": "2.0", "schemes": ["https", "http"]});
        assert!(is_openapi(&three) && is_openapi(&two) && !is_openapi(&json!({"a": 1})));
        assert_eq!(http_servers(&three), ["http://a/"]);
        assert_eq!(http_servers(&two), ["schemes: http"]);
        assert!(http_servers(&json!({"servers": [{"url": "/v1"}], "schemes": ["https"]})).is_empty());
        assert!(http_servers(&json!([1, "x"])).is_empty());
        assert_eq!(descriptions(&json!({"doc": "/v1/openapi.json", "x": "/y"})), ["/v1/openapi.json"]);
    }

    #[test]
    fn a_deep_document_is_looked_at_to_a_depth() {
        let mut document = json!("http://device.local/");
        for _ in 0..100 {
            document = json!([document]);
        }
        assert!(http_links(&document, &Host::Name("device.local".into())).is_empty());
    }
}
