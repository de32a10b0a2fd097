//! What the `lockgate` command does, one file per matter. Knows the library as any program does, and is known by nobody.

// The command, which calls this, is not written yet. To be removed with its first call.
#![allow(dead_code)]

pub(crate) mod demo_certs;
