//! What a device's program does around requests and responses: uploads, forms and cookies. Knows `http` and `error`, and neither
//! sockets nor routes nor TLS; handlers call it, and a program that does not use it links nothing of it.

mod cookie;
mod digest;
mod form;
mod form_fault;
pub(crate) mod multipart;
mod parameters;
mod request;
mod resumable;
mod temporary;
mod update;
mod upload;
mod upload_fault;

pub use cookie::{Cookie, SameSite};
pub use form_fault::FormFault;
pub use multipart::{Multipart, Part};
pub use resumable::Resumable;
pub use update::{Boot, Installed, Slot, SlotStatus, Update, UpdateFault};
pub use upload::{Progress, Received, Saved, Upload};
pub use upload_fault::UploadFault;
