//! `lockgate config`: the settings that `serve` would have, and the schema of the file that they stand in.

pub(super) mod schema;
pub(super) mod show;
