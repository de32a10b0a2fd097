//! The files, tests and make targets that the documents name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "SECURITY.md",
    "benches/README.md",
    "src/architecture.md",
    "src/costs.md",
    "src/live/guide.md",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

fn is_there(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

/// The words that may be paths: letters, digits and what stands in names of files.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)))
        .map(|word| word.trim_end_matches(['.', '/']))
}

fn missing(wrong: impl Fn(&str) -> BTreeSet<String>) -> Vec<String> {
    DOCUMENTS
        .iter()
        .flat_map(|document| {
            wrong(&read(document)).into_iter().map(move |what| format!("{document}: {what}"))
        })
        .collect()
}

fn none(missing: Vec<String>) {
    assert!(missing.is_empty(), "these are named and not there:\n{}", missing.join("\n"));
}

#[test]
fn every_source_file_that_a_document_names_exists() {
    none(missing(|text| {
        words(text).filter(|word| word.starts_with("src/") && !is_there(word)).map(String::from).collect()
    }));
}

/// The page names files below `src`, without their extension.
#[test]
fn every_module_that_the_page_about_the_architecture_names_exists() {
    let text = read("src/architecture.md");
    let folders: BTreeSet<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .expect("the sources")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    let modules: Vec<&str> = words(&text)
        .filter(|word| word.split_once('/').is_some_and(|(first, _)| folders.contains(first)))
        .collect();
    assert!(modules.len() > 20, "only {} modules are recognized", modules.len());
    let is_module = |word: &&str| is_there(&format!("src/{word}.rs")) || is_there(&format!("src/{word}"));
    none(modules.iter().filter(|word| !is_module(word)).map(|word| word.to_string()).collect());
}

#[test]
fn every_test_that_a_document_names_exists() {
    none(missing(|text| {
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        joined
            .split("--test ")
            .skip(1)
            .filter_map(|rest| words(rest).next())
            .filter(|name| {
                !is_there(&format!("tests/{name}.rs")) && !is_there(&format!("tests/{name}/main.rs"))
            })
            .map(|name| format!("--test {name}"))
            .collect()
    }));
}

#[test]
fn every_target_of_make_that_a_document_names_exists() {
    let makefile = read("Makefile");
    none(missing(|text| {
        text.split(['`', '\n'])
            .filter_map(|part| part.strip_prefix("make "))
            .filter_map(|rest| words(rest).next())
            .filter(|target| {
                !makefile.lines().any(|line| line.split(':').next() == Some(target) && line.contains(':'))
            })
            .map(|target| format!("make {target}"))
            .collect()
    }));
}
