//! The files, tests and make targets that the documents name exist.

use std::collections::{BTreeMap, BTreeSet};
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

/// The files of each folder below `src`, without their extension and without those that have tests alone.
fn rooms(folder: &Path, name: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_str().expect("a name").to_string();
        if path.is_dir() {
            rooms(&path, &format!("{name}{stem}/"), found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let is_of_tests = stem == "tests" || stem.ends_with("_tests") || stem == "properties";
            if !name.is_empty() && stem != "mod" && !is_of_tests {
                found.entry(name.to_string()).or_default().insert(stem);
            }
        }
    }
    found.retain(|room, _| !room.contains("/tests/") && !room.contains("properties/"));
}

#[test]
fn the_page_about_the_architecture_names_the_files_of_each_room() {
    let mut there = BTreeMap::new();
    rooms(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut there);
    let text = read("src/architecture.md");
    let (_, index) = text.split_once("# The files, room by room").expect("the index");
    let (index, _) = index.split_once("\n# ").expect("its end");
    let mut told = BTreeMap::new();
    for bullet in index.split("\n- ").skip(1) {
        let mut names = bullet.split('`').skip(1).step_by(2).map(String::from);
        let room = names.next().expect("a room");
        told.insert(room, names.collect::<BTreeSet<String>>());
    }
    assert!(there.len() > 30 && there["server/"].len() > 40, "{there:?}");
    let mut wrong = Vec::new();
    let none = BTreeSet::new();
    for room in there.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
        let (there, told) = (there.get(room).unwrap_or(&none), told.get(room).unwrap_or(&none));
        wrong.extend(there.difference(told).map(|file| format!("{room}{file} is not named")));
        wrong.extend(told.difference(there).map(|file| format!("{room}{file} is not there")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
