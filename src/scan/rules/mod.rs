//! The rules: a word to find, the languages in which it means something, and what must surround it.
//!
//! `search` finds the words in one pass over a file; the rules decide whether a word is a finding.

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
