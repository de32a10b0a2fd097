//! What a device's program does around requests and responses: typed input, files, conditional requests, compression, uploads,
//! forms, cookies, and the rules for pages of other origins.
//! Knows `http` and `error`, and neither sockets nor routes nor TLS; handlers call it, and a program that does not use it links
//! nothing of it.

pub(crate) mod accept_encoding;
#[cfg(feature = "compression")]
mod compression;
pub(crate) mod conditional;
mod content;
mod content_type;
mod cookie;
mod cors;
#[cfg(feature = "compression")]
mod decoding;
pub(crate) mod digest;
mod disk;
mod embed;
mod expected;
mod fetch_metadata;
mod files;
mod form;
mod form_fault;
pub(crate) mod json;
mod media_type;
pub(crate) mod multipart;
mod open_below;
pub(crate) mod origin;
mod parameters;
mod parsed;
pub(crate) mod range;
mod representation;
mod request;
mod response;
mod resumable;
mod security_fields;
mod tag;
mod tar;
mod temporary;
mod text;
mod update;
mod upload;
mod upload_fault;
mod vary;

#[cfg(feature = "compression")]
pub use compression::Compression;
pub use cookie::{Cookie, SameSite};
pub use cors::Cors;
#[cfg(feature = "compression")]
pub use decoding::DecodedBody;
pub use fetch_metadata::FetchMetadata;
pub use files::Files;
pub use form_fault::FormFault;
pub use multipart::{Multipart, Part};
pub use resumable::Resumable;
pub use security_fields::SecurityFields;
pub use update::{Boot, Installed, Slot, SlotStatus, Update, UpdateFault};
pub use upload::{Progress, Received, Saved, Upload};
pub use upload_fault::UploadFault;
