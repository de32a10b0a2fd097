//! The language of a file, by its name, or by its first line when the name does not say.
//!
//! Knows names and bytes, not files. Called by `scan`; every rule names its languages.

use super::syntax::{self, Syntax};

/// A language, or a family of languages with the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Language {
    /// JavaScript and TypeScript, and the components that embed them (Vue, Svelte).
    JavaScript,
    Python,
    Go,
    Rust,
    /// Java, Kotlin, Groovy, Scala.
    Java,
    CSharp,
    Php,
    Ruby,
    Swift,
    /// C, C++, Objective-C, Arduino sketches.
    C,
    Shell,
    Dockerfile,
    Makefile,
    /// Also OpenAPI documents and the files of most CI systems.
    Yaml,
    Json,
    Toml,
    /// `name = value`: ini, .env, .properties, .npmrc, pip.conf, .gitconfig.
    Ini,
    Xml,
}

use Language::*;

/// A set of languages.
#[derive(Clone, Copy)]
pub(super) struct Languages(u32);

impl Languages {
    pub(super) const ALL: Languages = Languages(u32::MAX);
    /// The languages whose files hold settings, not code.
    pub(super) const CONFIGURATION: Languages = Languages::of(&[Yaml, Json, Toml, Ini, Xml]);
    /// The languages that contain command lines outside strings.
    pub(super) const SHELLS: Languages = Languages::of(&[Shell, Dockerfile, Makefile, Yaml]);

    pub(super) const fn of(languages: &[Language]) -> Languages {
        let mut set = 0;
        let mut at = 0;
        while at < languages.len() {
            set |= 1 << languages[at] as u32;
            at += 1;
        }
        Languages(set)
    }

    pub(super) const fn has(self, language: Language) -> bool {
        self.0 & (1 << language as u32) != 0
    }
}

const EXTENSIONS: &[(Language, &[&str])] = &[
    (JavaScript, &["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"]),
    (Python, &["py", "pyw", "pyi"]),
    (Go, &["go"]),
    (Rust, &["rs"]),
    (Java, &["java", "kt", "kts", "groovy", "gradle", "scala"]),
    (CSharp, &["cs", "csx"]),
    (Php, &["php", "phtml", "inc"]),
    (Ruby, &["rb", "rake", "ru"]),
    (Swift, &["swift"]),
    (C, &["c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "ino", "m", "mm"]),
    (Shell, &["sh", "bash", "zsh", "ksh", "ash"]),
    (Dockerfile, &["dockerfile"]),
    (Makefile, &["mk", "mak"]),
    (Yaml, &["yaml", "yml"]),
    (Json, &["json", "jsonc", "json5"]),
    (Toml, &["toml"]),
    (Ini, &["ini", "cfg", "conf", "properties", "env", "repo", "service", "container"]),
    (Xml, &["xml", "plist", "config"]),
];

const NAMES: &[(Language, &[&str])] = &[
    (Dockerfile, &["dockerfile", "containerfile"]),
    (Makefile, &["makefile", "gnumakefile"]),
    (Java, &["jenkinsfile"]),
    (Ruby, &["gemfile", "rakefile", "vagrantfile", "podfile", "fastfile"]),
    (Shell, &[".bashrc", ".bash_profile", ".profile", ".zshrc", ".envrc"]),
    (Ini, &[".env", ".npmrc", ".yarnrc", ".wgetrc", ".gitconfig", ".condarc", ".pypirc", ".ldaprc"]),
    (Ini, &[".curlrc", "_curlrc", "curlrc", "sdkconfig"]),
];

/// The language of a file with this name; `None` when the name does not say, or when the language has no rules.
pub(super) fn of_name(name: &str) -> Option<Language> {
    let name = name.to_ascii_lowercase();
    if let Some(language) = lookup(NAMES, &name) {
        return Some(language);
    }
    if name.starts_with("dockerfile.") || name.starts_with("containerfile.") {
        return Some(Dockerfile);
    }
    if name.starts_with(".env.") {
        return Some(Ini);
    }
    if name.starts_with("sdkconfig.") || name.starts_with("requirements") && name.ends_with(".txt") {
        return Some(Ini);
    }
    // `config.js.example` will be copied to `config.js`.
    let name = [".example", ".sample", ".dist", ".template", ".in", ".j2"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    lookup(EXTENSIONS, name.rsplit_once('.')?.1)
}

/// The language in a script's first line: `#!/usr/bin/env python3`.
pub(super) fn of_first_line(bytes: &[u8]) -> Option<Language> {
    let line = bytes.strip_prefix(b"#!")?;
    let end = line.iter().take(128).position(|&byte| byte == b'\n').unwrap_or(line.len().min(128));
    let line = line.get(..end)?;
    let program = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty() && !word.starts_with(b"-"))
        .map(|word| word.rsplit(|&byte| byte == b'/').next().unwrap_or(word))
        .find(|word| *word != b"env")?;
    let is = |name: &[u8]| program.starts_with(name);
    match () {
        () if is(b"python") => Some(Python),
        () if is(b"node") || is(b"deno") || is(b"bun") => Some(JavaScript),
        () if is(b"ruby") => Some(Ruby),
        () if is(b"php") => Some(Php),
        () if [&b"sh"[..], b"bash", b"dash", b"ash", b"zsh", b"ksh"].contains(&program) => Some(Shell),
        () => None,
    }
}

fn lookup(table: &[(Language, &[&str])], name: &str) -> Option<Language> {
    table.iter().find(|(_, names)| names.contains(&name)).map(|(language, _)| *language)
}

impl Language {
    /// Whether OpenAPI documents use it.
    pub(super) fn is_of_documents(self) -> bool {
        matches!(self, Yaml | Json)
    }

    /// The syntax of its comments and strings.
    pub(super) fn syntax(self) -> &'static Syntax {
        match self {
            JavaScript => &syntax::JAVASCRIPT,
            Python => &syntax::PYTHON,
            Go => &syntax::GO,
            Rust => &syntax::RUST,
            Java => &syntax::JAVA,
            CSharp => &syntax::CSHARP,
            Php => &syntax::PHP,
            Ruby => &syntax::RUBY,
            Swift => &syntax::SWIFT,
            C => &syntax::C,
            Shell => &syntax::SHELL,
            Dockerfile => &syntax::DOCKERFILE,
            Makefile => &syntax::MAKEFILE,
            Yaml => &syntax::YAML,
            Json => &syntax::JSON,
            Toml => &syntax::TOML,
            Ini => &syntax::INI,
            Xml => &syntax::XML,
        }
    }
}

/// Whether a path, from the tree's root, is test code. Test code talks to its own servers, and contains addresses that
/// nobody requests.
pub(super) fn is_of_tests(path: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "test",
        "tests",
        "testing",
        "testdata",
        "test-data",
        "test_data",
        "spec",
        "specs",
        "__tests__",
        "__mocks__",
        "mocks",
        "fixture",
        "fixtures",
        "e2e",
        "androidtest",
        "testfixtures",
        "testsuite",
        "testcase",
        "testcases",
        "testutil",
        "testutils",
        "testenv",
        "testbed",
        "testlib",
        "unittest",
        "unittests",
        "step_definitions",
    ];
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let of_folder = folders.split('/').any(|folder| {
        let folder_in_lower_case = folder.to_ascii_lowercase();
        FOLDERS.contains(&folder_in_lower_case.as_str())
            || [".tests", "-tests", "_tests", "-test", "_test"]
                .iter()
                .any(|end| folder_in_lower_case.ends_with(end))
            || ["test_", "test-", "tests_", "tests-"]
                .iter()
                .any(|start| folder_in_lower_case.starts_with(start))
            || folder.ends_with("Test")
            || folder.ends_with("Tests")
    });
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let whole_stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    of_folder
        || ["test_", "tests_"].iter().any(|start| stem.starts_with(start))
        || ["_test", "_spec", "-test", "_tests", "Test", "Tests", "TestCase"]
            .iter()
            .any(|end| stem.ends_with(end))
        || [".test", ".spec", ".tests"].iter().any(|end| whole_stem.ends_with(end))
        || ["conftest", "test", "tests"].contains(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_lines_tell_the_language() {
        let names = [
            ("app.tsx", Some(JavaScript)),
            ("sync.service", Some(Ini)),
            ("sdkconfig.defaults.esp32", Some(Ini)),
            (".curlrc", Some(Ini)),
            ("Dockerfile.arm", Some(Dockerfile)),
            ("web.dockerfile", Some(Dockerfile)),
            (".env.production", Some(Ini)),
            (".gitlab-ci.yml", Some(Yaml)),
            ("GNUmakefile", Some(Makefile)),
            ("requirements-dev.txt", Some(Ini)),
            ("settings.py.example", Some(Python)),
            ("config.h.in", Some(C)),
            ("Main.KT", Some(Java)),
            ("README.md", None),
            ("LICENSE", None),
            ("notes.txt", None),
        ];
        for (name, language) in names {
            assert_eq!(of_name(name), language, "{name}");
        }
        let lines: [(&[u8], _); 5] = [
            (b"#!/usr/bin/env -S python3 -u\n", Some(Python)),
            (b"#!/bin/sh -e\ncurl", Some(Shell)),
            (b"#! /usr/local/bin/node", Some(JavaScript)),
            (b"#!/usr/bin/perl\n", None),
            (b"sh", None),
        ];
        for (line, language) in lines {
            assert_eq!(of_first_line(line), language, "{line:?}");
        }
    }

    #[test]
    fn test_code_is_known_by_its_path() {
        for path in [
            "tests/api.py",
            "src/test/java/A.java",
            "pkg/net_test.go",
            "src/a.spec.ts",
            "Api.Tests/Client.cs",
            "app/__tests__/x.js",
            "lib/ClientTest.kt",
            "test_client.py",
            "conftest.py",
            "testcases/a.py",
            "test_environment/a/b.py",
        ] {
            assert!(is_of_tests(path), "{path}");
        }
        for path in [
            "src/client.py",
            "latest/a.js",
            "contest/a.py",
            "src/attestation.rs",
            "src/testimony.go",
            "A.java",
        ] {
            assert!(!is_of_tests(path), "{path}");
        }
    }
}
