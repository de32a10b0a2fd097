//! The house's rules, as the design states them: how many crates there are and of which kind, who may know whom, and what
//! no source file holds. The sources are read as tokens, so comments, strings and the code of tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// Crates that bring an executor, a reactor of their own or the async world with them. mio is none: it is a thin face of
/// epoll and kqueue.
const ASYNC: [&str; 20] = [
    "actix-rt",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "embassy-executor",
    "futures",
    "futures-core",
    "futures-executor",
    "futures-util",
    "glommio",
    "h2",
    "hyper",
    "hyper-util",
    "may",
    "monoio",
    "pollster",
    "smol",
    "tokio",
    "tokio-rustls",
];
const MOST_CRATES: usize = 30;
/// What the feature `acme` may add to that.
const MOST_FOR_ACME: usize = 15;

/// The rooms that do something of their own, and what they do it with.
const EVERYBODY: [&str; 18] = [
    "std::net",
    "mio",
    "rustls",
    "webpki",
    "threadpool",
    "crate::error",
    "crate::http",
    "crate::router",
    "crate::server",
    "crate::tls",
    "crate::acme",
    "crate::device",
    "crate::limits",
    "crate::log_limiter",
    "crate::redirect",
    "crate::check",
    "crate::scan",
    "crate::command",
];

#[test]
fn the_library_stays_within_its_crates() {
    let crates = crates(&[]);
    assert!(crates.contains("rustls"), "{crates:?}");
    assert!(crates.len() <= MOST_CRATES, "{}: {crates:?}", crates.len());
    let asked_for = ["rustls", "rustls-pemfile", "httparse", "serde_json", "log", "threadpool"];
    for name in asked_for {
        assert!(crates.contains(name), "{name} was asked for and is not used");
    }
    for name in ["openssl-sys", "aws-lc-sys", "env_logger", "rcgen"] {
        assert!(!crates.contains(name), "{name} is in the library's tree");
    }
}

#[test]
fn certificates_from_an_authority_cost_few_crates() {
    let without = crates(&[]);
    let with = crates(&["--features=acme"]);
    let added: Vec<_> = with.difference(&without).collect();
    assert!(with.contains("webpki-roots"), "{with:?}");
    assert!(added.len() <= MOST_FOR_ACME, "{}: {added:?}", added.len());
}

#[test]
fn nobody_brings_an_async_runtime() {
    for features in [&[][..], &["--features=cli"], &["--all-features"]] {
        let crates = crates(features);
        let found: Vec<_> = ASYNC.iter().filter(|name| crates.contains(**name)).collect();
        assert!(found.is_empty(), "{features:?}: {found:?}");
    }
}

#[test]
fn rooms_know_only_whom_they_may_know() {
    // A room, what it may not know, and what of that it may.
    let rules: [(&str, &[&str], &[&str]); 17] = [
        // What everybody calls knows none of its callers, and nothing of the network.
        ("escape", &EVERYBODY, &[]),
        ("regular_file", &EVERYBODY, &[]),
        ("handler_call", &EVERYBODY, &[]),
        ("calendar", &EVERYBODY, &[]),
        // Opening a port has nothing to do with what is served there.
        (
            "listen",
            &[
                "mio",
                "rustls",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::acme",
                "crate::redirect",
            ],
            &[],
        ),
        (
            "log_limiter",
            &["std::net", "mio", "rustls", "crate::server", "crate::tls", "crate::redirect"],
            &["std::net::IpAddr"],
        ),
        // What is counted and bounded, for whoever counts.
        ("limits", &["mio", "rustls", "threadpool", "crate::router", "crate::server", "crate::tls"], &[]),
        // The wire and the routes know no sockets (addresses are values), no threads, and nobody above them.
        (
            "http",
            &[
                "std::net",
                "std::thread",
                "mio",
                "rustix",
                "threadpool",
                "rustls",
                "webpki",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::command",
            ],
            // Who the client is by its certificate is a value as well.
            &[
                "std::net::SocketAddr",
                "std::net::IpAddr",
                "std::net::Ipv4Addr",
                "std::net::Ipv6Addr",
                "crate::tls::ClientIdentity",
            ],
        ),
        (
            "router",
            &[
                "std::net",
                "std::thread",
                "mio",
                "rustix",
                "threadpool",
                "rustls",
                "webpki",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::command",
            ],
            &["std::net::SocketAddr"],
        ),
        (
            "tls",
            &[
                "std::net",
                "std::thread",
                "mio",
                "threadpool",
                "http",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::redirect",
                "crate::command",
            ],
            // Addresses are values here too: certificates are for some. And a file's lock is waited for.
            &["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::thread::sleep"],
        ),
        (
            "redirect",
            &[
                "rustls",
                "webpki",
                "threadpool",
                "crate::tls",
                "crate::acme",
                "crate::router",
                "crate::server",
                "crate::command",
            ],
            &[],
        ),
        ("server", &["crate::command"], &[]),
        (
            "device",
            &[
                "mio",
                "threadpool",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::redirect",
                "crate::acme",
            ],
            &[],
        ),
        ("acme", &["mio", "threadpool", "crate::router", "crate::command"], &[]),
        (
            "scan",
            &[
                "std::net",
                "mio",
                "rustls",
                "webpki",
                "crate::http",
                "crate::router",
                "crate::server",
                "crate::tls",
                "crate::redirect",
                "crate::check",
                "crate::command",
            ],
            &["std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::net::IpAddr"],
        ),
        // Clients, and readers of files; they have nothing to do with how one serves, beside the limits that are checked before.
        (
            "check",
            &["mio", "threadpool", "crate::router", "crate::server", "crate::redirect", "crate::command"],
            &[],
        ),
        // The command is one of those that embed the library.
        ("command", &["crate::http", "crate::router", "crate::server", "crate::tls", "crate::redirect"], &[]),
    ];
    let sources = Sources::read();
    let mut found = Vec::new();
    for (room, unknown, except) in rules {
        let mut files = 0;
        for file in sources.files.iter().filter(|file| file.module.first().is_some_and(|first| first == room))
        {
            files += 1;
            for (path, line) in &file.paths {
                if unknown.iter().any(|prefix| is_under(path, prefix))
                    && !except.iter().any(|prefix| is_under(path, prefix))
                {
                    found.push(format!("{}:{line}: {room} may not know {path}", file.name));
                }
            }
        }
        assert!(files > 0, "there is no room {room}");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_may_be_replaced_is_named_in_one_place() {
    let rules: [(&str, &[&str]); 5] = [
        (
            "rustls",
            &[
                "src/tls/",
                "src/acme/",
                "src/device/",
                "src/server/connection/transport.rs",
                "src/check/client.rs",
                "src/check/trust.rs",
            ],
        ),
        ("rustls_pemfile", &["src/tls/pem.rs"]),
        ("threadpool", &["src/server/workers.rs"]),
        ("httparse", &["src/http/", "src/acme/https.rs", "src/check/exchange.rs"]),
        ("crate::command", &["src/command/"]),
    ];
    let sources = Sources::read();
    let mut found = Vec::new();
    for (name, places) in rules {
        let mut uses = 0;
        for file in &sources.files {
            for (path, line) in file.paths.iter().filter(|(path, _)| is_under(path, name)) {
                uses += 1;
                let is_main = name == "crate::command" && file.name == "src/main.rs";
                if !is_main && !places.iter().any(|place| file.name.starts_with(place)) {
                    found.push(format!("{}:{line}: {path} belongs in {}", file.name, places.join(", ")));
                }
            }
        }
        assert!(uses > 0, "{name} is used nowhere");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_source_holds_what_the_style_forbids() {
    let sources = Sources::read();
    let mut found = Vec::new();
    for file in &sources.files {
        let is_of_the_command =
            file.module.first().is_some_and(|room| room == "command") || file.name == "src/main.rs";
        for (word, line) in &file.words {
            let wrong = match word.as_str() {
                "unsafe" => true,
                "todo!" | "unimplemented!" | "dbg!" => true,
                "println!" | "print!" | "eprintln!" | "eprint!" => !is_of_the_command,
                ".unwrap()" | ".expect(\"" => !file.has_a_comment_at(*line),
                _ => false,
            };
            if wrong {
                found.push(format!("{}:{line}: {word}", file.name));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for root in ["src/lib.rs", "src/main.rs"] {
        let text = fs::read_to_string(root_of_project().join(root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{root}");
    }
}

/// The names of the crates that are compiled in with these features, lockgate's own among them.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--quiet", "--offline", "--edges=normal", "--prefix=none", "--format={p}"]);
    let output = cargo.args(features).current_dir(root_of_project()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty());
    names.map(str::to_string).collect()
}

fn root_of_project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a path is this one, or leads further from it.
fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// All of src/, but for what is compiled for tests only.
struct Sources {
    files: Vec<File>,
}

struct File {
    /// From the project's root: `src/tls/pem.rs`.
    name: String,
    /// `["tls", "pem"]`.
    module: Vec<String>,
    lines: Vec<String>,
    /// Every path that is named, from its root: `crate::…` or a crate's name; and in which line.
    paths: Vec<(String, usize)>,
    /// Keywords, macros as `name!`, and the calls that panic; and in which line.
    words: Vec<(String, usize)>,
}

impl Sources {
    fn read() -> Sources {
        let mut names = Vec::new();
        collect(&root_of_project().join("src"), &mut names);
        names.sort();
        let mut files = Vec::new();
        let mut of_tests = BTreeSet::new();
        for path in &names {
            let (file, modules_of_tests) = File::read(path);
            for module in modules_of_tests {
                of_tests.insert([&file.module[..], &[module]].concat());
            }
            files.push(file);
        }
        files.retain(|file| !(0..=file.module.len()).any(|depth| of_tests.contains(&file.module[..depth])));
        assert!(files.len() > 20, "{}", files.len());

        // What is exported at the root is named there by a shorter path: crate::Identity is crate::tls::Identity.
        let root = files.iter().find(|file| file.name == "src/lib.rs").unwrap();
        let exported: BTreeMap<String, String> = root
            .paths
            .iter()
            .filter_map(|(path, _)| Some((format!("crate::{}", path.rsplit_once("::")?.1), path.clone())))
            .collect();
        for (path, _) in files.iter_mut().flat_map(|file| &mut file.paths) {
            let short = path.splitn(3, "::").take(2).collect::<Vec<_>>().join("::");
            if let Some(long) = exported.get(&short) {
                *path = path.replacen(&short, long, 1);
            }
        }
        Sources { files }
    }
}

fn collect(dir: &Path, names: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.push(path);
        }
    }
}

impl File {
    /// Also returns the names of its modules that are for tests only and stand in files of their own.
    fn read(path: &Path) -> (File, Vec<String>) {
        let name = path.strip_prefix(root_of_project()).unwrap().to_str().unwrap().to_string();
        let text = fs::read_to_string(path).unwrap();
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let module =
            name.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod").split('/');
        let module = module.filter(|part| !matches!(*part, "lib" | "main")).map(str::to_string).collect();
        let lines = text.lines().map(str::to_string).collect();
        let mut file = File { name, module, lines, paths: Vec::new(), words: Vec::new() };
        let mut modules_of_tests = Vec::new();
        file.look_at(tokens, &mut modules_of_tests);
        (file, modules_of_tests)
    }

    /// Whether a comment stands in this line or in the one above.
    fn has_a_comment_at(&self, line: usize) -> bool {
        self.lines[line.saturating_sub(2)..line].iter().any(|line| line.contains("// "))
    }

    fn look_at(&mut self, tokens: TokenStream, modules_of_tests: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_for_tests(&tokens[at..]) {
                at += 2;
                at += self.item(&tokens[at..], modules_of_tests);
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(_) => {
                    let begins_with_crate = at >= 2 && is_path_separator(&tokens[at - 2..]);
                    let before = if begins_with_crate { &[String::new()][..] } else { &[] };
                    at += self.path(before, &tokens[at..]);
                    continue;
                }
                TokenTree::Punct(dot) if dot.as_char() == '.' => self.call(&tokens[at + 1..]),
                TokenTree::Group(group) => self.look_at(group.stream(), modules_of_tests),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// The length of the item that begins here, which is for tests only.
    fn item(&mut self, tokens: &[TokenTree], modules_of_tests: &mut Vec<String>) -> usize {
        let end = tokens.iter().position(|token| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        });
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(_), ..] = tokens {
            if keyword == "mod" {
                modules_of_tests.push(name.to_string());
            }
        }
        end.map_or(tokens.len(), |end| end + 1)
    }

    /// Notes the path that begins here, or the paths when it ends in braces; `before` is what stands before the braces. The
    /// number of tokens that it has.
    fn path(&mut self, before: &[String], tokens: &[TokenTree]) -> usize {
        let mut parts = before.to_vec();
        let mut at = 0;
        let line = line_of(tokens[0].span());
        while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
            parts.push(ident.to_string());
            at += 1;
            if !is_path_separator(&tokens[at..]) {
                break;
            }
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(_)) => at += 2,
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for piece in inner
                        .split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','))
                    {
                        if !piece.is_empty() {
                            self.path(&parts, piece);
                        }
                    }
                    return at + 3;
                }
                // A glob, or type arguments.
                _ => break,
            }
        }
        let is_macro = matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
            && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
        let last = parts.last().cloned().unwrap_or_default();
        self.words.push((if is_macro { format!("{last}!") } else { last }, line));
        // One word alone is a path in a `use`, and a crate's name stands nowhere else.
        if let Some(path) = self.rooted(parts) {
            self.paths.push((path, line));
        }
        at
    }

    fn rooted(&self, mut parts: Vec<String>) -> Option<String> {
        if parts.last().is_some_and(|last| last == "self") && parts.len() > 1 {
            parts.pop();
        }
        let is_root = self.module.is_empty();
        let rest = match parts.first()?.as_str() {
            "crate" => parts.split_off(1),
            "self" if parts.len() > 1 => [self.module.clone(), parts.split_off(1)].concat(),
            "super" => {
                let ups = parts.iter().take_while(|part| *part == "super").count();
                // In a function inside an inline module one more is meant, but there are none outside tests.
                let base = self.module.get(..self.module.len().saturating_sub(ups)).unwrap_or_default();
                [base, &parts[ups..]].concat()
            }
            // At the root, rooms are named as they are.
            first if is_root && parts.len() > 1 && is_room(first) => parts,
            // `::http::Method` is the crate's, whatever room has its name.
            "" => return Some(parts.split_off(1).join("::")),
            _ => return Some(parts.join("::")),
        };
        Some(std::iter::once("crate".to_string()).chain(rest).collect::<Vec<_>>().join("::"))
    }

    /// What is called after a dot.
    fn call(&mut self, tokens: &[TokenTree]) {
        let [TokenTree::Ident(name), TokenTree::Group(arguments), ..] = tokens else { return };
        let first = arguments.stream().into_iter().next();
        let line = line_of(name.span());
        match (name.to_string().as_str(), first) {
            ("unwrap", None) => self.words.push((".unwrap()".into(), line)),
            // Other calls of this name expect something else than a reason to panic with.
            ("expect", Some(TokenTree::Literal(_))) => self.words.push((".expect(\"".into(), line)),
            _ => {}
        }
    }
}

fn is_room(name: &str) -> bool {
    let src = root_of_project().join("src");
    src.join(name).is_dir() || src.join(format!("{name}.rs")).is_file()
}

fn line_of(span: Span) -> usize {
    span.start().line
}

/// `#[cfg(test)]`
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] => {
            hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

fn is_path_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(a), TokenTree::Punct(b), ..] if a.as_char() == ':' && b.as_char() == ':')
}
