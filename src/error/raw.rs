//! An error's message before it is escaped. The errors in this folder use it.

/// Writes the message with foreign text as it is. The error's own `Display` escapes it to one line.
pub(super) struct Raw<'a, T>(pub(super) &'a T);
