//! Receives a body into a file: streamed, hashed on its way, compared with the digests that the client has sent, and given its
//! name when it is whole. Knows requests and errors; handlers call it, and parts of forms are saved through it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use super::digest::{self, encode, hex, Digester, Mismatch};
use super::temporary::{Folder, Placed, Temporary};
use super::upload_fault::UploadFault;
use crate::error::{BodyFault, Error};
use crate::http::request::Request;

/// How much is collected before it is written, in bytes. An upload takes this much memory.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// The longest name of a file, in bytes: what file systems take.
const MOST_NAME_BYTES: usize = 255;

/// Saves bodies of requests as files of a folder.
///
/// The body is written to a temporary file in the same folder as it comes, which takes 64 KiB of memory whatever its size. When
/// it is whole, and its digest is what the client has said, the file is written to the disk (fsync) and renamed. So the file is
/// there whole or not at all, and replaces a file of its name in one step. When the client leaves, the body is too large or too
/// slow, or the disk is full, nothing is left. What a crash leaves is removed the next time that a program uses the folder.
/// Several uploads of one name may run at the same time; the last that ends stays.
///
/// ```
/// use lockgate::web::Upload;
/// use lockgate::{Error, Request, Router};
///
/// fn put(request: &mut Request) -> Result<String, Error> {
///     let name = request.param_as::<String>("name")?;
///     let upload = Upload::to("/data/images").mode(0o644).max_bytes(64 << 20).on_progress(|progress| {
///         log::debug!("{} of {:?} bytes", progress.received, progress.total);
///     });
///     Ok(upload.save(request, &name)?.sha256_hex())
/// }
/// # Router::new().put("/images/{name}", put).check().unwrap();
/// ```
///
/// A request with `Content-Digest` or `Repr-Digest` (RFC 9530, `sha-256` or `sha-512`) is saved only if the digests are right:
///
/// ```text
/// Content-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:
/// ```
///
/// Other algorithms are ignored, and so are digests in trailers.
#[must_use = "nothing is saved before `save` or `receive` is called"]
pub struct Upload<'p> {
    dir: PathBuf,
    mode: u32,
    most: Option<u64>,
    progress: Option<Box<dyn FnMut(Progress) + 'p>>,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that have been written.
    pub received: u64,
    /// Bytes that the client will send, if it has said so (`Content-Length`).
    pub total: Option<u64>,
}

/// A body that has come whole, with the right digest, in a file that has no name yet. The file is removed when this is dropped
/// before [`save_as`](Received::save_as).
#[derive(Debug)]
pub struct Received {
    temporary: Temporary,
    mode: u32,
    bytes: u64,
    sha256: [u8; 32],
}

/// A file that has been saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    path: PathBuf,
    bytes: u64,
    sha256: [u8; 32],
    is_new: bool,
}

impl<'p> Upload<'p> {
    /// Saves into this folder, which must exist.
    pub fn to(dir: impl AsRef<Path>) -> Upload<'p> {
        Upload { dir: dir.as_ref().to_path_buf(), mode: 0o600, most: None, progress: None }
    }

    /// The permissions of the file, once it has its name. Defaults to `0o600`: only the user that the program runs as may read
    /// it.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// The largest body, in bytes: 413. It lowers [`Limits::body_bytes`](crate::Limits::body_bytes), which holds in any case,
    /// and cannot raise it.
    pub fn max_bytes(mut self, most: u64) -> Self {
        self.most = Some(most);
        self
    }

    /// Calls this each time that a piece of up to 64 KiB was written. It runs on the handler's thread, and the upload waits for
    /// it.
    pub fn on_progress(mut self, progress: impl FnMut(Progress) + 'p) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Saves the body as the file `name`.
    ///
    /// A name from a client is safe to be given here: it is refused before anything is received when it is empty or longer than
    /// 255 bytes, begins with a dot, or holds a slash, a backslash or a control character.
    ///
    /// # Errors
    /// [`Error::Answer`] with an [`UploadFault`]: 400 for a name or a digest that is wrong, and for a request with
    /// `Content-Range`; 409 when a folder has the name; 507 when the disk is full; 500 for all other errors of the file system,
    /// with a line in the log. [`Error::Body`]: as [`Request::bytes`], 413 also over [`max_bytes`](Upload::max_bytes).
    pub fn save(self, request: &mut Request<'_>, name: &str) -> Result<Saved, Error> {
        check_name(name)?;
        self.receive(request)?.save_as(name)
    }

    /// Receives the body without giving it a name, so that the program can look at it first.
    ///
    /// # Errors
    /// As [`save`](Upload::save), those about the name excepted.
    pub fn receive(self, request: &mut Request<'_>) -> Result<Received, Error> {
        request.check_content_coding()?;
        if request.header("content-range").is_some() {
            return Err(UploadFault::Part.into());
        }
        let digester = Digester::new(expected(request)?);
        let total = request.header("content-length").and_then(|length| length.parse().ok());
        if let (Some(total), Some(most)) = (total, self.most) {
            within(total, most)?;
        }
        self.receive_from(request.body(), total, digester)
    }

    /// Receives all that a reader gives.
    pub(super) fn receive_from(
        mut self,
        source: &mut dyn Read,
        total: Option<u64>,
        mut digester: Digester,
    ) -> Result<Received, Error> {
        let mut temporary = Temporary::create(Folder::open(&self.dir)?)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut received = 0;
        loop {
            let (read, end) = fill(source, &mut buffer);
            let is_end = end?;
            if read == 0 {
                break;
            }
            received += read as u64;
            if let Some(most) = self.most {
                within(received, most)?;
            }
            let piece = &buffer[..read];
            temporary.write(piece)?;
            digester.update(piece);
            if let Some(progress) = &mut self.progress {
                progress(Progress { received, total });
            }
            if is_end {
                break;
            }
        }
        let sha256 = digester.finish().map_err(|Mismatch(field)| UploadFault::Digest(field))?;
        Ok(Received { temporary, mode: self.mode, bytes: received, sha256 })
    }
}

/// Hashes a file that has come in several requests, and compares it with the digests of its client.
pub(super) fn received(
    mut temporary: Temporary,
    mode: u32,
    expected: Vec<digest::Expected>,
) -> Result<Received, Error> {
    let path = temporary.path_of("");
    let failed = |error| UploadFault::io("an upload cannot be read", &path, error);
    let mut digester = Digester::new(expected);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    temporary.file.rewind().map_err(failed)?;
    loop {
        let read = temporary.file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        digester.update(&buffer[..read]);
    }
    let sha256 = digester.finish().map_err(|Mismatch(field)| UploadFault::Digest(field))?;
    Ok(Received { temporary, mode, bytes, sha256 })
}

/// The digests that the client has sent. A body without `Content-Range` and without a content coding is the whole
/// representation, so both fields are about the same bytes (RFC 9530 §2 and §3).
fn expected(request: &Request<'_>) -> Result<Vec<digest::Expected>, Error> {
    let mut all = content_digests(request)?;
    if let Some(value) = repr_digest(request) {
        all.extend(read_repr_digest(&value)?);
    }
    Ok(all)
}

pub(super) fn content_digests(request: &Request<'_>) -> Result<Vec<digest::Expected>, Error> {
    const FIELD: &str = "Content-Digest";
    match lines(request, FIELD) {
        None => Ok(Vec::new()),
        Some(value) => digest::read(FIELD, &value).ok_or(UploadFault::DigestSyntax(FIELD).into()),
    }
}

pub(super) fn repr_digest(request: &Request<'_>) -> Option<String> {
    lines(request, "Repr-Digest")
}

pub(super) fn read_repr_digest(value: &str) -> Result<Vec<digest::Expected>, Error> {
    const FIELD: &str = "Repr-Digest";
    digest::read(FIELD, value).ok_or(UploadFault::DigestSyntax(FIELD).into())
}

/// All lines of a field as one value.
fn lines(request: &Request<'_>, field: &str) -> Option<String> {
    request.header(field)?;
    let lines = request.headers().get_all(field).iter().map(|line| line.to_str().unwrap_or("?"));
    digest::joined(lines).map(std::borrow::Cow::into_owned)
}

fn within(bytes: u64, most: u64) -> Result<(), Error> {
    if bytes > most {
        return Err(Error::Body(BodyFault::TooLarge { limit: most }));
    }
    Ok(())
}

/// Reads until the buffer is full. Returns how much was read, and whether the end was reached, or the error that came after it.
pub(super) fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> (usize, Result<bool, Error>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => return (filled, Ok(true)),
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error.into())),
        }
    }
    (filled, Ok(false))
}

/// Refuses what cannot be the name of a file that a client chooses.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let fault = match name {
        "" => "it is empty",
        _ if name.starts_with('.') => "it begins with a dot",
        _ if name.len() > MOST_NAME_BYTES => "it is longer than 255 bytes",
        _ if name.contains(['/', '\\']) => "it holds a slash or a backslash",
        _ if name.contains(char::is_control) => "it holds a control character",
        _ => return Ok(()),
    };
    Err(UploadFault::Name(fault).into())
}

impl Received {
    /// How many bytes have come.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Their SHA-256 as 64 hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// The file, to be read.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(&mut self) -> io::Result<&mut (dyn Read + Send)> {
        self.temporary.file.rewind()?;
        Ok(&mut self.temporary.file)
    }

    /// Gives the file its name, and replaces a file of this name. When this returns, the file is on the disk.
    ///
    /// # Errors
    /// As [`Upload::save`]: 400 for the name, 409, 507 and 500.
    pub fn save_as(self, name: &str) -> Result<Saved, Error> {
        check_name(name)?;
        self.put_as(name)
    }

    /// As [`save_as`](Received::save_as), with a name of this program.
    pub(super) fn put_as(self, name: &str) -> Result<Saved, Error> {
        let Received { temporary, mode, bytes, sha256 } = self;
        let path = temporary.path_of(name);
        let is_new = temporary.put_as(name, mode)? == Placed::New;
        Ok(Saved { path, bytes, sha256, is_new })
    }
}

impl Saved {
    /// Where the file stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its SHA-256.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Its SHA-256 as 64 hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// Its SHA-256 as the value of the field `Repr-Digest` (RFC 9530 §3): `sha-256=:…:`.
    pub fn repr_digest(&self) -> String {
        format!("sha-256=:{}:", encode(&self.sha256))
    }

    /// Whether no file had the name before: 201 is then the answer to a PUT, else 200 or 204 (RFC 9110 §9.3.4).
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_client_may_not_choose_is_refused() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", ".profile", "a/b", "/a", "a/", "a\\b", "a\0b", "a\nb", "a\u{9b}b", &long]
        {
            let Err(Error::Answer { status, source }) = check_name(name) else { panic!("{name:?}") };
            assert!(status == 400 && source.is::<UploadFault>(), "{name:?}");
        }
        for name in ["a", "a.bin", "a..b", "a b", "~", "-rf", "ä", "CON", &long[1..]] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
