//! What is looked for: a word to find, the languages it means something in, and what has to stand around it.
//!
//! The words are found in one pass over a file by `scan`; what is written here decides whether one is a finding.

mod bodies;
pub(super) mod callbacks;
pub(super) mod candidates;
mod commands;
mod configuration;
mod context;
pub(super) mod evidence;
mod fetchers;
pub(super) mod idiom;
mod idioms;
mod keys;
mod mentions;
mod node;
pub(super) mod openapi;
pub(super) mod urls;
mod wrappers;

pub(super) use commands::insecure_lines_of_curlrc;
pub(super) use idiom::Idiom;
pub(super) use idioms::idioms;
