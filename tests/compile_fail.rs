//! What the compiler says to somebody who is new to lockgate, for the mistakes that come first. Each file in tests/compile_fail
//! has one: it must not compile, and it must compile once its lines that end in `//-` are gone and those behind `//+` are code, so
//! what the message says is a way out. A file with the line `//# websocket` needs that feature.
//!
//! The words of a compiler change with every version. With the one that `EXACT` names, all that it says is compared with what is
//! stored beside the file (`.said`; `LOCKGATE_SAID=write` writes it again). With any other it must say what stands behind `//?`, and
//! before Rust 1.83 only refuse, because the library's own words need that (`explained!` in src/backports.rs).
//!
//! Files are given to the compiler directly, with the library that cargo has built for the tests. trybuild would build the library
//! and its dependencies again, compares whole texts with every compiler, and brings eight crates.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;
use tempfile::TempDir;

/// The compiler whose words are stored.
const EXACT: &str = "rustc 1.95.";
/// The first compiler for which the library has words of its own.
const EXPLAINED: (u32, u32) = (1, 83);

const FEATURES: [(&str, bool); 9] = [
    ("acme", cfg!(feature = "acme")),
    ("check", cfg!(feature = "check")),
    ("cli", cfg!(feature = "cli")),
    ("compression", cfg!(feature = "compression")),
    ("device", cfg!(feature = "device")),
    ("post-quantum", cfg!(feature = "post-quantum")),
    ("scan", cfg!(feature = "scan")),
    ("serve", cfg!(feature = "serve")),
    ("websocket", cfg!(feature = "websocket")),
];

#[test]
fn a_beginners_mistake_is_explained_and_its_way_out_compiles() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let compiler = Compiler::new();
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    cases.sort();
    assert!(cases.len() >= 10, "{cases:?}");
    let mut wrong = String::new();
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        if text.contains("\n//# websocket\n") && !cfg!(feature = "websocket") {
            continue;
        }
        let name = case.file_name().unwrap().to_str().unwrap();
        let said = compiler.compile(name, &text);
        if said.is_empty() {
            writeln!(wrong, "{name} compiles").unwrap();
        }
        if compiler.version.starts_with(EXACT) {
            let stored = case.with_extension("said");
            if env::var_os("LOCKGATE_SAID").is_some_and(|value| value == "write") {
                fs::write(&stored, &said).unwrap();
            }
            let expected = fs::read_to_string(&stored).unwrap_or_default();
            if said != expected {
                writeln!(wrong, "{name}: it says\n{said}and not\n{expected}").unwrap();
            }
        }
        let phrases = text.lines().filter_map(|line| line.strip_prefix("//? "));
        for phrase in phrases.filter(|_| compiler.number() >= EXPLAINED) {
            if !said.contains(phrase) {
                writeln!(wrong, "{name}: it does not say {phrase:?}:\n{said}").unwrap();
            }
        }
        let cured = compiler.compile(name, &cured(&text));
        if !cured.is_empty() {
            writeln!(wrong, "{name}: the way out does not compile:\n{cured}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "with {}\n{wrong}", compiler.version);
}

/// The program without its mistake.
fn cured(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.ends_with("//-"));
    lines.map(|line| line.replacen("//+ ", "", 1) + "\n").collect()
}

struct Compiler {
    program: String,
    version: String,
    library: PathBuf,
    /// Where the library's dependencies are.
    dependencies: PathBuf,
    scratch: TempDir,
}

impl Compiler {
    fn new() -> Compiler {
        let program = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string());
        let version = Command::new(&program).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let library = library();
        let folder = library.parent().unwrap();
        let dependencies = if folder.ends_with("deps") { folder.to_path_buf() } else { folder.join("deps") };
        Compiler { program, version, library, dependencies, scratch: TempDir::new().unwrap() }
    }

    fn number(&self) -> (u32, u32) {
        let number = self.version.split(' ').nth(1).unwrap();
        let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap(), parts.next().unwrap())
    }

    /// Compiles a program without linking it, and returns what is said about its errors: nothing when there are none.
    fn compile(&self, name: &str, text: &str) -> String {
        fs::write(self.scratch.path().join(name), text).unwrap();
        let mut command = Command::new(&self.program);
        // The compiler shows paths as they are given.
        command.current_dir(self.scratch.path()).arg(name);
        command.args(["--edition=2021", "--crate-type=bin", "--emit=metadata", "--error-format=json"]);
        command.arg("-L").arg(format!("dependency={}", self.dependencies.display()));
        command.arg("--extern").arg(format!("lockgate={}", self.library.display()));
        let out = command.output().unwrap();
        let mut said = String::new();
        for line in String::from_utf8(out.stderr).unwrap().lines() {
            let message: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            if message["level"] == "error" && !message["spans"].as_array().unwrap().is_empty() {
                tell(&message, name, &mut said);
            }
        }
        assert_eq!(said.is_empty(), out.status.success(), "{name}: {said}");
        said
    }
}

/// The library as cargo has built it for this test.
fn library() -> PathBuf {
    let features: Vec<_> = FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--locked", "--no-run", "--test=compile_fail", "--message-format=json"]);
    command.arg(format!("--features={}", features.join(",")));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells this test of its own package would look like a change to build scripts, and ring would be built again.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO")) {
        let name = name.to_str().unwrap();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            command.env_remove(name);
        }
    }
    let out = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let messages = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}{messages}", String::from_utf8_lossy(&out.stderr));
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut libraries = messages
        .filter(|message| message["target"]["name"] == "lockgate" && message["target"]["kind"][0] == "lib");
    let built = libraries.next_back().unwrap();
    let mut files =
        built["filenames"].as_array().unwrap().iter().map(|name| PathBuf::from(name.as_str().unwrap()));
    files.find(|file| file.extension().is_some_and(|extension| extension == "rlib")).unwrap()
}

/// What a message says, without the picture of the code around it, which is drawn differently by each version: what is wrong, what
/// stands at the lines of the program, then its notes.
fn tell(message: &Value, file: &str, said: &mut String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let mut what = text(&message["message"]);
    // Which of all types are listed changes with features and versions.
    if what.starts_with("the following other types implement") {
        what.truncate(what.find('\n').unwrap_or(what.len()));
    }
    let code = message["code"]["code"].as_str().map(|code| format!("[{code}]")).unwrap_or_default();
    writeln!(said, "{}{code}: {what}", text(&message["level"])).unwrap();
    for span in message["spans"].as_array().unwrap() {
        if span["file_name"] != file {
            continue;
        }
        let line = format!("    line {}", span["line_start"]);
        let shown = text(&span["text"][0]["text"]);
        let label = span["label"].as_str().map(|label| format!(": {label}")).unwrap_or_default();
        match span["suggested_replacement"].as_str() {
            Some(new) => {
                let column = |name: &str| span[name].as_u64().unwrap() as usize - 1;
                let before: String = shown.chars().take(column("column_start")).collect();
                let after: String = shown.chars().skip(column("column_end")).collect();
                writeln!(said, "{line}: {}", format!("{before}{new}{after}").trim()).unwrap();
            }
            None => writeln!(said, "{line}{label}").unwrap(),
        }
    }
    for child in message["children"].as_array().unwrap() {
        tell(child, file, said);
    }
    if message["code"].is_object() || message["level"] == "error" {
        said.push('\n');
    }
}
