//! What the key of a value says about it: an address that is requested, a name, or a link for people.
//!
//! Knows names only. Called by `urls`.

/// What a key says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySays {
    /// A program requests it: `message_endpoint`, `support_api`, `id_server`.
    Address,
    /// A name, a link for people, or an address that is not requested: `xmlns`, `homepage`, `allowedOrigins`, `HTTP_PROXY`.
    NoAddress,
    /// A text or the name of a thing, unless the host is that of an API: `cast_credits`, `issue`.
    Text,
    /// A link for people if the host's name begins with `www.`: `infoUrl`, `links`.
    LinkPerhaps,
    Nothing,
}

/// What a key says about its value. The last word decides, because the words before it say whose address it is; a few words
/// decide at any place.
pub(super) fn key_says(key: &[u8]) -> KeySays {
    /// At any place.
    const NEVER: &[&str] = &[
        "ns",
        "nsuri",
        "nsurl",
        "namespace",
        "namespaces",
        "xmlns",
        "xmlnamespace",
        "proxy",
        "proxies",
        "origin",
        "origins",
        "referer",
        "referrer",
        "nsmap",
        "cors",
        "pluginspage",
        "pluginurl",
        "codebase",
    ];
    /// As the last word, also before `url`.
    const FOR_PEOPLE: &[&str] = &[
        "designer",
        "manufacturer",
        "publisher",
        "creator",
        "homepage",
        "license",
        "licence",
        "licenses",
        "schema",
        "doc",
        "docs",
        "documentation",
        "author",
        "authors",
        "maintainer",
        "maintainers",
        "website",
        "repository",
        "bugs",
        "bugtracker",
        "copyright",
        "vocab",
        "vocabulary",
        "dtd",
        "doctype",
        "help",
        "tooltip",
        "placeholder",
        "regex",
        "regexp",
        "iri",
        "xsi",
        "xsd",
        "xslt",
        "wiki",
        "readme",
        "changelog",
        "attribution",
        "terms",
        "tos",
        "termsofservice",
        "externaldocs",
        "policy",
        "privacy",
        "about",
        "faq",
        "support",
        "contact",
        "example",
        "examples",
        "default_namespace",
        "rdf",
        "urn",
        "doi",
        "manual",
        "learnmore",
        "user-agent",
        "useragent",
        "instructions",
        "footer",
        "docurl",
        "helpurl",
        "projecturl",
        "homeurl",
        "donate",
        "donation",
        "imprint",
        "legal",
        "blog",
        "twitter",
        "facebook",
        "youtube",
        "download_page",
        "vendor",
        "spec",
        "specs",
        "specification",
    ];
    /// As the last word, and before `url` if nothing else is there.
    const TEXT: &[&str] = &[
        "message",
        "msg",
        "comment",
        "comments",
        "type",
        "id",
        "uid",
        "link",
        "links",
        "info",
        "text",
        "ref",
        "subject",
        "context",
        "title",
        "summary",
        "issue",
        "issues",
        "tracker",
        "description",
        "desc",
        "agent",
        "protocol",
        "protocols",
        "organization",
        "developer",
        "credit",
        "credits",
        "rel",
        "see",
        "sample",
        "prefix",
        "prefixes",
        "notice",
        "comma",
        "headline",
        "vendor",
        "schemes",
        "pattern",
    ];
    /// Words that say that something is requested.
    const ASKED: &[&str] = &[
        "api",
        "apis",
        "endpoint",
        "endpoints",
        "server",
        "servers",
        "service",
        "services",
        "host",
        "hosts",
        "backend",
        "gateway",
        "base",
        "webhook",
        "webhooks",
        "hook",
        "callback",
        "feed",
        "node",
        "broker",
        "upstream",
        "target",
        "pass",
        "registry",
        "mirror",
        "rpc",
        "ingest",
        "collector",
    ];
    /// Words that only say that it is an address or a text.
    const NEUTRAL: &[&str] =
        &["url", "urls", "uri", "uris", "href", "page", "site", "address", "addr", "string", "str", "value"];
    let words: Vec<String> = words_of(key).collect();
    let is_one = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    // A proxy requests the servers behind it.
    if is_one(&["target", "pass", "upstream", "backend"]) {
        return KeySays::Address;
    }
    // Former addresses: `legacylinks`, `LegacySiteLinks`.
    let is_past = words
        .iter()
        .any(|word| ["legacy", "obsolete", "deprecated"].iter().any(|past| word.starts_with(past)));
    if is_one(NEVER) || is_past {
        return KeySays::NoAddress;
    }
    let neutral = words.iter().rev().take_while(|word| NEUTRAL.contains(&word.as_str())).count();
    let before = &words[..words.len() - neutral];
    let Some(last) = before.last().map(String::as_str) else {
        return if is_one(&["href"]) { KeySays::NoAddress } else { KeySays::Nothing };
    };
    match () {
        () if FOR_PEOPLE.contains(&words.concat().as_str()) => KeySays::NoAddress,
        () if ASKED.contains(&last) => KeySays::Address,
        () if FOR_PEOPLE.contains(&last) => KeySays::NoAddress,
        () if last == "links" && neutral == 0 => KeySays::LinkPerhaps,
        () if TEXT.contains(&last) && neutral == 0 => KeySays::Text,
        // `infoUrl` may be for people, `DEVICE_INFO_URL` and `links_url` are not.
        () if last == "link" => KeySays::NoAddress,
        () if TEXT.contains(&last) && before.len() == 1 && !last.ends_with('s') => KeySays::LinkPerhaps,
        () if TEXT.contains(&last) => KeySays::Address,
        () => KeySays::Nothing,
    }
}

/// Whether a key says that its value, with this host, is not requested.
pub(super) fn is_no_address(key: &[u8], host: &str) -> bool {
    match key_says(key) {
        KeySays::NoAddress => true,
        KeySays::Text => !host.starts_with("api"),
        KeySays::LinkPerhaps => host.starts_with("www."),
        KeySays::Address | KeySays::Nothing => false,
    }
}

impl KeySays {
    /// Whether the value is a text, or not an address, for any host.
    pub(super) fn is_no_address_anywhere(self) -> bool {
        matches!(self, KeySays::NoAddress | KeySays::Text)
    }
}

/// The words of a name in lower case: the same for `apiBaseURL`, `api_base_url` and `api-base-url`.
pub(super) fn words_of(name: &[u8]) -> impl Iterator<Item = String> + '_ {
    let mut words: Vec<String> = Vec::new();
    let mut fresh = true;
    let mut was_lower = false;
    for &byte in name {
        if !byte.is_ascii_alphanumeric() {
            fresh = true;
            was_lower = false;
            continue;
        }
        if fresh || was_lower && byte.is_ascii_uppercase() {
            words.push(String::new());
        }
        fresh = false;
        was_lower = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if let Some(word) = words.last_mut() {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_key_decides() {
        for key in ["xmlns", "home_page_ns", "allowedOrigins", "HTTP_PROXY", "$schema", "helpURL", "@context"]
        {
            assert!(is_no_address(key.as_bytes(), "www.acme.io"), "{key}");
        }
        for key in
            ["apiUrl", "BASE_URL", "endpoint", "instance", "lens", "ids_url2", "USER_INFO_URL", "links_url"]
        {
            assert!(!is_no_address(key.as_bytes(), "www.acme.io"), "{key}");
        }
        for key in
            ["message_endpoint", "contact_api", "id_server", "device_type_url", "supportApiUrl", "proxy_pass"]
        {
            assert_eq!(key_says(key.as_bytes()), KeySays::Address, "{key}");
        }
    }
}
