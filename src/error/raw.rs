//! A message as it is put together, before it is made fit to be shown. The errors beside it call it.

/// As the message is put together, with file names and others' words as they are. What is displayed is one line of it.
pub(super) struct Raw<'a, T>(pub(super) &'a T);
