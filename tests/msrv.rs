//! The oldest Rust that builds this crate: `rust-version` in Cargo.toml, and 1.85 for what a feature of its own needs. Every
//! dependency in Cargo.lock supports it, and cargo of that age reads the manifest and the lock file. `make msrv` builds and tests
//! with such compilers; here nothing is built.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// What needs more than `rust-version`, and how much. Everything else needs no more than that.
const NEWER: &[(&str, (u32, u32))] = &[("post-quantum", (1, 85))];

fn cargo(arguments: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let out = Command::new(env!("CARGO")).args(arguments).current_dir(root).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn file(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap_or(0))
}

/// What Cargo.lock has, by "name version", and the Rust that each says it needs.
fn needs() -> BTreeMap<String, (u32, u32)> {
    let metadata = cargo(&["metadata", "--format-version=1", "--locked", "--all-features"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let name =
                format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
            // Every Rust that reads edition 2024 is 1.85 or later, whatever the crate says.
            let by_edition = if package["edition"] == "2024" { (1, 85) } else { (1, 0) };
            let said = package["rust_version"].as_str().map_or((1, 0), version);
            (name, said.max(by_edition))
        })
        .collect()
}

/// The crates that are built with these arguments, as "name version".
fn built(arguments: &[&str], edges: &str) -> BTreeSet<String> {
    let fixed = ["tree", "--locked", "--prefix=none", "--format={p}", "--edges", edges];
    let lines = cargo(&[&fixed[..], arguments].concat());
    lines
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| format!("{name} {}", rest.split_whitespace().next().unwrap()))
        .collect()
}

/// The features of this crate, but `default`.
fn features() -> Vec<String> {
    let manifest = file("Cargo.toml");
    let (_, features) = manifest.split_once("\n[features]\n").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let names =
        features.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.to_string()).filter(|name| name != "default").collect()
}

fn rust_version() -> (u32, u32) {
    version(env!("CARGO_PKG_RUST_VERSION"))
}

#[test]
fn every_dependency_supports_the_oldest_rust() {
    let needs = needs();
    let mut found = Vec::new();
    let mut look = |what: &str, most: (u32, u32), crates: BTreeSet<String>| {
        for name in crates {
            let need = needs[&name];
            if need > most {
                found.push(format!(
                    "{name} needs Rust {}.{}, {what} has {}.{}: cargo update {} --precise with an older version, and let \
                     the range in Cargo.toml have one",
                    need.0,
                    need.1,
                    most.0,
                    most.1,
                    name.split(' ').next().unwrap()
                ));
            }
        }
    };
    look("the library", rust_version(), built(&[], "normal,build"));
    for feature in features() {
        let newer = NEWER.iter().find(|(name, _)| *name == feature);
        let most = newer.map_or(rust_version(), |(_, most)| *most);
        look(&feature, most, built(&["--features", &feature], "normal,build"));
    }
    look("the tests", rust_version(), built(&["--features", "cli"], "normal,build,dev"));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_old_cargo_reads_the_manifest_and_the_lock_file() {
    assert!(
        rust_version() < (1, 78),
        "now Cargo.lock may have version 4, and after 1.84 Cargo.toml resolver 3"
    );
    // Version 4 is read from 1.78 on; Yocto's and Ubuntu's 1.75 stop at it.
    assert!(file("Cargo.lock").contains("\nversion = 3\n"), "set it back to version = 3");
    let manifest = file("Cargo.toml");
    // Before 1.84 cargo does not read a manifest with resolver 3, not even that of a dependency.
    for newer in ["resolver = \"3\"", "edition = \"2024\""] {
        assert!(!manifest.contains(newer), "{newer}");
    }
    // In its place: without it, `cargo update` takes the newest versions.
    let setting = "[resolver]\nincompatible-rust-versions = \"fallback\"\n";
    assert!(file(".cargo/config.toml").contains(setting));
}

/// `#[diagnostic::…]` is an error before Rust 1.78, which is newer than `rust-version`. `explained!` leaves it out there.
#[test]
fn attributes_for_diagnostics_are_written_only_where_an_old_compiler_does_not_see_them() {
    fn look(folder: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap();
            if path.is_dir() {
                look(name, found);
            } else if name.ends_with(".rs") && !name.ends_with("src/backports.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let lines = text.lines().filter(|line| line.contains("#[diagnostic::"));
                found.extend(lines.map(|line| format!("{name}: {line}")));
            }
        }
    }
    let mut found = Vec::new();
    look(concat!(env!("CARGO_MANIFEST_DIR"), "/src"), &mut found);
    assert!(found.is_empty(), "write it with `explained!`: {}", found.join("\n"));
}
