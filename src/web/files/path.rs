//! Which paths are served, and what a name says about its content. Knows text only. `Files` and its sources call it.

/// The only name with a dot at its front that is served, and only as the first of a path (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// How many digits a hash in a name has.
const HASH_DIGITS: std::ops::RangeInclusive<usize> = 8..=64;

/// Whether files of this path may be served: no hidden name, and nothing that any system takes for more than a name. The empty
/// path is the root.
pub(super) fn is_served(path: &str) -> bool {
    path.is_empty()
        || path.split('/').enumerate().all(|(at, name)| {
            let is_hidden = name.starts_with('.') && !(at == 0 && name == WELL_KNOWN);
            !name.is_empty() && !is_hidden && is_plain(name)
        })
}

/// Whether a name can stand in a path: no control character, and no backslash.
pub(super) fn is_plain(name: &str) -> bool {
    !name.bytes().any(|byte| byte < 0x20 || byte == 0x7f || byte == b'\\')
}

/// The path of a name in a folder.
pub(super) fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_string()
    } else {
        format!("{folder}/{name}")
    }
}

/// Whether the name holds a hash of the content, so that other content has another name: 8 to 64 hexadecimal digits in lower
/// case, letters and numerals among them, with `.`, `-` or `_` before and a dot behind. A date has no letters, and a word no
/// numerals.
pub(super) fn has_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _)) = name.split_once('.').and_then(|_| name.rsplit_once('.')) else { return false };
    // The first part is the file's own name.
    stem.split(['.', '-', '_']).skip(1).any(|part| {
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let has = |test: fn(&u8) -> bool| part.as_bytes().iter().any(test);
        is_hex && HASH_DIGITS.contains(&part.len()) && has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_and_what_is_more_than_a_name_are_not_served() {
        for path in ["", "a", "a/b.c/d", "a..b", ".well-known", ".well-known/acme", "ä", "a b", "a:b"] {
            assert!(is_served(path), "{path}");
        }
        for path in [
            ".",
            "..",
            "../a",
            "a/..",
            "a/./b",
            ".git",
            ".env",
            "a/.htpasswd",
            "a/.well-known",
            ".well-known/.git",
            "/a",
            "a//b",
            "a/",
            "a\\b",
            "..\\a",
            "a\0b",
            "a\nb",
            "a\x7f",
        ] {
            assert!(!is_served(path), "{path:?}");
        }
    }

    #[test]
    fn a_name_with_a_hash_is_told_from_one_with_a_date_or_a_word() {
        for path in [
            "app.4f3c2a1b.js",
            "assets/index-0123456789abcdef.css",
            "main_d41d8cd98f00b204e9800998ecf8427e.chunk.js",
            "a.4f3c2a1b.min.js",
        ] {
            assert!(has_hash(path), "{path}");
        }
        for path in [
            "app.js",
            "4f3c2a1b.js",
            "report-20241130.html",
            "a.deadbeef.js",
            "a.4f3c2a1.js",
            "a.4F3C2A1B.js",
            "a-4f3c2a1b",
            "jquery-migrate.js",
            "4f3c2a1b-x/app.js",
            "a.4f3c2a1g.js",
        ] {
            assert!(!has_hash(path), "{path}");
        }
    }
}
