//! Which file names what other files declare, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Sources;

/// Files that name each other, directly or through others. Each such set once, its files in order.
pub fn circles(sources: &Sources) -> Vec<BTreeSet<String>> {
    let arrows = arrows(sources);
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reach(file, &arrows))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, from_here) in &reached {
        let circle: BTreeSet<String> = from_here
            .iter()
            .filter(|other| reached.get(**other).is_some_and(|from_there| from_there.contains(file)))
            .map(|other| other.to_string())
            .collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// All arrows inside of a circle, for a message.
pub fn ties(sources: &Sources, circle: &BTreeSet<String>) -> Vec<String> {
    let arrows = arrows(sources);
    let inside = arrows.iter().filter(|(from, _)| circle.contains(**from));
    let ties = inside.flat_map(|(from, to)| {
        let to = to.iter().filter(|(to, _)| circle.contains(**to));
        to.map(move |(to, names)| {
            format!("  {from} -> {to}: {}", names.iter().cloned().collect::<Vec<_>>().join(", "))
        })
    });
    ties.collect()
}

type Arrows<'s> = BTreeMap<&'s str, BTreeMap<&'s str, BTreeSet<&'s str>>>;

/// From each file to those whose declarations it names, and what it names.
fn arrows(sources: &Sources) -> Arrows<'_> {
    let files: BTreeMap<&[String], &str> =
        sources.files.iter().map(|file| (&file.module[..], file.name.as_str())).collect();
    let mut arrows = Arrows::new();
    for file in &sources.files {
        let to = arrows.entry(file.name.as_str()).or_default();
        for (path, _) in file.own_paths() {
            let Some(path) = path.strip_prefix("crate::") else { continue };
            let parts: Vec<String> = path.split("::").map(str::to_string).collect();
            // The longest path of a module that it begins with. The root declares nothing of its own.
            let declared = (1..=parts.len()).rev().find_map(|length| files.get(&parts[..length]));
            if let Some(declared) = declared.filter(|declared| **declared != file.name) {
                to.entry(declared).or_default().insert(path);
            }
        }
    }
    arrows
}

/// All files that the arrows from this one lead to, over others too.
fn reach<'s>(from: &str, arrows: &Arrows<'s>) -> BTreeSet<&'s str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in arrows.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(*to) {
                next.push(to);
            }
        }
    }
    reached
}
