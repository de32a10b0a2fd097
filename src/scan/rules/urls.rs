//! Which `http://` in a file is an address that the program requests.
//!
//! A finding must be worth reading, so text that may be a name, a link for people or a sentence is not reported.

use super::candidates::{default_of, without_default, Candidate};
use super::commands::prints;
use super::context::{asks_nobody, block_of, key_of, name_of_list};
use super::evidence::calls_around;
use super::fetchers::{fetches, runs_a_fetcher};
use super::keys::{is_no_address, key_says, KeySays};
use super::mentions::{
    is_a_pattern, is_of_a_card, is_of_a_link, is_of_a_preview, is_of_a_sample, is_translated, opens_a_page,
};
use super::wrappers::{ends_of_wrappers, is_shown_only, outside_of_wrappers};
use crate::backports::Trim;
use crate::scan::findings::{PLAIN_HTTP_BUILT_URL, PLAIN_HTTP_NAMED_HOST};
use crate::scan::languages::Language;
use crate::scan::place::{contains, is_of_name, Place};
use crate::scan::tokens::{Kind, Region};

/// Whether the program requests the address, judged by the text around it.
pub(in crate::scan) fn is_asked(place: &Place<'_>, candidate: &Candidate<'_>) -> bool {
    let source = place.source;
    if matches!(place.region.kind, Kind::Comment | Kind::Documentation) || is_package_metadata(source.path) {
        return false;
    }
    let is_named = std::ptr::eq(candidate.kind, &PLAIN_HTTP_NAMED_HOST);
    if source.is_of_tests(place.at) && !is_named {
        return false;
    }
    // The same line also has it with https: a rewrite, or a choice.
    let https = format!("https://{}", candidate.host);
    if contains(source.line_before(place.at), &https) || contains(source.line_after(place.at), &https) {
        return false;
    }
    let end = place.at + candidate.url.length;
    // A pattern of addresses, or a page in an archive.
    if source.from(end).starts_with(b"*") || !is_named && is_within_another(source.line_before(place.at)) {
        return false;
    }
    let line = [source.line_before(place.at), source.line_after(place.at)];
    if line.iter().any(|part| contains(part, "unix-socket")) || is_of_a_preview(place) {
        return false;
    }
    if source.language.is_of_documents()
        && source.from(place.at + "http://".len()).starts_with(b"{")
        && !source.from(place.at + "http://".len()).starts_with(b"{{")
    {
        // OpenAPI: the document says elsewhere which values may be inserted.
        return false;
    }
    if is_of_a_card(place) {
        return false;
    }
    match source.language {
        Language::Xml => of_xml(place),
        Language::Yaml | Language::Toml | Language::Ini | Language::Json => {
            of_configuration(place, candidate, end)
        }
        Language::Shell | Language::Dockerfile | Language::Makefile => of_shell(place, candidate),
        _ => of_program(place, candidate, end),
    }
}

/// `https://archive.acme.io/?url=http://…`: a part of another address, which this program does not request.
fn is_within_another(line: &[u8]) -> bool {
    let start = line.iter().rposition(|byte| byte.is_ascii_whitespace() || b"\"'`<>(){}|,;".contains(byte));
    let token = start.map_or(line, |start| &line[start + 1..]);
    contains(token, "://") && !token.starts_with(b"-")
}

/// Files with the description of a package for a registry.
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
        || is_of_translations(path, &name)
        || name.ends_with(".schema.json")
        || name.ends_with(".gradle")
        // Settings of doxygen, which makes documentation.
        || name.starts_with("doxy")
        || name.ends_with("lock.json")
        || name.ends_with(".lock")
        || ["sponsors.", "authors.", "contributors.", "credits.", "backers.", "donors."].iter().any(|who| name.starts_with(who))
        || path.contains("ISSUE_TEMPLATE/")
        // PlatformIO's descriptions of boards.
        || name.ends_with(".json") && (path.starts_with("boards/") || path.contains("/boards/"))
}

/// Files of translated texts.
fn is_of_translations(path: &str, name: &str) -> bool {
    let is_data = [".json", ".yml", ".yaml", ".properties", ".xml", ".ini", ".php", ".ts", ".js"]
        .iter()
        .any(|end| name.ends_with(end));
    let of_folder = path.rsplit_once('/').map_or("", |(folders, _)| folders).split('/').any(|folder| {
        let folder = folder.to_ascii_lowercase();
        ["i18n", "l10n", "locale", "locales", "lang", "langs", "language", "languages", "translations"]
            .contains(&folder.as_str())
    });
    let of_name = ["resourcebundle", "messages_", "strings."].iter().any(|start| name.starts_with(start));
    is_data && (of_folder || of_name)
}

/// In strings of a program.
fn of_program(place: &Place<'_>, candidate: &Candidate<'_>, end: usize) -> bool {
    let (source, region) = (place.source, place.region);
    if region.kind != Kind::String
        || !begins_the_value(place, &region, &candidate.host)
        || source.from(end).starts_with(b"\\n\"") && place.at == region.start
        || goes_on_as_a_sentence(source.from(end))
    {
        return false;
    }
    if candidate.url.host.is_empty() && !candidate.url.is_built && !is_put_together(place, &region) {
        return false;
    }
    if is_a_pattern(source.bytes.get(place.at..region.end).unwrap_or_default())
        || is_of_a_sample(place, &region)
    {
        return false;
    }
    let after = ends_of_wrappers(source.line_after(region.to));
    if calls_around(source, region.from).any(|call| {
        let last = call.rsplit(|byte| b".:>".contains(byte)).next().unwrap_or_default();
        last.starts_with(b"assert") || last.starts_with(b"Assert")
    }) {
        return false;
    }
    if is_a_key_of_a_table(place, &region) || is_compared_in_a_tuple(source.line_before(region.from)) {
        return false;
    }
    let looks_only: &[&[u8]] =
        &[b"==", b"!=", b"in ", b"not in ", b".length", b".equals", b".test", b".size", b"=~", b".len()"];
    if looks_only.iter().any(|look| after.starts_with(look)) {
        return false;
    }
    let before = without_prefix(source.line_before(region.from));
    let before =
        if before.trimmed().is_empty() { without_prefix(source.before(region.from, 120)) } else { before };
    let before = before.trimmed_end();
    let compares: &[&[u8]] = &[
        b"==", b"!=", b"=~", b"~=", b" in", b"case", b"when", b"<=>", b" is", b" eq", b"raise", b"throw",
        b"import", b"from", b"require", b"echo", b"print", b"puts",
    ];
    // A conversion of the string to an address changes nothing: `x != URI.create(`.
    let outside = outside_of_wrappers(before);
    let is_compared = |before: &[u8]| compares.iter().any(|word| before.ends_with(word));
    let compares_the_wrapper = [&b"=="[..], b"!="].iter().any(|mark| outside.ends_with(mark));
    if is_compared(before) || is_compared(outside) || compares_the_wrapper || contains(before, "@see") {
        return false;
    }
    if is_shown_only(before) {
        return false;
    }
    let key = key_of(before);
    // In a table of proxies, the key is the scheme of the requests that use the proxy.
    let is_proxy =
        before.ends_with(b":") && key.is_some_and(|key| [&b"http"[..], b"https", b"all"].contains(&key));
    if is_proxy || key.is_some_and(|key| is_no_address(key, &candidate.host)) {
        return false;
    }
    let begins_its_line = source.line_before(region.from).trimmed().is_empty();
    let is_an_item = (key.is_none() || begins_its_line)
        && name_of_list(source, region.from).is_some_and(|name| key_says(name).is_no_address_anywhere());
    if is_an_item {
        return false;
    }
    let wrapped = before.len() - outside.len();
    let calls = [source.call_around(region.from), source.call_around(region.from.saturating_sub(wrapped))];
    if calls[0].is_some_and(asks_nobody) || wrapped > 0 && calls[1].is_some_and(asks_nobody) {
        return false;
    }
    if opens_a_page(place, &region)
        || is_of_a_link(place, &region)
        || is_translated(place, &region)
        || only_parses(place, candidate, &region)
    {
        return false;
    }
    // The key in an annotation, or one further out in the line: `namespace = {"a": "http://…`.
    !["xmlns", "namespace", "nsmap", "NSMAP", "Namespace", "href="].iter().any(|word| contains(before, word))
}

/// `{"http://acme.io/ns/geo": "geo"}`: the key of a table is a name. The proxy of a scheme is not requested either.
fn is_a_key_of_a_table(place: &Place<'_>, region: &Region) -> bool {
    let source = place.source;
    let after = source.from(region.to).trimmed_start();
    let is_key = after.starts_with(b"=>") || after.starts_with(b":") && !after.starts_with(b"::");
    // The second half of `a ? b : c` ends in a colon too.
    let before = source.before(region.from, 300).trimmed_end();
    is_key && before.last().is_some_and(|last| b"{[,(".contains(last))
}

/// `(prefix, uri) == (None, "http://…")`.
fn is_compared_in_a_tuple(line: &[u8]) -> bool {
    let mut depth = 0_usize;
    let open = line.iter().rposition(|byte| {
        match byte {
            b')' => depth += 1,
            b'(' if depth == 0 => return true,
            b'(' => depth -= 1,
            _ => {}
        }
        false
    });
    let outer = open.map_or(&line[..0], |open| line[..open].trimmed_end());
    [&b"=="[..], b"!=", b" in"].iter().any(|mark| outer.ends_with(mark))
}

/// The address only helps to parse another one: `new URL(req.url, "http://base")`, `parse_url("http://$h")`.
fn only_parses(place: &Place<'_>, candidate: &Candidate<'_>, region: &Region) -> bool {
    const PARSERS: &[&str] = &["parse", "parse_url", "urlparse", "urlsplit", "urlParse", "splitUrl"];
    let source = place.source;
    let call = source.call_around(region.from).unwrap_or_default();
    let last = String::from_utf8_lossy(call.rsplit(|byte| b".:".contains(byte)).next().unwrap_or_default())
        .into_owned();
    let is_of_a_request =
        |text: &[u8]| ["req.", "request.", "req,", "ctx.", "event."].iter().any(|word| contains(text, word));
    let before = source.line_before(region.from);
    let argument = before.iter().rposition(|byte| *byte == b'(').map_or(&before[..0], |open| &before[open..]);
    let is_base = last == "URL" && is_of_a_request(argument) && contains(argument, ",");
    let fills_in_host =
        last == "URL" && is_of_a_request(source.bytes.get(region.start..region.end).unwrap_or_default());
    let is_built = std::ptr::eq(candidate.kind, &PLAIN_HTTP_BUILT_URL);
    is_base
        || is_built
            && (fills_in_host
                || PARSERS.iter().any(|parser| last.eq_ignore_ascii_case(parser))
                || is_in_parser(source.line_before(region.from)))
}

/// `url.Parse(fmt.Sprintf("http://%s", host))`: with one call between.
fn is_in_parser(line: &[u8]) -> bool {
    let outside = line.trimmed_end().strip_suffix(b"(").map(|call| {
        let name = call.iter().rev().take_while(|byte| is_of_name(**byte) || **byte == b'.').count();
        &call[..call.len() - name]
    });
    outside.is_some_and(|outside| {
        [&b"url.Parse("[..], b"url.parse(", b"urlparse("].iter().any(|parser| outside.ends_with(parser))
    })
}

/// Without the prefix of a string: `f`, `rb`, `L`, `@`, `$`.
fn without_prefix(before: &[u8]) -> &[u8] {
    let length = before.iter().rev().take(2).take_while(|byte| b"fFrRbBuUL@$c".contains(byte)).count();
    let shorter = &before[..before.len() - length];
    if shorter.last().is_some_and(|last| is_of_name(*last)) {
        before
    } else {
        shorter
    }
}

/// Whether the address is the value itself: it is at the string's beginning, after a `=` or a quote in it, or in a command.
fn begins_the_value(place: &Place<'_>, region: &Region, host: &str) -> bool {
    let before = place.source.bytes.get(region.start..place.at).unwrap_or_default();
    let before = without_default(before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default());
    let trimmed = before.trimmed_end();
    if trimmed.is_empty() {
        return true;
    }
    // `<a href="http://…` is a link, and `xmlns="http://…` a name. The browser requests a script of a page at once.
    let loads_a_script = memchr::memmem::rfind(trimmed, b"<script")
        .is_some_and(|at| contains(&trimmed[at..], "src=") && !contains(&trimmed[at..], ">"));
    if loads_a_script {
        return true;
    }
    let is_markup = trimmed.starts_with(b"<")
        || contains(trimmed, "<a ")
        || contains(trimmed, "href=")
        || contains(trimmed, "xmlns")
        // Go: the name of an element in a struct's tag.
        || trimmed.ends_with(b"xml:\"");
    let key = key_of(before).is_some_and(|key| !is_no_address(key, host));
    let glued = before.len() == trimmed.len()
        && (trimmed.ends_with(b"=") || trimmed.ends_with(b"\"") || trimmed.ends_with(b"'"))
        && key_of(trimmed.strip_suffix(b"\"").or(trimmed.strip_suffix(b"'")).unwrap_or(trimmed))
            .is_some_and(|key| !is_no_address(key, host));
    let is_json = trimmed.ends_with(b"\\\"") && contains(trimmed, "\\\":");
    !is_markup && (glued || is_json && (key || !contains(trimmed, "xmlns")) || fetches(before))
}

/// `http://` and a host after it: `"http://" + host`.
fn is_put_together(place: &Place<'_>, region: &Region) -> bool {
    if place.source.bytes.get(place.at..region.end).unwrap_or_default() != b"http://" {
        return false;
    }
    let after = place.source.line_after(region.to).trimmed_start();
    match (place.source.language, after) {
        (_, [b'+', ..]) | (Language::C, [b'<', b'<', ..]) | (Language::Php, [b'.', ..]) => true,
        (Language::C, [first, ..]) => first.is_ascii_uppercase(),
        _ => false,
    }
}

/// A word follows after a space: the address is part of a sentence.
fn goes_on_as_a_sentence(after: &[u8]) -> bool {
    match after {
        [b' ', next, ..] => next.is_ascii_lowercase() || *next == b'(',
        [b')' | b'.' | b',' | b']', b' ', ..] | [b')' | b'.', b'"' | b'\'', ..] => true,
        _ => false,
    }
}

/// In YAML, JSON, TOML and ini.
fn of_configuration(place: &Place<'_>, candidate: &Candidate<'_>, end: usize) -> bool {
    let (source, host) = (place.source, candidate.host.as_str());
    // In quotes, the value begins where they do.
    let (from, begins) = match place.region.kind {
        Kind::String => (place.region.from, begins_the_value(place, &place.region, host)),
        _ => (place.at, true),
    };
    let line = without_default(source.line_before(from));
    let before = line.trimmed_end();
    // systemd: `ExecStart=/usr/bin/agent --server http://…`.
    let is_option_of_a_unit = before.starts_with(b"Exec")
        && before
            .rsplit(|byte| *byte == b' ')
            .next()
            .is_some_and(|word| word.starts_with(b"--") && !is_no_address(word, host));
    if goes_on_as_a_sentence(source.from(end)) || source.from(place.at).starts_with(b"http://\"") {
        return false;
    }
    let is_value = before.is_empty() && source.language == Language::Json
        || [&b":"[..], b"=", b"[", b",", b"-", b"\"", b"'", b"{"].iter().any(|mark| before.ends_with(mark));
    let is_command = fetches(line) && !prints(line);
    if !(begins && is_value || is_command || is_option_of_a_unit) {
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
    if key.is_some_and(|key| is_no_address(key, host) || key.starts_with(b"http") && !key.contains(&b'_')) {
        return false;
    }
    key.is_some_and(|key| key_says(key) == KeySays::Address)
        || !block_of(source, from).is_some_and(|key| is_no_address(key, host))
}

/// In scripts, Dockerfiles and Makefiles.
fn of_shell(place: &Place<'_>, candidate: &Candidate<'_>) -> bool {
    let line = place.source.line_before(place.at);
    let begins_default = default_of(line).is_some();
    let line = without_default(line);
    let before = line.trimmed_end();
    // `: "${API:=http://…}"` sets it too.
    if begins_default && [&b": "[..], b": \""].iter().any(|begin| line.trimmed_start() == begin.trimmed_end())
    {
        return true;
    }
    if prints(line)
        || contains(line, "deb ")
        || contains(line, "proxy")
        || contains(line, "PROXY")
        || contains(line, "LABEL ")
    {
        return false;
    }
    let quoted = [&b"\""[..], b"'"].iter().find_map(|quote| before.strip_suffix(*quote));
    if fetches(line) || runs_a_fetcher(line) {
        return true;
    }
    // `URL := http://…` in a Makefile.
    let is_glued = before.len() == line.len() || place.source.language == Language::Makefile;
    let key = key_of(quoted.unwrap_or(before));
    is_glued
        && (before.ends_with(b"=") || quoted.is_some_and(|rest| rest.ends_with(b"=") || rest.ends_with(b"(")))
        && !key.is_some_and(|key| is_no_address(key, &candidate.host))
}

/// In attributes and elements whose names say that they are addresses.
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
        "pluginspage",
        "codebase",
        "copyright",
        "author",
        "scm",
        "website",
    ];
    let source = place.source;
    let before = source.before(place.at, 200);
    let value = before.trimmed_end();
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
