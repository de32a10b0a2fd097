//! Places where an address is only mentioned: in a sample, in a pattern, in the preview of a view, and in links that a
//! person opens.
//!
//! Knows bytes and tokens. Called by `urls`.

use super::context::key_of;
use super::keys::key_says;
use crate::backports::Trim;
use crate::scan::languages::Language;
use crate::scan::place::{contains, is_of_name, Place, Source};
use crate::scan::tokens::Region;

/// Kotlin, Java and Swift: in the preview of a view in a development environment.
pub(super) fn is_of_a_preview(place: &Place<'_>) -> bool {
    const MARKS: &[&str] = &["@Preview", "#Preview", "PreviewProvider"];
    /// The names of annotations and functions for previews, in a file that makes views.
    const NAMES: &[&str] = &["Previews", "Preview(", "Preview_"];
    let source = place.source;
    if !matches!(source.language, Language::Java | Language::Swift)
        || !source.mentions(MARKS) && !source.mentions(NAMES)
    {
        return false;
    }
    let names: &[&str] = if source.mentions(&["@Composable"]) { NAMES } else { &[] };
    let before = source.before(place.at, MOST_OF_A_PREVIEW);
    let Some(start) =
        MARKS.iter().chain(names).filter_map(|mark| memchr::memmem::rfind(before, mark.as_bytes())).max()
    else {
        return false;
    };
    // Its braces are open at the place.
    let mut depth = 0_usize;
    for byte in &before[start..] {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return false,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    depth > 0
}

/// In bytes.
const MOST_OF_A_PREVIEW: usize = 4000;

/// A `url` next to fields that only the description of a person or a thing has: its page for people.
pub(super) fn is_of_a_card(place: &Place<'_>) -> bool {
    const KEYS: &[&[u8]] = &[
        b"aliases",
        b"filenames",
        b"mimetypes",
        b"image",
        b"logo",
        b"avatar",
        b"bio",
        b"author",
        b"authors",
        b"license",
        b"licence",
        b"vendor",
        b"icon",
        b"tagline",
        b"tier",
        b"version_added",
        b"maintainer",
        b"copyright",
    ];
    let name = |line: &[u8]| -> Vec<u8> {
        let start = line.iter().position(|byte| !b" \t-\"'".contains(byte)).unwrap_or(line.len());
        let rest = &line[start..];
        let length = rest.iter().take_while(|byte| is_of_name(**byte)).count();
        let after = rest[length..].trimmed_start();
        let after = after.strip_prefix(b"\"").or(after.strip_prefix(b"'")).unwrap_or(after).trimmed_start();
        if after.starts_with(b":") || after.starts_with(b"=") {
            rest[..length].to_vec()
        } else {
            Vec::new()
        }
    };
    let own = name(place.source.line_before(place.at));
    if ![&b"url"[..], b"uri", b"href", b"link", b"site", b"web"].contains(&own.as_slice()) {
        return false;
    }
    let (before, after) = (place.source.before(place.at, 300), place.source.after(place.at, 300));
    before
        .split(|byte| *byte == b'\n')
        .rev()
        .skip(1)
        .take(4)
        .chain(after.split(|byte| *byte == b'\n').skip(1).take(4))
        .any(|line| KEYS.contains(&name(line).as_slice()))
}

/// A regular expression.
pub(super) fn is_a_pattern(text: &[u8]) -> bool {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    [r"\d", r"\w", "(?", "[^", ".*", r"\.", r"\?", ".+"].iter().any(|part| contains(line, part))
}

/// In a text of many lines for people: a sample in a description or in the help of a command.
pub(super) fn is_of_a_sample(place: &Place<'_>, region: &Region) -> bool {
    const TAGS: &[&[u8]] = &[
        b"MD",
        b"MARKDOWN",
        b"HELP",
        b"USAGE",
        b"DOC",
        b"DOCS",
        b"HTML",
        b"EXAMPLE",
        b"DESC",
        b"DESCRIPTION",
    ];
    const WORDS: &[&[u8]] = &[
        b"description",
        b"event_description",
        b"desc",
        b"long_desc",
        b"help",
        b"usage",
        b"banner",
        b"puts",
        b"echo",
    ];
    let source = place.source;
    if !source.bytes.get(region.start..place.at).is_some_and(|before| before.contains(&b'\n')) {
        // The text of a here-document begins in its own line.
        let is_heredoc = source.bytes.get(region.from) == Some(&b'\n');
        if !is_heredoc {
            return false;
        }
    }
    let announced = source.line_before(region.from).trimmed();
    let first = announced.split(|byte| !is_of_name(*byte)).next().unwrap_or_default();
    let tag = announced.rsplit(|byte| !is_of_name(*byte)).next().unwrap_or_default();
    let is_named = key_of(announced).is_some_and(|key| key_says(key).is_no_address_anywhere());
    let is_heredoc = contains(announced, "<<");
    WORDS.contains(&first) || is_named || is_heredoc && TAGS.contains(&tag)
}

/// Android: an intent to show a page.
pub(super) fn opens_a_page(place: &Place<'_>, region: &Region) -> bool {
    let (line, after) = (place.source.line_before(region.from), place.source.line_after(region.to));
    let is_opened =
        ["openInBrowser", "openBrowser", "launchUrl", "openUrl("].iter().any(|word| contains(after, word));
    is_opened
        || [
            "ACTION_VIEW",
            "UIApplication.shared.open",
            "Process.Start(",
            "openExternal(",
            "destination: URL(",
        ]
        .iter()
        .any(|word| contains(line, word))
}

/// Something for a person to see: `new MetadataLink("Shop", "http://…")`, and the `Url` of `new Embed { … }`.
pub(super) fn is_of_a_link(place: &Place<'_>, region: &Region) -> bool {
    const SHOWN: &[&str] =
        &["link", "linkbutton", "hyperlink", "embed", "attachment", "messageembed", "footer", "author"];
    let source = place.source;
    let ends_so = |name: &[u8]| {
        let name = name.rsplit(|byte| b".:".contains(byte)).next().unwrap_or_default();
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        name.first().is_some_and(u8::is_ascii_uppercase) && SHOWN.iter().any(|shown| lower.ends_with(shown))
    };
    source.call_around(region.from).is_some_and(ends_so)
        || object_around(source, region.from).is_some_and(ends_so)
}

/// The type of the object whose braces contain a place: `Embed` of `new Embed { a = 1, b = `.
fn object_around<'a>(source: &Source<'a>, at: usize) -> Option<&'a [u8]> {
    let before = source.before(at, 800);
    let mut depth = 0_usize;
    let open = before.iter().rposition(|byte| {
        match byte {
            b'}' => depth += 1,
            b'{' if depth == 0 => return true,
            b'{' => depth -= 1,
            _ => {}
        }
        false
    })?;
    let outer = before[..open].trimmed_end();
    let outer = outer.strip_suffix(b"()").unwrap_or(outer).trimmed_end();
    let length = outer.iter().rev().take_while(|byte| is_of_name(**byte) || **byte == b'.').count();
    let (rest, name) = outer.split_at(outer.len() - length);
    rest.trimmed_end().ends_with(b"new").then_some(name)
}

/// `translate("x", { url: "http://…" })`: an address in the text for a person.
pub(super) fn is_translated(place: &Place<'_>, region: &Region) -> bool {
    const CALLS: &[&str] = &["translate", "t", "_", "gettext", "formatMessage", "trans", "i18n", "$t"];
    let before = place.source.before(region.from, 300);
    let Some(open) = before.iter().rposition(|byte| *byte == b'{') else { return false };
    let outer = before[..open].trimmed_end();
    if before[open..].contains(&b'}') || !outer.ends_with(b",") {
        return false;
    }
    let at = region.from - (before.len() - outer.len());
    let call = place.source.call_around(at).unwrap_or_default();
    let last = call.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    CALLS.iter().any(|known| known.as_bytes() == last)
}
