//! Is the connection really secure: checks for those who build, operate and use a device.
//!
//! [`source`] reads the code of clients. What it finds are [`Finding`](crate::Finding)s, as everywhere in lockgate.

pub mod source;
