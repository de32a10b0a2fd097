//! Which `http://` in a file is an address that the program asks.
//!
//! A finding has to be worth reading, so what may be a name, a link for people or a sentence is left alone.

use super::super::findings::{
    Explanation, PLAIN_HTTP_BUILT_URL, PLAIN_HTTP_LOCAL_URL, PLAIN_HTTP_NAMED_HOST, PLAIN_HTTP_URL,
};
use super::super::hosts::{classify, is_a_name, parse, Host, Url};
use super::super::languages::Language;
use super::super::place::{contains, is_of_name, Place};
use super::super::tokens::{Kind, Region};
use super::commands::prints;
use super::context::{asks_nobody, block_of, is_no_address, key_of};

/// What an `http://` is, as far as the address itself tells.
pub(in super::super) struct Candidate<'a> {
    pub url: Url<'a>,
    pub host: String,
    pub kind: &'static Explanation,
}

/// Reads an `http://` that stands at `at`; nothing when its host alone says that it is no mistake. Needs no tokens, so that
/// most files are never taken apart.
pub(in super::super) fn candidate<'a>(bytes: &'a [u8], at: usize, hosts: &[String]) -> Option<Candidate<'a>> {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before)).copied().unwrap_or(b' ');
    if before.is_ascii_alphanumeric() || b"+-.{/".contains(&before) {
        return None;
    }
    let url = parse(bytes.get(at..)?);
    let host = String::from_utf8_lossy(url.host).to_ascii_lowercase();
    if url.is_built || url.host.is_empty() {
        let says_loopback = ["localhost", "127.0.0.1", "::1"].iter().any(|name| host.contains(name));
        return (!says_loopback).then_some(Candidate { url, host, kind: &PLAIN_HTTP_BUILT_URL });
    }
    if hosts.contains(&host) {
        return Some(Candidate { url, host, kind: &PLAIN_HTTP_NAMED_HOST });
    }
    let kind = match classify(&host) {
        Host::Loopback | Host::Nobody => return None,
        Host::Local => &PLAIN_HTTP_LOCAL_URL,
        Host::Public => &PLAIN_HTTP_URL,
    };
    (!is_a_name(&host, &String::from_utf8_lossy(url.path))).then_some(Candidate { url, host, kind })
}

/// Whether the program asks that address, as far as what stands around it tells.
pub(in super::super) fn is_asked(place: &Place<'_>, candidate: &Candidate<'_>) -> bool {
    let source = place.source;
    if matches!(place.region.kind, Kind::Comment | Kind::Documentation) || is_package_metadata(source.path) {
        return false;
    }
    let is_named = std::ptr::eq(candidate.kind, &PLAIN_HTTP_NAMED_HOST);
    if source.is_of_tests(place.at) && !is_named {
        return false;
    }
    // The same line knows it with https: a rewrite, or a choice.
    let https = format!("https://{}", candidate.host);
    if contains(source.line_before(place.at), &https) || contains(source.line_after(place.at), &https) {
        return false;
    }
    let end = place.at + candidate.url.length;
    match source.language {
        Language::Xml => of_xml(place),
        Language::Yaml | Language::Toml | Language::Ini | Language::Json => of_configuration(place, end),
        Language::Shell | Language::Dockerfile | Language::Makefile => of_shell(place),
        _ => of_program(place, candidate, end),
    }
}

/// Files that say about a package what a registry shows.
fn is_package_metadata(path: &str) -> bool {
    const NAMES: &[&str] = &[
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "composer.json",
        "bower.json",
        "component.json",
        "cargo.toml",
        "setup.py",
        "setup.cfg",
        "pyproject.toml",
        "pom.xml",
        "manifest.json",
        "galaxy.yml",
        "chart.yaml",
        "pubspec.yaml",
        "snapcraft.yaml",
        "pnpm-lock.yaml",
        "packages.config",
        "library.json",
        "library.properties",
        "codemeta.json",
        ".all-contributorsrc",
        "citation.cff",
        "mkdocs.yml",
        "_config.yml",
        "funding.yml",
    ];
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    NAMES.contains(&name.as_str())
        || name.ends_with(".schema.json")
        || name.ends_with(".gradle")
        || name.ends_with("lock.json")
        || name.ends_with(".lock")
}

/// In the strings of a program.
fn of_program(place: &Place<'_>, candidate: &Candidate<'_>, end: usize) -> bool {
    let (source, region) = (place.source, place.region);
    if region.kind != Kind::String
        || !begins_the_value(place, &region)
        || goes_on_as_a_sentence(source.from(end))
    {
        return false;
    }
    if candidate.url.host.is_empty() && !candidate.url.is_built && !is_put_together(place, &region) {
        return false;
    }
    let after = source.line_after(region.to).trim_ascii_start();
    let looks_only: &[&[u8]] =
        &[b"==", b"!=", b"in ", b"not in ", b".length", b".equals", b".test", b".size", b"=~", b".len()"];
    if looks_only.iter().any(|look| after.starts_with(look)) {
        return false;
    }
    let before = without_prefix(source.line_before(region.from));
    let before =
        if before.trim_ascii().is_empty() { without_prefix(source.before(region.from, 120)) } else { before };
    let before = before.trim_ascii_end();
    let compares: &[&[u8]] = &[
        b"==", b"!=", b"=~", b"~=", b" in", b"case", b"when", b"<=>", b" is", b" eq", b"raise", b"throw",
        b"import", b"from", b"require", b"echo", b"print", b"puts",
    ];
    if compares.iter().any(|word| before.ends_with(word)) || contains(before, "@see") {
        return false;
    }
    let key = key_of(before);
    // Of a table of proxies, the key is the scheme that goes through them.
    let is_proxy =
        before.ends_with(b":") && key.is_some_and(|key| [&b"http"[..], b"https", b"all"].contains(&key));
    if is_proxy || key.is_some_and(is_no_address) || source.call_around(region.from).is_some_and(asks_nobody)
    {
        return false;
    }
    // The key in an annotation, or one further out in the line: `namespace = {"a": "http://…`.
    !["xmlns", "namespace", "nsmap", "NSMAP", "Namespace", "href="].iter().any(|word| contains(before, word))
}

/// Without the letters that make a string another kind of string: `f`, `rb`, `L`, `@`, `$`.
fn without_prefix(before: &[u8]) -> &[u8] {
    let length = before.iter().rev().take(2).take_while(|byte| b"fFrRbBuUL@$c".contains(byte)).count();
    let shorter = &before[..before.len() - length];
    if shorter.last().is_some_and(|last| is_of_name(*last)) {
        before
    } else {
        shorter
    }
}

/// Whether the address is the value itself: it stands at the string's beginning, after a `=` or a quote in it, or in a
/// command.
fn begins_the_value(place: &Place<'_>, region: &Region) -> bool {
    let before = place.source.bytes.get(region.start..place.at).unwrap_or_default();
    let before = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let trimmed = before.trim_ascii_end();
    if trimmed.is_empty() {
        return true;
    }
    // `<a href="http://…` is a link, and `xmlns="http://…` a name.
    let is_markup = trimmed.starts_with(b"<")
        || contains(trimmed, "<a ")
        || contains(trimmed, "href=")
        || contains(trimmed, "xmlns");
    let key = key_of(before).is_some_and(|key| !is_no_address(key));
    let glued = before.len() == trimmed.len()
        && (trimmed.ends_with(b"=") || trimmed.ends_with(b"\"") || trimmed.ends_with(b"'"))
        && key_of(trimmed.strip_suffix(b"\"").or(trimmed.strip_suffix(b"'")).unwrap_or(trimmed))
            .is_some_and(|key| !is_no_address(key));
    let is_json = trimmed.ends_with(b"\\\"") && contains(trimmed, "\\\":");
    !is_markup && (glued || is_json && (key || !contains(trimmed, "xmlns")) || fetches(trimmed))
}

/// Whether a command that fetches stands there.
fn fetches(line: &[u8]) -> bool {
    const COMMANDS: &[&str] = &[
        "curl ",
        "wget ",
        "git clone ",
        "http GET ",
        "http POST ",
        "pip install ",
        "pip3 install ",
        "docker pull ",
        "aria2c ",
        "lynx ",
        "svn co ",
        "yum install ",
        "rpm -",
        "ADD ",
        "fetch ",
    ];
    let at_word = |command: &str| {
        memchr::memmem::find(line, command.as_bytes())
            .is_some_and(|at| at == 0 || !line[at - 1].is_ascii_alphanumeric())
    };
    let last =
        line.rsplit(|byte| byte.is_ascii_whitespace()).find(|word| !word.is_empty()).unwrap_or_default();
    COMMANDS.iter().any(|command| at_word(command))
        && !matches!(last, b"-x" | b"--proxy" | b"-e" | b"--referer" | b"-H")
}

/// `http://` and a host after it: `"http://" + host`.
fn is_put_together(place: &Place<'_>, region: &Region) -> bool {
    if place.source.bytes.get(place.at..region.end).unwrap_or_default() != b"http://" {
        return false;
    }
    let after = place.source.line_after(region.to).trim_ascii_start();
    match (place.source.language, after) {
        (_, [b'+', ..]) | (Language::C, [b'<', b'<', ..]) | (Language::Php, [b'.', ..]) => true,
        (Language::C, [first, ..]) => first.is_ascii_uppercase(),
        _ => false,
    }
}

/// A word follows after a space: the address is mentioned in a sentence.
fn goes_on_as_a_sentence(after: &[u8]) -> bool {
    match after {
        [b' ', next, ..] => next.is_ascii_lowercase() || *next == b'(',
        [b')' | b'.' | b',' | b']', b' ', ..] | [b')' | b'.', b'"' | b'\'', ..] => true,
        _ => false,
    }
}

/// In YAML, JSON, TOML and ini.
fn of_configuration(place: &Place<'_>, end: usize) -> bool {
    let source = place.source;
    // In quotes, the value begins where they do.
    let (from, begins) = match place.region.kind {
        Kind::String => (place.region.from, begins_the_value(place, &place.region)),
        _ => (place.at, true),
    };
    let line = source.line_before(from);
    let before = line.trim_ascii_end();
    if goes_on_as_a_sentence(source.from(end)) || source.from(place.at).starts_with(b"http://\"") {
        return false;
    }
    let is_value = before.is_empty() && source.language == Language::Json
        || [&b":"[..], b"=", b"[", b",", b"-", b"\"", b"'", b"{"].iter().any(|mark| before.ends_with(mark));
    let is_command = fetches(line) && !prints(line);
    if !(begins && is_value || is_command) {
        return false;
    }
    let key = key_of(before).or_else(|| before.strip_suffix(b"-").and_then(|_| block_of(source, from)));
    let key = key.or_else(|| {
        if source.language == Language::Json && !before.ends_with(b":") {
            block_of(source, from)
        } else {
            None
        }
    });
    if key.is_some_and(|key| is_no_address(key) || key.starts_with(b"http")) {
        return false;
    }
    !block_of(source, from).is_some_and(is_no_address)
}

/// In scripts, Dockerfiles and Makefiles.
fn of_shell(place: &Place<'_>) -> bool {
    let line = place.source.line_before(place.at);
    let before = line.trim_ascii_end();
    if prints(line)
        || contains(line, "deb ")
        || contains(line, "proxy")
        || contains(line, "PROXY")
        || contains(line, "LABEL ")
    {
        return false;
    }
    let quoted = [&b"\""[..], b"'"].iter().find_map(|quote| before.strip_suffix(*quote));
    if fetches(line) {
        return true;
    }
    // `URL := http://…` in a Makefile.
    let is_glued = before.len() == line.len() || place.source.language == Language::Makefile;
    let key = key_of(quoted.unwrap_or(before));
    is_glued
        && (before.ends_with(b"=") || quoted.is_some_and(|rest| rest.ends_with(b"=") || rest.ends_with(b"(")))
        && !key.is_some_and(is_no_address)
}

/// In attributes and elements whose names speak of an address.
fn of_xml(place: &Place<'_>) -> bool {
    const WORDS: &[&str] = &["url", "uri", "endpoint", "address", "host", "server", "api", "base", "service"];
    const OTHERS: &[&str] = &[
        "xmlns",
        "schemalocation",
        "xsi:",
        "namespace",
        "doctype",
        "systemid",
        "homepage",
        "projecturl",
        "licenseurl",
        "iconurl",
        "license",
        "link",
        "href",
        "doc",
        "help",
        "proxy",
        "copyright",
        "author",
        "scm",
        "website",
    ];
    let source = place.source;
    let before = source.before(place.at, 200);
    let value = before.trim_ascii_end();
    if !value.ends_with(b">") && !value.ends_with(b"\"") && !value.ends_with(b"'") {
        return false;
    }
    // Back to the element's beginning; of a property list, to the key's.
    let start = memchr::memmem::rfind(before, b"<key>")
        .or_else(|| before.iter().rposition(|byte| *byte == b'<'))
        .unwrap_or(0);
    let text = String::from_utf8_lossy(&before[start..]).to_ascii_lowercase();
    let attribute = text.rsplit([' ', '\n', '\t']).next().unwrap_or_default();
    WORDS.iter().any(|word| text.contains(word))
        && !OTHERS.iter().any(|other| text.contains(other))
        && !attribute.starts_with("xmlns")
}

/// OpenAPI 2: `schemes` with `http` among them.
pub(in super::super) fn offers_plain_schemes(place: &Place<'_>) -> bool {
    let source = place.source;
    if !source.mentions(&["swagger: \"2", "swagger: '2", "swagger: 2", "\"swagger\": \"2", "\"swagger\":\"2"])
        || source.mentions(&["host: localhost", "\"host\": \"localhost", "host: 127.", "\"host\": \"127."])
        || source.is_of_tests(place.at)
    {
        return false;
    }
    let after = source.after(place.end, 120);
    let after = after.strip_prefix(b"\"").unwrap_or(after);
    let Some(list) = after.strip_prefix(b":") else { return false };
    let words = list
        .split(|byte| byte.is_ascii_whitespace() || b"[],\"'-".contains(byte))
        .filter(|word| !word.is_empty());
    words
        .take_while(|word| [&b"http"[..], b"https", b"ws", b"wss"].contains(word))
        .any(|word| word == b"http")
}
