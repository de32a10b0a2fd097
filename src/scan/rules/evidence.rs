//! The evidence that a program requests an address, for addresses where nothing speaks against it. Addresses that are only
//! named beside a library, listed in data or shown to a person look much the same.
//!
//! Knows bytes and names. Called by `scan`, for addresses that `urls` lets through.

use super::candidates::{is_of_a_key, Candidate};
use super::context::{block_of, key_of, name_of_list};
use super::fetchers::{fetches, runs_a_fetcher};
use super::keys::{key_says, words_of, KeySays};
use super::wrappers::outside_of_wrappers;
use crate::backports::Trim;
use crate::scan::languages::{Language, Languages};
use crate::scan::place::{contains, is_of_name, Place, Source};
use crate::scan::tokens::Kind;

/// A list of words, separated by spaces.
#[derive(Clone, Copy)]
struct Words(&'static str);

impl Words {
    fn all(self) -> impl Iterator<Item = &'static str> {
        self.0.split_ascii_whitespace()
    }

    fn has(self, word: &str) -> bool {
        self.all().any(|known| known == word)
    }
}

/// How far around the assignment of a name calls with that name are searched, in bytes to either side.
const MOST_TO_A_USE: usize = 32 * 1024;
/// How far back calls are searched, in bytes.
const MOST_OF_CALLS: usize = 800;
/// The most places of that name that are checked.
const MOST_USES: usize = 24;

/// Whether something shows that the program requests the address: the call that takes it, the name that it is assigned to,
/// the use of that name, or the form of the address itself.
pub(in crate::scan) fn is_sure(place: &Place<'_>, candidate: &Candidate<'_>) -> bool {
    let (source, host) = (place.source, candidate.host.as_str());
    // The source of a page of documentation.
    let folders = source.path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let is_of_documentation =
        folders.split('/').any(|folder| ["doc", "docs", "documentation"].contains(&folder));
    if is_of_documentation && Languages::CONFIGURATION.has(source.language) {
        return false;
    }
    // Text for a reader of feeds.
    if source.language == Language::Xml
        && source.mentions(&["<rss ", "<opml ", "<channel>", "http://www.w3.org/2005/Atom"])
    {
        return false;
    }
    let path = String::from_utf8_lossy(candidate.url.path).replace('\\', "").to_ascii_lowercase();
    let from = match place.region.kind {
        Kind::String => place.region.from,
        _ => place.at,
    };
    let name = name_of(source, from, place.at);
    let line = source.line_before(place.at);
    if fetches(line)
        || is_of_a_shell(source.language) && runs_a_fetcher(line)
        || is_of_a_key(source.bytes, place.at, &path)
    {
        return true;
    }
    let calls_ask = || calls_around(source, from).any(asks);
    // The client that downloads a torrent contacts its tracker, not this program.
    if path.ends_with("/announce") || is_known_for_pages(host) && !name.is_some_and(names_a_download) {
        return calls_ask();
    }
    let is_machine = candidate.url.has_port || candidate.url.has_user || is_of_a_machine(host, &path);
    let is_of_an_interface = host.starts_with("api") || path.contains("/api");
    let is_program = !Languages::CONFIGURATION.has(source.language) && !is_of_a_shell(source.language);
    // Identifiers of namespaces and protocols have such names too.
    if is_program && name.is_some_and(|name| name.eq_ignore_ascii_case(b"uri")) && !is_of_an_interface {
        return calls_ask() || name.is_some_and(|name| is_used(source, place.at, name));
    }
    // `PKG_SITE` beside `PKG_URL`, `site_url` beside `server_url`.
    if is_machine || name.is_some_and(names_a_site) {
        return is_machine;
    }
    let is_page = is_of_a_site(host, &path);
    let (above_query, query) = path.split_once('?').unwrap_or((&path, ""));
    // An address that is built for a request; pages of a site have queries too.
    let is_of_a_service = above_query.len() > 1 || is_a_machine_of_a_domain(host);
    if query.contains('=')
        && is_of_a_service
        && !is_page
        && !host.starts_with("www.")
        && !path.contains(".htm")
    {
        return true;
    }
    let others = [name_of_list(source, from), name_of_function(source, from)];
    if name.into_iter().chain(others.into_iter().flatten()).any(|name| names_a_requested_value(name, is_page))
    {
        return true;
    }
    // `msg_url`, not `url` alone.
    let names_an_address = |name: &[u8]| {
        let words: Vec<String> = words_of(name).collect();
        words.len() > 1 && words.last().is_some_and(|word| ["url", "uri", "address"].contains(&word.as_str()))
    };
    if is_a_machine_of_a_domain(host) && !is_page && name.is_some_and(names_an_address) {
        return true;
    }
    match source.language {
        Language::Shell | Language::Dockerfile | Language::Makefile => {
            // In a description of a package `URL` alone is its homepage.
            let says_nothing = name.is_some_and(|name| name.eq_ignore_ascii_case(b"url"));
            !is_page && !says_nothing || name.is_some_and(|name| is_used(source, place.at, name))
        }
        Language::Yaml | Language::Toml | Language::Ini | Language::Json => {
            let of_settings = !matches!(source.language, Language::Json) && !is_page;
            let is_setting = of_settings
                && name.is_some_and(|name| {
                    words_of(name)
                        .last()
                        .is_some_and(|word| ["url", "uri", "address"].contains(&word.as_str()))
                });
            is_setting || block_of(source, from).is_some_and(|block| names_a_requested_value(block, is_page))
        }
        Language::Xml => {
            element_asks(source, place.at)
                || is_a_machine_of_a_domain(host)
                    && !is_page
                    && element_of(source.before(place.at, 160)).is_some_and(names_an_address)
        }
        _ => {
            opens_at_once(source.line_after(place.region.to))
                || calls_ask()
                || name.is_some_and(|name| is_used(source, place.at, name))
        }
    }
}

/// The name that the value is assigned to: in the line, in its string, or the name of its list.
fn name_of<'a>(source: &Source<'a>, from: usize, at: usize) -> Option<&'a [u8]> {
    let glued = source.bytes.get(from + 1..at).filter(|before| !before.trimmed().is_empty());
    if let Some(name) = glued.and_then(key_of) {
        return Some(name);
    }
    let before = source.line_before(from);
    let before = if before.trimmed().is_empty() { source.before(from, 120) } else { before };
    let before = before.trimmed_end();
    // In scripts the region of a string does not contain its quote.
    let before = before.strip_suffix(b"\"").or(before.strip_suffix(b"'")).unwrap_or(before);
    let mark = before.iter().rev().take(2).take_while(|byte| b"fFrRbBuUL@$c".contains(byte)).count();
    let bare = &before[..before.len() - mark];
    let before = if bare.last().is_some_and(|last| is_of_name(*last)) { before } else { bare };
    key_of(before).or_else(|| key_of(outside_of_wrappers(before))).or_else(|| name_of_list(source, from))
}

/// The name of the function whose first statement returns the value: `def api_url(self): return "http://…"`.
fn name_of_function<'a>(source: &Source<'a>, from: usize) -> Option<&'a [u8]> {
    let before = source.before(from, 300).trimmed_end();
    let before = before.strip_suffix(b"return").unwrap_or(before).trimmed_end();
    let mut header = before.strip_suffix(b"{").or(before.strip_suffix(b":"))?.trimmed_end();
    // C#: a property with `{ get { return`.
    if let Some(property) = header.strip_suffix(b"get") {
        header = property.trimmed_end().strip_suffix(b"{")?.trimmed_end();
    }
    let start = header.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = &header[start..];
    let name = match line.iter().rposition(|byte| *byte == b'(') {
        Some(open) => &line[..open],
        None => line,
    };
    let length = name.iter().rev().take_while(|byte| is_of_name(**byte)).count();
    Some(&name[name.len() - length..]).filter(|name| !name.is_empty())
}

/// `URL("http://…").openStream()`.
fn opens_at_once(after: &[u8]) -> bool {
    ["openStream(", "openConnection(", "readText(", "readBytes(", ".fetch("]
        .iter()
        .any(|word| contains(after, word))
}

/// `tar_download_url`, `REPO_URL`.
fn names_a_download(name: &[u8]) -> bool {
    const WORDS: Words =
        Words("download downloads archive tarball tar zip repo repos repository source clone git raw");
    words_of(name).any(|word| WORDS.has(&word))
}

/// Whether a name says that its value is a site for people, which may also be a folder of downloads.
fn names_a_site(name: &[u8]) -> bool {
    let words: Vec<String> = words_of(name).collect();
    let last = words.iter().rev().find(|word| !["url", "uri", "link"].contains(&word.as_str()));
    last.is_some_and(|word| {
        ["site", "sites", "website", "homepage", "domain", "page"].contains(&word.as_str())
    })
}

/// Whether a name says that its value is requested. The front page of a site needs a stronger name.
fn names_a_requested_value(name: &[u8], is_page: bool) -> bool {
    const ALWAYS: Words = Words(
        "api apis apiurl endpoint endpoints server servers backend gateway webhook webhooks hook callback \
        feed feeds rss atom download downloads downloader upload uploads uploader update updates updater \
        upgrade mirror mirrors repo repos registry rpc xmlrpc request requests query search login logout \
        signin auth oauth token authorize authorization submit notify broker upstream target pass fetch \
        baseurl baseuri rest graphql soap stream streams firmware ota ping ingest \
        collector telemetry metrics geoip wsdl manifest rdap whois source sources root host hosts hostname \
        node probe checkip",
    );
    const UNLESS_A_PAGE: Words = Words("service services source sources root host hosts hostname node");
    let words: Vec<String> = words_of(name).collect();
    // `basePath` is a part of an address, not an address.
    let is_base =
        words.iter().zip(words.iter().skip(1).map(String::as_str).chain(["url"])).any(|(word, next)| {
            word == "base" && ["url", "uri", "host", "address", "endpoint", "api", "server"].contains(&next)
        });
    let says = key_says(name);
    is_base
        || words.iter().any(|word| ALWAYS.has(word) && !(is_page && UNLESS_A_PAGE.has(word)))
        || says == KeySays::Address && !is_page
}

/// Whether an address has a form that people do not open: a machine's name, a folder of an API, a data file.
fn is_of_a_machine(host: &str, path: &str) -> bool {
    const LABELS: Words = Words(
        "ws rpc xmlrpc rss feed feeds dl download downloads update updates upload uploads cdn repo repos \
        mirror mirrors data rest service services webservice webservices push gateway auth login \
        oauth server backend svc hooks webhook webhooks stats metrics telemetry collector ingest checkip \
        icanhazip geoip rdap whois ota firmware stream streaming events",
    );
    const FOLDERS: Words = Words("rest rpc ajax graphql soap ws xmlrpc xml-rpc upload uploads download downloads update updates login \
        feed feeds rss json webhook webhooks hook hooks oauth oauth2 token query metrics firmware \
        ota stream");
    const FILES: Words = Words(
        ".json .xml .zip .gz .tgz .bz2 .xz .tar .bin .img .iso .exe .msi .deb .rpm .apk .ipk .pkg .dmg .jar \
        .war .whl .js .css .mp3 .mp4 .m3u .m3u8 .pls .ts .mpd .png .jpg .jpeg .gif .svg .ico .webp .csv .dat \
        .db .sh .key .asc .gpg .yml .yaml .rss .atom .asmx .ashx .svc .cgi .action .do",
    );
    let labels: Vec<&str> = host.split('.').collect();
    let of_host = labels.iter().take(labels.len().saturating_sub(2)).any(|label| {
        let label = label.trim_end_matches(|last: char| last.is_ascii_digit());
        LABELS.has(label)
            || label.starts_with("api")
            || label.ends_with("api")
            || label.contains("-api")
            || label.contains("api-")
    });
    let path_only = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path_only.split('/').filter(|segment| !segment.is_empty());
    let is_of_files = FILES.all().any(|end| path_only.ends_with(end));
    let is_version = |segment: &str| {
        segment
            .strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()) && rest.len() < 5)
    };
    of_host && !is_of_html(path_only)
        || is_of_files
        || segments.any(|segment| FOLDERS.has(segment) || is_version(segment) || is_of_an_api(segment))
}

/// `api`, `publicapi`, `api.php`, `api_v2`, `api-upload.php`.
fn is_of_an_api(segment: &str) -> bool {
    let name = segment.split('.').next().unwrap_or_default();
    name.starts_with("api") && !name[3..].starts_with(|next: char| next.is_ascii_alphabetic())
        || name.ends_with("api")
}

/// A machine of a domain, with a name that is not usual for pages: `sms.acme.io`.
fn is_a_machine_of_a_domain(host: &str) -> bool {
    const FOR_PEOPLE: Words = Words("www docs doc wiki blog blogs help support forum forums community code en de developer developers dev \
        manual manuals man bugs issues project projects home about info store shop list lists groups news \
        learn tutorial tutorials people old m bugzilla trac git github plugins sites web my tools standards \
        pubs");
    const OF_PAGES: Words = Words(
        "github.io gitlab.io readthedocs.org readthedocs.io sourceforge.net sourceforge.io blogspot.com \
        wordpress.com wikipedia.org wikimedia.org google.com google.code googlecode.com github.com \
        launchpad.net tumblr.com debian.org gnu.org apache.org freedesktop.org microsoft.com oracle.com \
        sun.com mozilla.org python.org edu ac.uk stackexchange.com pagesperso-orange.fr free.fr android.com \
        apple.com ibm.com intel.com kernel.org",
    );
    let labels: Vec<&str> = host.split('.').collect();
    let first =
        labels.first().copied().unwrap_or_default().trim_end_matches(|last: char| last.is_ascii_digit());
    labels.len() > 2
        && !FOR_PEOPLE.has(first)
        && !OF_PAGES.all().any(|end| host.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')))
}

/// Sites whose addresses are mostly links, and whose APIs have hosts of their own.
fn is_known_for_pages(host: &str) -> bool {
    const HOSTS: Words = Words(
        "github.com gitlab.com bitbucket.org sourceforge.net twitter.com x.com facebook.com youtube.com youtu.be reddit.com \
        instagram.com linkedin.com play.google.com plus.google.com maps.google.com itunes.apple.com stackoverflow.com \
        discord.gg t.me patreon.com paypal.com wikipedia.org",
    );
    HOSTS.has(host.strip_prefix("www.").unwrap_or(host))
}

/// Whether the address is the front page or an HTML page of a site: `http://www.acme.io/`, `http://acme.io/about.html`.
fn is_of_a_site(host: &str, path: &str) -> bool {
    let is_front = path.is_empty() || path == "/";
    is_front && !is_a_machine_of_a_domain(host) || is_of_html(path)
}

fn is_of_html(path: &str) -> bool {
    [".html", ".htm", ".shtml", ".pdf"].iter().any(|end| path.ends_with(end))
}

/// The calls whose arguments contain a place, the innermost first; also through an object or a list of options.
pub(super) fn calls_around<'a>(source: &Source<'a>, at: usize) -> impl Iterator<Item = &'a [u8]> {
    let before = source.before(at, MOST_OF_CALLS);
    let mut end = before.len();
    let mut depth = 0_usize;
    std::iter::from_fn(move || {
        while let Some(index) = end.checked_sub(1) {
            end = index;
            match before[index] {
                b')' | b'}' | b']' => depth += 1,
                b'(' | b'{' | b'[' if depth > 0 => depth -= 1,
                b'(' => {
                    let name = before[..index].trimmed_end();
                    let name = name.strip_suffix(b"!").unwrap_or(name);
                    let length = name
                        .iter()
                        .rev()
                        .take_while(|byte| is_of_name(**byte) || b".:>-?".contains(byte))
                        .count();
                    return Some(&name[name.len() - length..]);
                }
                // A block, not an object of options.
                b'{' if ![b'(', b',', b':', b'[']
                    .contains(before[..index].trimmed_end().last().unwrap_or(&b' ')) =>
                {
                    end = 0;
                }
                b';' if depth == 0 => end = 0,
                _ => {}
            }
        }
        None
    })
    .take(3)
}

/// Whether a call connects to its argument, judged by its name.
fn asks(call: &[u8]) -> bool {
    const VERBS: Words = Words(
        "fetch load open urlopen urlretrieve request requests download upload send connect curl http https \
        axios ajax query submit stream subscribe dial ping import retrieve wget client retrofit beacon \
        eventsource xhr websocket begin endpoint server service api webhook feed clone pull scrape crawl \
        read soapclient urllib",
    );
    /// Objects of which `get` and `post` make requests.
    const OF_A_GET: Words = Words("get post json text html url page data file files async bytes content contents body response xml sync \
        form image feed object web from simple do raw");
    const RECEIVERS: Words = Words("http client request session axios curl fetch agent. urllib");
    let last = call.rsplit(|byte| b".:>".contains(byte)).next().unwrap_or_default();
    let words: Vec<String> = words_of(last).collect();
    let is_get = words.iter().any(|word| ["get", "post"].contains(&word.as_str()))
        && words.iter().all(|word| OF_A_GET.has(word));
    let lower = String::from_utf8_lossy(call).to_ascii_lowercase();
    is_get
        || words.iter().any(|word| VERBS.has(word))
        || VERBS.has(&words.concat())
        || RECEIVERS.all().any(|receiver| lower.contains(receiver))
}

/// Whether the file passes the value of that name to a call that connects: `url = "http://…"` and then `opener.open(url)`.
fn is_used(source: &Source<'_>, at: usize, name: &[u8]) -> bool {
    let is_of_a_shell =
        matches!(source.language, Language::Shell | Language::Dockerfile | Language::Makefile);
    let scope = Scope::of(source, at, name);
    let name = name.rsplit(|byte| b".$@".contains(byte)).next().unwrap_or_default();
    if name.len() < 2 {
        return false;
    }
    let start = at.saturating_sub(MOST_TO_A_USE);
    let end = source.bytes.len().min(at + MOST_TO_A_USE);
    let near = source.bytes.get(start..end).unwrap_or_default();
    let line_end = at + source.line_after(at).len();
    let places = memchr::memmem::find_iter(near, name)
        .map(|found| start + found)
        .filter(|found| scope != Scope::Local || *found > at)
        .filter(|found| is_whole(source, *found, name.len()));
    for found in places.take(MOST_USES) {
        let (before, after) = (source.before(found, 2), source.after(found + name.len(), 3));
        if is_of_a_shell {
            let line = source.line_before(found);
            if fetches(line)
                || runs_a_fetcher(line.strip_suffix(b"{").unwrap_or(line).strip_suffix(b"$").unwrap_or(line))
            {
                return true;
            }
            continue;
        }
        let is_of_an_object = before.ends_with(b".") || before.ends_with(b"->") || before.ends_with(b"::");
        let is_quoted = before.ends_with(b"'") || before.ends_with(b"\"");
        // `get('url')` looks the name up, `get(all['url'])` passes the value.
        let fits = match scope {
            _ if is_quoted => after.get(1) == Some(&b']'),
            Scope::Local => !is_of_an_object,
            Scope::Object => is_of_an_object,
            Scope::File => true,
        };
        if fits && calls_around(source, found).any(asks) {
            return true;
        }
        // From here on the name has another value.
        let is_assigned =
            after.trimmed_start().starts_with(b"=") && !after.trimmed_start().starts_with(b"==");
        if scope == Scope::Local && is_assigned && found > line_end {
            return false;
        }
    }
    false
}

fn is_of_a_shell(language: Language) -> bool {
    matches!(language, Language::Shell | Language::Dockerfile | Language::Makefile)
}

fn is_whole(source: &Source<'_>, found: usize, length: usize) -> bool {
    let before = source.before(found, 1).first().is_some_and(|byte| is_of_name(*byte) && *byte != b'$');
    let after = source.bytes.get(found + length).is_some_and(|byte| is_of_name(*byte));
    !before && !after
}

/// The scope of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Below its assignment, alone: `url`.
    Local,
    /// As a member: `self.url`, `$this->url`.
    Object,
    /// A constant, and a field in languages that name fields alone.
    File,
}

impl Scope {
    fn of(source: &Source<'_>, at: usize, name: &[u8]) -> Scope {
        let line = source.line_before(at);
        let is_a_property = |words: &[&str]| words.iter().any(|word| contains(line, word));
        let is_constant = !name.iter().any(u8::is_ascii_lowercase);
        match source.language {
            _ if is_constant => Scope::File,
            Language::Php if is_a_property(&["public ", "private ", "protected ", "static "]) => {
                Scope::Object
            }
            Language::Php | Language::Python if name.contains(&b'.') || contains(line, "->") => Scope::Object,
            Language::Python if is_of_a_class(source, at, line) => Scope::Object,
            Language::Php | Language::Python | Language::Ruby | Language::JavaScript => Scope::Local,
            Language::Java | Language::CSharp | Language::Swift | Language::C => Scope::File,
            _ => Scope::Local,
        }
    }
}

/// Python: whether the nearest line above with less indentation begins a class.
fn is_of_a_class(source: &Source<'_>, at: usize, line: &[u8]) -> bool {
    let indent = |line: &[u8]| line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let own = indent(line);
    let above = source.before(at - line.len().min(at), 4000);
    let mut lines = above.rsplit(|byte| *byte == b'\n').filter(|line| !line.trimmed().is_empty());
    own > 0
        && lines
            .find(|line| indent(line) < own)
            .is_some_and(|line| line.trimmed_start().starts_with(b"class "))
}

/// XML: the name of the element or attribute with the value.
fn element_of(before: &[u8]) -> Option<&[u8]> {
    let before = before.trimmed_end();
    let before = match before.strip_suffix(b">") {
        Some(tag) => tag,
        None => before.strip_suffix(b"\"").or(before.strip_suffix(b"'"))?.strip_suffix(b"=")?,
    };
    let length = before.iter().rev().take_while(|byte| is_of_name(**byte) || b"-.:".contains(byte)).count();
    Some(&before[before.len() - length..])
}

/// XML: an element or an attribute whose value is requested.
fn element_asks(source: &Source<'_>, at: usize) -> bool {
    const WORDS: Words =
        Words("endpoint server host service api repositor mirror feed packagesource base download update");
    let before = source.before(at, 160);
    let text = String::from_utf8_lossy(before).to_ascii_lowercase();
    let start = text.rfind('<').unwrap_or(0);
    let outer = text[..start].rfind('<').unwrap_or(start);
    WORDS.all().any(|word| text[outer..].contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_address_tells_a_machine_from_a_page() {
        for (host, path) in [
            ("api.acme.io", "/people"),
            ("acme.io", "/api/users"),
            ("www.acme.io", "/v2/list"),
            ("acme.io", "/files/a.tar.gz"),
            ("acme.io", "/api-create.php"),
        ] {
            assert!(is_of_a_machine(host, path), "{host}{path}");
        }
        for (host, path) in [
            ("www.acme.io", ""),
            ("acme.io", "/about.html"),
            ("acme.io", "/apitude"),
            ("xmlrpc.acme.io", "/doc.html"),
        ] {
            assert!(!is_of_a_machine(host, path), "{host}{path}");
        }
    }

    #[test]
    fn a_call_that_connects_is_known_by_its_name() {
        for call in [
            "requests.get",
            "fetch",
            "self.load",
            "http.begin",
            "client.PostAsync",
            "opener.open",
            "$.getJSON",
        ] {
            assert!(asks(call.as_bytes()), "{call}");
        }
        for call in
            ["map.get_property", "format", "String.format", "prefs.getString", "NodeId.parse", "list.add"]
        {
            assert!(!asks(call.as_bytes()), "{call}");
        }
    }

    #[test]
    fn the_calls_around_a_place_are_named_from_the_inside_out() {
        let calls = |text: &str| -> Vec<String> {
            let source = Source::new(text.as_bytes(), Language::JavaScript, "a", false, &[]);
            calls_around(&source, text.len()).map(|call| String::from_utf8_lossy(call).into_owned()).collect()
        };
        assert_eq!(calls("axios({ method: 'get', url: "), ["axios"]);
        assert_eq!(calls("f(g([h(a), "), ["g", "f"]);
        assert_eq!(calls("describe(() => { a = "), [""; 0]);
        assert_eq!(calls("f(a); b = "), [""; 0]);
    }
}
