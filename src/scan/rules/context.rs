//! The context of a value: the key that it is assigned to, the call that it is passed to, the key of its block of
//! configuration.

use crate::backports::Trim;
use crate::scan::languages::Language;
use crate::scan::place::{is_of_name, Source};

/// How many bytes are searched for the key of a block.
const BLOCK: usize = 1500;

/// The key of a value in code or configuration, from the text before the value (and its quote) in the line: `key = `,
/// `"key": `, `key => `, `("key", `, `key=`, `key := new URL(`.
pub(super) fn key_of(before: &[u8]) -> Option<&[u8]> {
    if let Some(definition) = before.trimmed_start().strip_prefix(b"#define ") {
        let definition = definition.trimmed();
        let length = definition.iter().take_while(|byte| is_of_name(**byte)).count();
        return Some(&definition[..length]).filter(|name| !name.is_empty() && name.len() == definition.len());
    }
    let mut rest = before.trimmed_end();
    // Conversions around the value: `new URL(`, `Uri.parse(`, `[`.
    for _ in 0..3 {
        let Some(outer) = rest.strip_suffix(b"(").or(rest.strip_suffix(b"[")).or(rest.strip_suffix(b"{"))
        else {
            break;
        };
        let outer = outer.trimmed_end();
        let name = outer.iter().rev().take_while(|byte| is_of_name(**byte) || b".:!&".contains(byte)).count();
        // `api:new URL(` without a space has taken the colon too, which is rare and costs nothing.
        rest = outer[..outer.len() - name].trimmed_end();
        rest = rest.strip_suffix(b"new").unwrap_or(rest).trimmed_end();
        rest = rest.strip_suffix(b"await").unwrap_or(rest).trimmed_end();
    }
    let separators: &[&[u8]] = &[b"=>", b":=", b"??=", b"?=", b"+=", b"||=", b"=", b":", b","];
    let is_argument = rest.ends_with(b",");
    let rest = separators.iter().find_map(|separator| rest.strip_suffix(*separator))?.trimmed_end();
    // A type is between: `url: String =`.
    let rest = match rest.iter().rposition(|byte| *byte == b':') {
        Some(colon)
            if before.trimmed_end().ends_with(b"=")
                && rest[colon + 1..]
                    .trimmed()
                    .iter()
                    .all(|byte| is_of_name(*byte) || b"<>?[]&' ".contains(byte)) =>
        {
            rest[..colon].trimmed_end()
        }
        _ => rest,
    };
    let whole = rest;
    let rest = rest.strip_suffix(b"]").unwrap_or(rest);
    let rest =
        rest.strip_suffix(b"\"").or(rest.strip_suffix(b"'")).or(rest.strip_suffix(b"`")).unwrap_or(rest);
    let rest = rest.strip_suffix(b"\\").unwrap_or(rest);
    let length = rest.iter().rev().take_while(|byte| is_of_name(**byte) || b"-.@".contains(byte)).count();
    let key = &rest[rest.len() - length..];
    // The first of two arguments names the second only in the form of a name: in quotes, as a symbol, or as a constant.
    let is_named =
        rest.len() < whole.len() || rest[..rest.len() - length].ends_with(b":") || is_a_constant(key);
    Some(key).filter(|key| !key.is_empty() && (!is_argument || is_named))
}

fn is_a_constant(key: &[u8]) -> bool {
    let name = key.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    name.iter().filter(|byte| byte.is_ascii_uppercase()).count() > 2
        && !name.iter().any(u8::is_ascii_lowercase)
}

/// The name of the list of many lines that has a place as an item: `allowedOrigins = [`, `LegacySiteLinks { get; } = {`.
pub(super) fn name_of_list<'a>(source: &Source<'a>, at: usize) -> Option<&'a [u8]> {
    let before = source.before(at, BLOCK);
    let mut depth = 0_usize;
    let open = before.iter().rposition(|byte| {
        match byte {
            b']' | b'}' | b')' => depth += 1,
            b'[' | b'{' | b'(' if depth == 0 => return true,
            b'[' | b'{' | b'(' => depth -= 1,
            _ => {}
        }
        false
    })?;
    // Arguments of a call are not a list.
    if before[open] == b'(' {
        return None;
    }
    let mut outer = before[..open].trimmed_end();
    for part in [&b"new[]"[..], b"new string[]", b"new List<string>", b"new"] {
        outer = outer.strip_suffix(part).unwrap_or(outer).trimmed_end();
    }
    let outer =
        outer.strip_suffix(b"=>").or(outer.strip_suffix(b"=")).or(outer.strip_suffix(b":"))?.trimmed_end();
    // C#: `{ get; protected set; }` is between.
    let outer = match outer.strip_suffix(b"}") {
        Some(accessors) => &accessors[..accessors.iter().rposition(|byte| *byte == b'{')?],
        None => outer,
    };
    let outer = outer.trimmed_end();
    let outer = outer.strip_suffix(b"[]").unwrap_or(outer);
    let outer = outer.strip_suffix(b"\"").or(outer.strip_suffix(b"'")).unwrap_or(outer);
    let length = outer.iter().rev().take_while(|byte| is_of_name(**byte) || **byte == b'-').count();
    Some(&outer[outer.len() - length..]).filter(|name| !name.is_empty())
}

/// The key of the block around a line of YAML or an object of JSON.
pub(super) fn block_of<'a>(source: &Source<'a>, at: usize) -> Option<&'a [u8]> {
    match source.language {
        Language::Yaml => yaml_block(source, at),
        Language::Json => json_block(source, at),
        _ => None,
    }
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

fn yaml_block<'a>(source: &Source<'a>, at: usize) -> Option<&'a [u8]> {
    let line = source.line_before(at);
    let own = indent(line);
    let is_item = line[own..].starts_with(b"-");
    let above = source.before(at - line.len().min(at), BLOCK);
    let mut lines = above.rsplit(|byte| *byte == b'\n').filter(|line| !line.trimmed().is_empty());
    let parent = lines.find(|line| {
        let of_line = indent(line);
        let begins_item = line[of_line..].starts_with(b"-");
        (of_line < own || is_item && of_line == own && !begins_item) && line.trimmed_end().ends_with(b":")
            || of_line == 0 && own > 0 && !begins_item
    })?;
    let parent = parent.trimmed();
    let parent = parent.strip_prefix(b"- ").unwrap_or(parent);
    Some(parent.strip_suffix(b":").unwrap_or(parent))
}

fn json_block<'a>(source: &Source<'a>, at: usize) -> Option<&'a [u8]> {
    let before = source.before(at, BLOCK);
    let mut depth = 0_usize;
    for (index, byte) in before.iter().enumerate().rev() {
        match byte {
            b'}' | b']' => depth += 1,
            b'{' | b'[' if depth > 0 => depth -= 1,
            b'{' | b'[' => {
                let outer = before[..index].trimmed_end();
                if let Some(key) =
                    outer.strip_suffix(b":").and_then(|key| key.trimmed_end().strip_suffix(b"\""))
                {
                    let start = key.iter().rposition(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
                    return Some(&key[start..]);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a call only inspects or shows an address, or uses it as a name.
pub(super) fn asks_nobody(call: &[u8]) -> bool {
    const CALLS: &[&str] = &[
        "startswith",
        "starts_with",
        "hasprefix",
        "trimprefix",
        "trim_start_matches",
        "strip_prefix",
        "removeprefix",
        "delete_prefix",
        "removestart",
        "cutprefix",
        "endswith",
        "replace",
        "replaceall",
        "replacefirst",
        "replace_all",
        "sub",
        "gsub",
        "str_replace",
        "preg_replace",
        "preg_match",
        "strpos",
        "stripos",
        "str_starts_with",
        "substr",
        "match",
        "matches",
        "test",
        "contains",
        "includes",
        "indexof",
        "index",
        "include?",
        "start_with?",
        "equals",
        "equal",
        "eq",
        "assertequal",
        "assertequals",
        "assert_eq",
        "assert_ne",
        "assert",
        "expect",
        "tobe",
        "print",
        "println",
        "printf",
        "fprintf",
        "puts",
        "log",
        "info",
        "debug",
        "warn",
        "warning",
        "error",
        "fatal",
        "trace",
        "echo",
        "errorf",
        "fatalf",
        "logf",
        "eprintln",
        "qname",
        "createelementns",
        "setattributens",
        "getattributens",
        "hasattributens",
        "removeattributens",
        "getelementsbytagnamens",
        "createdocument",
        "createattributens",
        "namespace",
        "register_namespace",
        "setfeature",
        "getfeature",
        "lstrip",
        "split",
        "strcmp",
        "strncmp",
        "strcasecmp",
        "strncasecmp",
        "strstr",
        "memcmp",
        "text",
        "label",
        "see",
        "help",
        "description",
        "link",
        "raise",
        "panic",
        "anyhow",
        "bail",
        "require_once",
        "uuid5",
        "xnamespace.get",
        "_",
        "gettext",
        "t",
        "tr",
        "translate",
        "usage",
        "fail",
        "abort",
        "die",
        "describe",
        "it",
        "context",
        "origin",
        "alloworigins",
        "allowedorigins",
        "withorigins",
        "compare",
        "regexp",
        "regex",
        "compile",
        "href",
        "anchor",
        "link_to",
        "a",
        "setproperty",
        "getproperty",
        "qualifiedname",
        "namespaceuri",
        "xmlns",
        "proxy",
        "setproxy",
        "proxies",
        "useproxy",
        "webproxy",
        "proxyurl",
        "write_line",
        "writeline",
        "open_url",
        "openurl",
        "openbrowser",
        "open_new_tab",
        "open_new",
        "browse",
        "openexternal",
        "launchurl",
        "processstartinfo",
        "strictequal",
        "deepequal",
        "notequal",
        "isequalto",
        "assertsame",
        "assertnotequal",
        "toequal",
        "have_link",
        "fprintln",
        "formatmessage",
        "trans",
        "i18n",
        "ngettext",
        "say",
        "alert",
        "confirm",
        "redirect_to",
        "redirect",
        "redirectto",
        "sendredirect",
        "shellexecute",
        "shellexecutea",
        "shellexecutew",
        "xmlnewns",
    ];
    let last = call.rsplit(|byte| b".:>".contains(byte)).next().unwrap_or_default();
    let last = String::from_utf8_lossy(last).to_ascii_lowercase();
    let whole = String::from_utf8_lossy(call).to_ascii_lowercase();
    CALLS.contains(&last.as_str())
        || whole.starts_with("assert.")
        || whole.starts_with("webbrowser.")
        || whole.starts_with("t.") && ["is", "deepequal", "not"].contains(&last.as_str())
        || ["error", "exception", "namespace", "warning"].iter().any(|end| last.ends_with(end))
        || last.contains("proxy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_found() {
        let cases = [
            ("const API_URL = ", Some("API_URL")),
            ("  \"baseUrl\": ", Some("baseUrl")),
            ("  url: ", Some("url")),
            ("let url: String = ", Some("url")),
            ("  const u = new URL(", Some("u")),
            ("map.put(\"homepage\", ", Some("homepage")),
            (":site => ", Some("site")),
            ("$config['api'] = ", Some("api")),
            ("API=", Some("API")),
            ("fetch(", None),
            ("client.get(context, ", None),
            ("f(CultureInfo.InvariantCulture, ", None),
            ("setopt(ch, CURLOPT_REFERER, ", Some("CURLOPT_REFERER")),
            ("put(:site, ", Some("site")),
            ("#define APP_WEBSITE     ", Some("APP_WEBSITE")),
            ("return ", None),
            ("endpoint := ", Some("endpoint")),
        ];
        for (before, key) in cases {
            assert_eq!(
                key_of(before.as_bytes()).map(|key| std::str::from_utf8(key).unwrap()),
                key,
                "{before}"
            );
        }
    }

    #[test]
    fn calls_that_make_no_request_are_known() {
        for call in ["url.startsWith", "strings.HasPrefix", "assert_eq", "console.log", "ValueError"] {
            assert!(asks_nobody(call.as_bytes()), "{call}");
        }
        for call in ["fetch", "client.get", "http.Get", "requests.post", "format"] {
            assert!(!asks_nobody(call.as_bytes()), "{call}");
        }
    }

    #[test]
    fn the_name_of_a_list_is_found() {
        let name = |text: &str| {
            let source = Source::new(text.as_bytes(), Language::CSharp, "a", false, &[]);
            name_of_list(&source, text.len()).map(|name| String::from_utf8_lossy(name).into_owned())
        };
        assert_eq!(name("allowedOrigins = [\n  \"x\",\n").as_deref(), Some("allowedOrigins"));
        assert_eq!(name("string[] OldLinks { get; protected set; } = {\n").as_deref(), Some("OldLinks"));
        assert_eq!(name("a = new[]\n{\n").as_deref(), Some("a"));
        assert_eq!(name("f(a,\n"), None);
    }

    #[test]
    fn the_block_of_a_line_is_found() {
        let at = |text: &str, language| {
            let at = text.find("http").unwrap();
            let source = Source::new(text.as_bytes(), language, "a", false, &[]);
            block_of(&source, at).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        let yaml = |text: &str| at(text, Language::Yaml);
        assert_eq!(yaml("info:\n  contact:\n    name: x\n    url: http").as_deref(), Some("contact"));
        assert_eq!(yaml("servers:\n- url: http").as_deref(), Some("servers"));
        assert_eq!(yaml("servers:\n  - a: b\n    url: http").as_deref(), Some("servers"));
        assert_eq!(yaml("url: http"), None);
        let json = |text: &str| at(text, Language::Json);
        assert_eq!(json("{\"license\": {\"x\": {}, \"url\": \"http").as_deref(), Some("license"));
        assert_eq!(json("{\"servers\": [{\"url\": \"http").as_deref(), Some("servers"));
        assert_eq!(json("{\"url\": \"http"), None);
    }
}
