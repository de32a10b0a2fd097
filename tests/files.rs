//! Files through a real socket: what clients, browsers and those who mean harm ask of a folder, most of it taken from public
//! reports about other servers.

mod support;

#[path = "support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers;

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{symlink, FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use lockgate::web::Files;
use lockgate::{Request, Response, Router};
use tempfile::TempDir;

use peers::{CURL, PYTHON};
use support::{lines, noise, serve, Client, End, Reply, Serving, Shape};

/// Long past, so that dates and tags are what they are on a device that was not updated just now.
const SETTLED: Duration = Duration::from_secs(1_000_000);

/// A folder `root` with pages, scripts, links and what is no file; and a file beside it.
fn tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    for folder in ["docs", "empty", "assets", ".git", ".well-known", "sp ace"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (name, content) in [
        ("index.html", "<h1>Start</h1>"),
        ("docs/index.html", "<h1>Docs</h1>"),
        ("docs/a b&c.txt", "a"),
        ("ten.txt", "0123456789"),
        ("none.txt", ""),
        ("app.js", "console.log('app');"),
        ("app.js.gz", "\x1f\x08 as if gzip"),
        ("app.js.br", "as if brotli, which is longer than the script"),
        ("tiny.js", "1"),
        ("tiny.js.gz", "a coded form that is larger than the other"),
        ("stale.js", "new"),
        ("stale.js.gz", "old"),
        ("LICENSE", "no extension"),
        ("LICENSE.gz", "coded"),
        ("alone.css.gz", "coded alone"),
        ("app.4f3c2a1b.js", "hashed"),
        ("assets/index-DRXdy1V7.js", "hashed by a bundler"),
        (".env", "SECRET=1"),
        (".git/config", "[core]"),
        (".well-known/security.txt", "Contact: mailto:a@example.org"),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    fs::write(root.join("large.bin"), noise(300_000)).unwrap();
    fs::write(root.join("huge.bin"), noise(3 * 1024 * 1024)).unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    let now = SystemTime::now();
    for entry in walk(&root) {
        // A copy writes files in any order, so a coded form may be a little older.
        let age = match entry.file_name().unwrap().to_str().unwrap() {
            "stale.js.gz" => SETTLED + Duration::from_secs(3),
            "app.js.br" => SETTLED + Duration::from_millis(1_900),
            _ => SETTLED,
        };
        File::open(entry).unwrap().set_modified(now - age).unwrap();
    }
    symlink("../secret", root.join("out.txt")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("..", root.join("docs/up")).unwrap();
    symlink("ten.txt", root.join("inner.txt")).unwrap();
    symlink(dir.path().join("secret"), root.join("ten.txt.gz")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
    dir
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

struct Site {
    serving: Serving,
    dir: TempDir,
}

impl Site {
    /// Serves the folder at `/`, and at `/list/` with lists.
    fn new() -> Site {
        let dir = tree();
        let root = dir.path().join("root");
        let router = Router::new()
            .folder("/", Files::dir(&root).precompressed().immutable("assets").handler())
            .folder("/list", Files::dir(&root).listing().handler())
            .folder("/app", Files::dir(&root).fallback("index.html").handler())
            .folder("/gone", Files::dir(dir.path().join("nothing")).handler());
        Site { serving: serve(router), dir }
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        ask(&mut self.serving.connect(), "GET", path, fields)
    }
}

fn ask(client: &mut Client, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let shape = if method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
    client.try_reply(shape).unwrap_or_else(|end| panic!("{method} {path}: {end:?}"))
}

#[test]
fn a_file_comes_with_its_type_its_length_and_what_a_cache_needs() {
    let site = Site::new();
    let reply = site.ask("/ten.txt", &[]);
    assert_eq!((reply.status, reply.text()), (200, "0123456789"));
    assert_eq!(reply.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.field("content-length"), Some("10"));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert_eq!(reply.field("cache-control"), Some("no-cache"));
    assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.field("content-encoding"), None);
    assert_eq!(reply.field("etag"), Some("\"84d89877f0d4041efb6bf91a16f0248f\""));
    assert!(reply.field("last-modified").unwrap().ends_with(" GMT"));
    // The answer to HEAD has the same fields.
    for path in ["/ten.txt", "/large.bin", "/huge.bin", "/none.txt", "/"] {
        let (get, head) = (site.ask(path, &[]), ask(&mut site.serving.connect(), "HEAD", path, &[]));
        let shown = |reply: &Reply| {
            let mut fields = reply.fields.clone();
            fields.retain(|(name, _)| name != "date");
            (reply.status, fields)
        };
        assert_eq!(shown(&get), shown(&head), "{path}");
    }
    for (path, expected) in [
        ("/app.4f3c2a1b.js", "public, max-age=31536000, immutable"),
        ("/assets/index-DRXdy1V7.js", "public, max-age=31536000, immutable"),
        ("/app.js", "no-cache"),
        ("/", "no-cache"),
    ] {
        assert_eq!(site.ask(path, &[]).field("cache-control"), Some(expected), "{path}");
    }
    for path in ["/large.bin", "/huge.bin"] {
        let file = fs::read(site.dir.path().join("root").join(&path[1..])).unwrap();
        assert!(site.ask(path, &[]).body == file, "{path}");
    }
    assert_eq!(site.ask("/none.txt", &[]).text(), "");
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let refused = ask(&mut site.serving.connect(), method, "/ten.txt", &[("Content-Length", "0")]);
        assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
}

#[test]
fn nothing_outside_the_folder_and_nothing_hidden_is_served() {
    let site = Site::new();
    for path in [
        "/../secret",
        "/docs/../../secret",
        "/%2e%2e/secret",
        "/.%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/%252e%252e/secret",
        "/docs/%2e%2e/%2e%2e/secret",
        "/%c0%ae%c0%ae/secret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/etc/passwd",
        "/etc/",
        "/out.txt",
        "/docs/up/ten.txt%00.html",
        "/ten.txt%00",
        "/docs/up/../secret",
        "/.env",
        "/.git/config",
        "/docs/.hidden",
        "/.well-known/.git",
        "/pipe",
        "/socket",
        "/ten.txt/",
        "/ten.txt/x",
        "/docs//index.html",
        "/index.html/",
        "/empty/",
        "/empty",
        "/nothing",
        "/list/etc/",
        "/list/docs/up/up/",
        "/list/.git/",
    ] {
        let reply = site.ask(path, &[]);
        assert!(matches!(reply.status, 400 | 404), "{path}: {}", reply.status);
        let text = String::from_utf8_lossy(&reply.body);
        assert!(
            !text.contains("outside") && !text.contains("root:") && !text.contains("SECRET"),
            "{path}: {text}"
        );
    }
    // A coded form is a file like all others: this one is a link that leads out.
    let reply = site.ask("/ten.txt", &[("Accept-Encoding", "gzip")]);
    assert_eq!((reply.text(), reply.field("content-encoding")), ("0123456789", None));
    assert_eq!(site.ask("/.well-known/security.txt", &[]).status, 200);
    // A link that stays below is followed where the kernel checks it.
    let inner = site.ask("/inner.txt", &[]);
    assert_eq!(inner.status, if env::var_os(WITHOUT_OPENAT2).is_some() { 404 } else { 200 });
}

/// Set where these tests run without openat2.
const WITHOUT_OPENAT2: &str = "FILES_WITHOUT_OPENAT2";

/// Forbids system call 437, openat2 on every processor, with this error, and becomes another program.
const SANDBOX: &str = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
error = int(sys.argv[1])
filter = b''.join(struct.pack('HBBI', *line) for line in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)])
lines = ctypes.create_string_buffer(filter, len(filter))
program = struct.pack('HP', 4, ctypes.addressof(lines))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program, len(program)), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[2], sys.argv[2:])
";

#[cfg(target_os = "linux")]
#[test]
fn the_same_holds_where_the_kernel_has_no_openat2_or_a_sandbox_forbids_it() {
    use rustix::fs::{openat2, Mode, OFlags, ResolveFlags, CWD};
    let test = "the_same_holds_where_the_kernel_has_no_openat2_or_a_sandbox_forbids_it";
    if env::var_os(WITHOUT_OPENAT2).is_some() {
        assert!(openat2(CWD, ".", OFlags::RDONLY, Mode::empty(), ResolveFlags::BENEATH).is_err());
        return;
    }
    let exe = env::current_exe().unwrap();
    // ENOSYS, and EPERM.
    for error in ["38", "1"] {
        let Some(mut python) = PYTHON.command(test, &["-c", SANDBOX, error]) else { return };
        python.arg(&exe).args(["--exact", test]);
        python.arg("nothing_outside_the_folder_and_nothing_hidden_is_served");
        python.arg("a_file_comes_with_its_type_its_length_and_what_a_cache_needs");
        python.arg("a_list_has_the_names_of_a_folder_as_text");
        let output = python.env(WITHOUT_OPENAT2, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("4 passed"), "{said}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_404_and_a_folder_that_is_missing_is_500_with_a_line() {
    let site = Site::new();
    let path = site.dir.path().join("root/locked.txt");
    fs::write(&path, "locked").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read it all the same.
    let expected = if rustix::process::geteuid().is_root() { 200 } else { 404 };
    assert_eq!(site.ask("/locked.txt", &[]).status, expected);
    let reply = site.ask("/gone/a", &[]);
    assert_eq!(reply.status, 500);
    assert!(!reply.problem().to_string().contains("nothing"));
    let gone = site.dir.path().join("nothing").display().to_string();
    assert_eq!(lines(|line| line.contains(&gone)).len(), 1);
}

#[test]
fn a_folder_has_its_page_and_is_redirected_to_its_own_path_and_never_to_another_host() {
    let site = Site::new();
    assert_eq!(site.ask("/", &[]).text(), "<h1>Start</h1>");
    assert_eq!(site.ask("/docs/", &[]).text(), "<h1>Docs</h1>");
    let reply = site.ask("/docs?x=1", &[]);
    assert_eq!((reply.status, reply.field("location")), (307, Some("./docs/?x=1")));
    let reply = site.ask("/list", &[]);
    assert_eq!((reply.status, reply.field("location")), (307, Some("./list/")));
    for path in ["//www.example.org/%2e%2e", "//www.example.org/docs", "/\\www.example.org/docs", "///docs"] {
        let reply = site.ask(path, &[]);
        assert!(reply.status >= 400 && reply.field("location").is_none(), "{path}: {reply:?}");
    }
}

#[test]
fn a_list_has_the_names_of_a_folder_as_text() {
    let site = Site::new();
    let page = site.ask("/list/docs/", &[]);
    assert_eq!(page.text(), "<h1>Docs</h1>");
    for name in ["<img src=x onerror=alert(1)>.txt", "a%2e.txt", "line\nbreak", "back\\slash"] {
        fs::write(site.dir.path().join("root/sp ace").join(name), "x").unwrap();
    }
    let page = site.ask("/list/sp%20ace/", &[]);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("content-security-policy"), Some("default-src 'none'"));
    let text = page.text();
    assert!(text.contains("&lt;img src=x") && !text.contains("<img"), "{text}");
    assert!(!text.contains("break") && !text.contains("slash"), "{text}");
    let known = [("If-None-Match", page.field("etag").unwrap())];
    assert_eq!(site.ask("/list/sp%20ace/", &known).status, 304);
    // Each link leads to its file.
    let links: Vec<&str> = text.match_indices("href=\"./").map(|(at, _)| &text[at + 8..]).collect();
    assert_eq!(links.len(), 2, "{text}");
    for link in links {
        let link = &link[..link.find('"').unwrap()];
        assert_eq!(site.ask(&format!("/list/sp%20ace/{link}"), &[]).text(), "x", "{link}");
    }
    let root = site.serving.connect().get("/list/empty/");
    assert_eq!((root.status, root.text().contains("<li>")), (200, true));
    for hidden in [".env", ".git", "etc/"] {
        let listed = fs::remove_file(site.dir.path().join("root/index.html"));
        drop(listed);
        let text = site.ask("/list/", &[]);
        assert!(!text.text().contains(&format!(">{hidden}<")), "{hidden}");
        assert!(text.text().contains(">.well-known/<") && text.text().contains(">docs/<"));
    }
}

#[test]
fn a_path_of_the_browsers_own_gets_the_page_and_a_missing_script_does_not() {
    let site = Site::new();
    let html = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    let navigates = ("Sec-Fetch-Mode", "navigate");
    for path in ["/app/graph", "/app/device/192.168.1.10", "/app/a/b/c/", "/app/users/john.doe", "/app/.env"]
    {
        for fields in [&[html][..], &[html, navigates]] {
            let reply = site.ask(path, fields);
            assert_eq!((reply.status, reply.text()), (200, "<h1>Start</h1>"), "{path}");
        }
        for fields in [
            &[][..],
            &[("Accept", "*/*")],
            &[("Accept", "application/json")],
            &[html, ("Sec-Fetch-Mode", "cors")],
        ] {
            assert_eq!(site.ask(path, fields).status, 404, "{path} {fields:?}");
        }
    }
    for path in
        ["/app/assets/index-DEADBEEF.js", "/app/nope.css", "/app/favicon.PNG", "/app/a.map", "/app/x.wasm"]
    {
        assert_eq!(site.ask(path, &[html, navigates]).status, 404, "{path}");
    }
    assert_eq!(site.ask("/graph", &[html]).status, 404, "only where a fallback is set");
}

#[test]
fn a_coded_form_is_sent_to_clients_that_accept_it_and_all_answers_say_what_they_depend_on() {
    let site = Site::new();
    let script = "console.log('app');";
    let brotli = "as if brotli, which is longer than the script";
    let gzip = "\x1f\x08 as if gzip";
    for (accepts, coding, body) in [
        (None, None, script),
        (Some(""), None, script),
        (Some("identity"), None, script),
        (Some("gzip"), Some("gzip"), gzip),
        (Some("gzip, deflate, br, zstd"), Some("br"), brotli),
        (Some("gzip, br;q=0.5"), Some("gzip"), gzip),
        (Some("br;q=0, gzip;q=0.1"), Some("gzip"), gzip),
        (Some("zstd"), None, script),
        (Some("gzip;q=0"), None, script),
        (Some("*;q=0"), None, script),
        (Some("identity, gzip;q=0.5"), None, script),
    ] {
        let fields: Vec<_> = accepts.map(|value| ("Accept-Encoding", value)).into_iter().collect();
        let reply = site.ask("/app.js", &fields);
        assert_eq!((reply.text(), reply.field("content-encoding")), (body, coding), "{accepts:?}");
        assert_eq!(reply.field("vary"), Some("accept-encoding"), "{accepts:?}");
        assert_eq!(reply.field("content-type"), Some("text/javascript; charset=utf-8"), "{accepts:?}");
    }
    let coded = ("Accept-Encoding", "gzip");
    let tag = |fields: &[(&str, &str)]| site.ask("/app.js", fields).field("etag").unwrap().to_string();
    let (plain, gzipped) = (tag(&[]), tag(&[coded]));
    assert_ne!(plain, gzipped, "each form has a tag of its own");
    for (tag, status) in [(&gzipped, 304), (&plain, 200)] {
        let reply = site.ask("/app.js", &[coded, ("If-None-Match", tag)]);
        assert_eq!((reply.status, reply.field("vary")), (status, Some("accept-encoding")));
    }
    // Ranges are those of the form that is sent.
    let part = site.ask("/app.js", &[coded, ("Range", "bytes=3-4")]);
    assert_eq!((part.status, part.text(), part.field("content-range")), (206, "as", Some("bytes 3-4/13")));
    assert_eq!((part.field("content-encoding"), part.field("vary")), (Some("gzip"), Some("accept-encoding")));
    let behind = site.ask("/app.js", &[coded, ("Range", "bytes=13-")]);
    assert_eq!((behind.status, behind.field("content-range")), (416, Some("bytes */13")));
    assert_eq!(behind.field("vary"), Some("accept-encoding"));
    // A coded form may be longer than the other, and one that is older is of other content.
    assert_eq!(site.ask("/tiny.js", &[coded]).text(), "a coded form that is larger than the other");
    assert_eq!(site.ask("/stale.js", &[coded]).text(), "new");
    // A name without an extension, and one that is not there.
    assert_eq!(site.ask("/LICENSE", &[coded]).text(), "no extension");
    assert_eq!(site.ask("/alone.css", &[coded]).status, 404);
    assert_eq!(site.ask("/tiny", &[("Accept-Encoding", "identity")]).status, 404);
    let archive = site.ask("/app.js.gz", &[coded]);
    assert_eq!(
        (archive.field("content-encoding"), archive.field("content-type")),
        (None, Some("application/gzip"))
    );
    // Where it was not asked for, the name means nothing.
    assert_eq!(site.ask("/app/app.js", &[coded]).text(), script);
    assert_eq!(site.ask("/app/app.js", &[coded]).field("vary"), None);
}

#[test]
fn a_page_that_changes_is_never_taken_for_the_old_one() {
    let site = Site::new();
    let path = site.dir.path().join("root/state.html");
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mut before: Option<(String, String)> = None;
    for number in 0..20 {
        // As a build does that sets all times equal, and in one tick of the clock.
        fs::write(&path, format!("state {number:02}")).unwrap();
        File::open(&path).unwrap().set_modified(date).unwrap();
        if let Some((tag, modified)) = &before {
            let reply = site.ask("/state.html", &[("If-None-Match", tag)]);
            assert_eq!((reply.status, reply.text()), (200, &*format!("state {number:02}")));
            let both = [("If-None-Match", tag.as_str()), ("If-Modified-Since", modified.as_str())];
            assert_eq!(site.ask("/state.html", &both).status, 200);
            let part = site.ask("/state.html", &[("If-Range", tag), ("Range", "bytes=0-0")]);
            assert_eq!(part.status, 200);
        }
        let reply = site.ask("/state.html", &[]);
        before = Some((reply.field("etag").unwrap().into(), reply.field("last-modified").unwrap().into()));
        let again = site.ask("/state.html", &[("If-None-Match", &before.as_ref().unwrap().0)]);
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    // What was written just now has no date, since it could be written again within the same second.
    fs::write(&path, "now").unwrap();
    let reply = site.ask("/state.html", &[]);
    assert!(reply.field("last-modified").is_none() && reply.field("etag").is_some());
    // And no date is told that no change would change.
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert!(site.ask("/state.html", &[]).field("last-modified").is_none());
}

#[test]
fn a_range_is_a_part_of_the_file_with_its_length() {
    let site = Site::new();
    for (path, size) in [("/large.bin", 300_000), ("/huge.bin", 3 * 1024 * 1024)] {
        let file = noise(size);
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=100-20000", 100, 20_000),
            ("bytes=1000-250000", 1_000, 250_000),
            ("bytes=299000-", 299_000, size - 1),
            ("bytes=-1", size - 1, size - 1),
            ("bytes=0-", 0, size - 1),
        ] {
            let reply = site.ask(path, &[("Range", range)]);
            assert_eq!(reply.status, 206, "{path} {range}");
            assert_eq!(reply.field("content-range"), Some(&*format!("bytes {first}-{last}/{size}")));
            assert_eq!(reply.field("content-length"), Some(&*(last - first + 1).to_string()));
            assert_eq!(reply.field("transfer-encoding"), None);
            assert!(reply.body == file[first..=last], "{path} {range}");
        }
    }
    let head = ask(&mut site.serving.connect(), "HEAD", "/ten.txt", &[("Range", "bytes=0-0")]);
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    let empty = site.ask("/none.txt", &[("Range", "bytes=0-")]);
    assert_eq!((empty.status, empty.text()), (200, ""));
    let twice = site.ask("/ten.txt", &[("Range", "bytes=0-0"), ("Range", "bytes=1-1")]);
    assert_eq!(twice.status, 200);
}

#[test]
fn several_ranges_come_as_parts_of_one_body() {
    let site = Site::new();
    let file = noise(300_000);
    let reply = site.ask("/large.bin", &[("Range", "bytes=0-9,100000-199999,-5")]);
    assert_eq!(reply.status, 206);
    assert_eq!(reply.field("content-length"), Some(&*reply.body.len().to_string()));
    assert!(reply.field("content-range").is_none());
    let parts = parts(&reply);
    let expected = [(0, 9), (100_000, 199_999), (299_995, 299_999)];
    assert_eq!(parts.len(), expected.len());
    for ((head, body), (first, last)) in parts.iter().zip(expected) {
        let range = format!("Content-Range: bytes {first}-{last}/300000");
        assert!(head.contains(&range) && head.contains("Content-Type: application/octet-stream"), "{head}");
        assert!(*body == file[first..=last], "{range}");
    }
    // Each answer has a boundary of its own.
    let again = site.ask("/large.bin", &[("Range", "bytes=0-9,100000-199999,-5")]);
    assert_ne!(again.field("content-type"), reply.field("content-type"));
    // However often a client asks for all of it, it comes once.
    let all = format!("bytes={}", vec!["0-"; 16].join(","));
    assert_eq!(site.ask("/large.bin", &[("Range", &all)]).body.len(), 300_000);
    let overlaps = format!("bytes={}", (0..1_300).map(|at| format!("5-{at}")).collect::<Vec<_>>().join(","));
    let reply = site.ask("/large.bin", &[("Range", &overlaps)]);
    assert_eq!((reply.status, reply.body.len()), (200, 300_000));
}

/// The parts of a body: the head and the content of each.
fn parts(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let boundary =
        reply.field("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mark = format!("\r\n--{boundary}").into_bytes();
    let mut rest = &reply.body[..];
    let mut parts = Vec::new();
    assert!(rest.starts_with(&mark));
    rest = &rest[mark.len()..];
    while !rest.starts_with(b"--") {
        let end = memchr::memmem::find(rest, &mark).unwrap();
        let head = memchr::memmem::find(rest, b"\r\n\r\n").unwrap();
        parts.push((String::from_utf8(rest[..head].to_vec()).unwrap(), rest[head + 4..end].to_vec()));
        rest = &rest[end + mark.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn a_file_that_becomes_shorter_cuts_the_connection_and_one_that_grows_does_not() {
    let site = Site::new();
    let root = site.dir.path().join("root");
    let length = 24 * 1024 * 1024;
    for (name, range) in [("shrinks.bin", None), ("shrinks.txt", Some("bytes=0-9,20-"))] {
        fs::write(root.join(name), noise(length)).unwrap();
        let mut client = site.serving.connect();
        let fields = range.map_or(String::new(), |range| format!("Range: {range}\r\n"));
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
        assert!(head.contains("content-length: 25"), "{head}");
        // More than the system holds for a client that does not read is still on the disk.
        File::options().write(true).open(root.join(name)).unwrap().set_len(1_000).unwrap();
        let (came, end) = client.rest();
        assert!(came.len() < length && end != End::Goodbye, "{name}: {} bytes, {end:?}", came.len());
    }
    assert!(!lines(|line| line.contains("the file became shorter while it was sent")).is_empty());
    fs::write(root.join("grows.log"), noise(length)).unwrap();
    let mut client = site.serving.connect();
    client.send("GET /grows.log HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = String::from_utf8(client.take_until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
    let file = File::options().append(true).open(root.join("grows.log")).unwrap();
    file.write_all_at(b"more", 0).ok();
    (&file).write_all(b"appended").unwrap();
    let body = client.take_until(&noise(length)[length - 32..]).unwrap();
    assert_eq!(body.len(), length);
    assert_eq!(client.get("/ten.txt").text(), "0123456789", "and the connection is kept");
}

#[test]
fn curl_resumes_a_download_where_it_was_cut() {
    let test = "curl_resumes_a_download_where_it_was_cut";
    let site = Site::new();
    let file = fs::read(site.dir.path().join("root/huge.bin")).unwrap();
    let part = site.dir.path().join("part.bin");
    fs::write(&part, &file[..1_000_000]).unwrap();
    let url = format!("https://localhost:{}/huge.bin", site.serving.address.port());
    let arguments = ["-sS", "--fail", "-4", "--insecure"];
    let Some(mut curl) = CURL.command(test, &arguments) else { return };
    let status = curl.args(["-C", "-", "-o", part.to_str().unwrap(), &url]).status().unwrap();
    assert!(status.success());
    assert!(fs::read(&part).unwrap() == file);
    let tags = site.dir.path().join("etag");
    // A large file has no tag so soon after it was written.
    let url = url.replace("huge.bin", "large.bin");
    for expected in ["200", "304"] {
        let mut curl = CURL.command(test, &arguments).unwrap();
        curl.args(["--etag-compare", tags.to_str().unwrap(), "--etag-save", tags.to_str().unwrap()]);
        let output =
            curl.args(["-o", "/dev/null", "-w", "%{http_code}", &url]).stdout(Stdio::piped()).output();
        assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), expected);
    }
}

#[test]
fn files_of_the_program_are_served_as_those_of_a_folder_are() {
    let script = noise(50_000);
    let files: Vec<(&str, &'static [u8])> = vec![
        ("index.html", b"<h1>Start</h1>"),
        ("app.js", script.clone().leak()),
        ("app.js.gz", b"coded"),
        ("docs/index.html", b"<h1>Docs</h1>"),
    ];
    let serving = serve(Router::new().folder("/", Files::embedded(&files).fallback("index.html").handler()));
    let get = |path: &str, fields: &[(&str, &str)]| ask(&mut serving.connect(), "GET", path, fields);
    assert_eq!(get("/", &[]).text(), "<h1>Start</h1>");
    assert_eq!(get("/docs/", &[]).text(), "<h1>Docs</h1>");
    assert_eq!(get("/docs", &[]).field("location"), Some("./docs/"));
    assert_eq!(get("/graph", &[("Accept", "text/html")]).text(), "<h1>Start</h1>");
    assert_eq!((get("/graph", &[]).status, get("/none.js", &[("Accept", "text/html")]).status), (404, 404));
    let plain = get("/app.js", &[]);
    assert!(plain.body == script && plain.field("last-modified").is_none());
    let coded = get("/app.js", &[("Accept-Encoding", "gzip")]);
    assert_eq!((coded.text(), coded.field("content-encoding")), ("coded", Some("gzip")));
    let tag = plain.field("etag").unwrap();
    assert_eq!(get("/app.js", &[("If-None-Match", tag)]).status, 304);
    let part = get("/app.js", &[("If-Range", tag), ("Range", "bytes=100-40000")]);
    assert!(part.status == 206 && part.body == script[100..=40_000]);
    let two = get("/app.js", &[("Range", "bytes=0-1,40000-49999")]);
    assert!(parts(&two)[1].1 == script[40_000..]);
}

#[test]
fn a_router_without_a_socket_answers_as_a_server_does() {
    let dir = tree();
    let router = Router::new()
        .folder("/", Files::dir(dir.path().join("root")).handler())
        .get("/state", |request: &mut Request| Response::text("state").with_etag(request));
    let call = |target: &str, fields: &[(&str, &str)]| {
        let request = fields
            .iter()
            .fold(Request::get(target), |request, (name, value)| request.with_header(name, value));
        let mut request = request;
        let response = router.call(&mut request);
        (response.status().as_u16(), response.into_bytes().unwrap())
    };
    assert_eq!(call("/ten.txt", &[]), (200, b"0123456789".to_vec()));
    assert_eq!(call("/docs/", &[]), (200, b"<h1>Docs</h1>".to_vec()));
    assert_eq!(call("/docs", &[]).0, 307);
    assert_eq!(call("/ten.txt", &[("range", "bytes=-3")]), (206, b"789".to_vec()));
    assert_eq!(call("/large.bin", &[("if-match", "\"x\"")]).0, 412);
    assert_eq!(call("/out.txt", &[]).0, 404);
    assert_eq!(call("/state", &[("if-none-match", "*")]), (304, Vec::new()));
}

#[test]
fn a_pipe_that_nobody_writes_to_holds_no_worker() {
    let site = Site::new();
    let mut clients: Vec<Client> = (0..20).map(|_| site.serving.connect()).collect();
    for client in &mut clients {
        client.send("GET /pipe HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.reply().status, 404);
    }
    let mut text = String::new();
    File::open(site.dir.path().join("secret")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "outside");
}
