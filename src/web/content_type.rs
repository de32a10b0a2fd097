//! The media types of files, by the extension of their names. A table, and which types are worth compressing. `files`, `file` and
//! `compression` call it.

use ::http::HeaderValue;

use crate::backports::Trim;

/// What is sent for a name that says nothing: RFC 9110 §8.3 leaves the guess to the client, and `nosniff` forbids it.
const OCTETS: &str = "application/octet-stream";

/// By extension, in lower case and sorted. Text is UTF-8. JavaScript is RFC 9239's type.
const TYPES: &[(&str, &str)] = &[
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("avif", "image/avif"),
    ("bin", OCTETS),
    ("bmp", "image/bmp"),
    ("br", OCTETS),
    ("cer", "application/pkix-cert"),
    ("cfg", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("crl", "application/pkix-crl"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("der", "application/x-x509-ca-cert"),
    ("eot", "application/vnd.ms-fontobject"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("hex", "text/plain; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("p12", "application/x-pkcs12"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("png", "image/png"),
    ("rss", "application/rss+xml"),
    ("sha256", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("ts", "video/mp2t"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xml", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

/// The longest extension that is looked up, in bytes.
const MOST_BYTES: usize = 16;

/// What follows the last dot of a name; nothing when the name has none, or only at its front.
pub(crate) fn extension(name: &str) -> Option<&str> {
    let name = name.rsplit('/').next()?;
    let (before, extension) = name.rsplit_once('.')?;
    (!before.is_empty()).then_some(extension)
}

/// The type of a file of this name, if its extension is known.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    let extension = extension(name)?;
    let mut lower = [0; MOST_BYTES];
    let lower = lower.get_mut(..extension.len())?;
    lower.copy_from_slice(extension.as_bytes());
    lower.make_ascii_lowercase();
    let at = TYPES.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(TYPES[at].1)
}

/// The type of a file of this name.
pub(crate) fn of(name: &str) -> HeaderValue {
    HeaderValue::from_static(known(name).unwrap_or(OCTETS))
}

/// Whether content of a type becomes smaller by compression. What is compressed in itself (images, sound, archives) does not.
pub(crate) fn is_compressible(media_type: &[u8]) -> bool {
    let end = media_type.iter().position(|&byte| byte == b';').unwrap_or(media_type.len());
    let essence = media_type[..end].trimmed();
    let is = |known: &str| essence.eq_ignore_ascii_case(known.as_bytes());
    let starts = |with: &str| {
        essence.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    let ends = |with: &str| {
        let end = essence.len().checked_sub(with.len()).and_then(|at| essence.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(with.as_bytes()))
    };
    const OTHERS: [&str; 14] = [
        "application/json",
        "application/jsonl",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/toml",
        "application/yaml",
        "application/x-tar",
        "application/vnd.apple.mpegurl",
        "application/vnd.ms-fontobject",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    starts("text/") || ends("+json") || ends("+xml") || OTHERS.into_iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_in_lower_case_and_every_type_is_a_value() {
        for two in TYPES.windows(2) {
            assert!(two[0].0 < two[1].0, "{two:?}");
        }
        for (extension, media_type) in TYPES {
            assert!(extension.len() <= MOST_BYTES && extension.to_ascii_lowercase() == *extension);
            assert!(HeaderValue::from_str(media_type).is_ok() && media_type.contains('/'), "{media_type}");
            assert_eq!(
                media_type.starts_with("text/"),
                media_type.ends_with("; charset=utf-8"),
                "{media_type}"
            );
        }
    }

    #[test]
    fn the_extension_decides_whatever_its_case() {
        for (name, expected) in [
            ("index.html", Some("text/html; charset=utf-8")),
            ("a/b.c/APP.JS", Some("text/javascript; charset=utf-8")),
            ("app.min.css", Some("text/css; charset=utf-8")),
            ("app.js.gz", Some("application/gzip")),
            ("logo.svg", Some("image/svg+xml")),
            ("README", None),
            ("a.d/README", None),
            (".html", None),
            ("a.", None),
            ("a.unknown", None),
            ("a.an-extension-that-is-very-long", None),
            ("a.ä", None),
        ] {
            assert_eq!(known(name), expected, "{name}");
        }
        assert_eq!(of("x.unknown"), "application/octet-stream");
    }

    #[test]
    fn text_is_compressible_and_what_is_compressed_already_is_not() {
        for media_type in [
            "text/html; charset=utf-8",
            "TEXT/CSS",
            "application/problem+json",
            "image/svg+xml",
            "application/json",
        ] {
            assert!(is_compressible(media_type.as_bytes()), "{media_type}");
        }
        for media_type in
            ["", "image/png", "application/zip", "video/mp4", "application/octet-stream", "font/woff2", "xml"]
        {
            assert!(!is_compressible(media_type.as_bytes()), "{media_type}");
        }
    }
}
