//! A listening socket for this machine alone: on a loopback address, or a Unix socket. Knows sockets and files, and nothing of
//! what is served there. The server opens it for `admin`.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;
use rustix::net::{
    bind, connect, listen, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::accept;
use crate::error::Error;
use crate::escape;
use crate::listen::first_of;

/// Who may connect to the socket's file: its user and its group.
const MODE: u32 = 0o660;
const BACKLOG: i32 = 64;
/// Others have a folder for a moment only.
const LOCK_TRIES: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(20);
const LISTENER: &str = "the admin";

/// Whether an address that others can reach is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    ThisMachine,
    Anywhere,
}

#[derive(Debug)]
pub(crate) enum LocalListener {
    Tcp(TcpListener),
    Unix {
        /// Is removed first: while the socket is open, no other file can be taken for this one.
        _file: SocketFile,
        listener: UnixListener,
    },
}

/// A connection to it.
#[derive(Debug)]
pub(crate) enum LocalStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket's file. Dropping it removes the file, unless another program has put its own there.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Where it is to listen.
enum Place<'a> {
    Tcp(Vec<SocketAddr>),
    Unix(&'a Path),
}

impl Place<'_> {
    fn of<'a>(address: &'a str, setting: &'static str, reach: Reach) -> Result<Place<'a>, Error> {
        let wrong = |fault: String| Error::Setting { setting, fault };
        if let Some(path) = address.strip_prefix("unix:") {
            if path.is_empty() {
                let fault =
                    "unix: is followed by the path of a socket, such as unix:/run/lockgate/admin.sock";
                return Err(wrong(fault.into()));
            }
            return Ok(Place::Unix(Path::new(path)));
        }
        let candidates: Vec<SocketAddr> = address
            .to_socket_addrs()
            .map_err(|source| {
                wrong(format!(
                    "{address} is neither an address with a port, such as 127.0.0.1:9090, nor unix:PATH ({source})"
                ))
            })?
            .collect();
        let outside = candidates.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Some(outside), Reach::ThisMachine) = (outside, reach) {
            return Err(wrong(format!(
                "{outside} can be reached from other machines, and there is neither TLS nor a login here; take 127.0.0.1, [::1] or unix:PATH, or \
                 allow it (admin_anywhere, --admin-anywhere) where only those reach it who may read it"
            )));
        }
        Ok(Place::Tcp(candidates))
    }
}

/// Checks the address of an admin listener without opening it.
#[cfg(feature = "serve")]
pub fn check_admin(address: &str, is_anywhere: bool) -> Result<(), Error> {
    let reach = if is_anywhere { Reach::Anywhere } else { Reach::ThisMachine };
    Place::of(address, "admin", reach).map(|_| ())
}

impl LocalListener {
    /// Opens it: `unix:PATH`, or an address with a port.
    ///
    /// # Errors
    /// [`Error::Setting`] for an address that others can reach, and for one that cannot be read; [`Error::Listen`] for one that is
    /// not available.
    pub(crate) fn open(address: &str, setting: &'static str, reach: Reach) -> Result<LocalListener, Error> {
        let unavailable = |source| Error::Listen { listener: LISTENER, address: address.to_string(), source };
        match Place::of(address, setting, reach)? {
            Place::Unix(path) => open_unix(path).map_err(unavailable),
            Place::Tcp(candidates) => {
                let (listener, _) = first_of(candidates).map_err(unavailable)?;
                listener.set_nonblocking(true).map_err(unavailable)?;
                Ok(LocalListener::Tcp(listener))
            }
        }
    }

    /// Its address, with the port that the system has chosen; `None` for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            LocalListener::Tcp(listener) => listener.local_addr().ok(),
            LocalListener::Unix { .. } => None,
        }
    }

    /// The next connection that waits. Neither this nor the connection blocks.
    pub(crate) fn next(&self) -> io::Result<LocalStream> {
        match self {
            LocalListener::Tcp(listener) => Ok(LocalStream::Tcp(accept::next(listener)?.0)),
            LocalListener::Unix { listener, .. } => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(LocalStream::Unix(stream))
            }
        }
    }
}

impl LocalStream {
    /// Tells the client that nothing more will come.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            LocalStream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            LocalStream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl AsRawFd for LocalListener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            LocalListener::Tcp(listener) => listener.as_raw_fd(),
            LocalListener::Unix { listener, .. } => listener.as_raw_fd(),
        }
    }
}

impl AsRawFd for LocalStream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            LocalStream::Tcp(stream) => stream.as_raw_fd(),
            LocalStream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl Read for LocalStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            LocalStream::Tcp(stream) => stream.read(out),
            LocalStream::Unix(stream) => stream.read(out),
        }
    }
}

impl Write for LocalStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            LocalStream::Tcp(stream) => stream.write(bytes),
            LocalStream::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open_unix(path: &Path) -> io::Result<LocalListener> {
    let address = SocketAddrUnix::new(path).map_err(|_| {
        io::Error::new(
            ErrorKind::InvalidInput,
            "the path of a socket has at most 107 bytes, and no zero byte",
        )
    })?;
    // A socket that is bound and does not listen yet looks as if its program had ended.
    let _alone = lock_folder_of(path)?;
    remove_stale(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    bind(&socket, &address).map_err(|errno| not_bound(path, errno))?;
    // Until it listens, nobody connects to it, whatever mode the umask has left it with. The umask itself belongs to all threads
    // of the program, so it is not changed.
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    listen(&socket, BACKLOG)?;
    Ok(LocalListener::Unix { _file: file, listener: UnixListener::from(socket) })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Names the folder, where it is the reason.
fn not_bound(path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    let what = match errno {
        Errno::NOENT => "is not there; make it",
        Errno::ACCESS => "may not be written to by this user; take one that is this user's",
        _ => return error,
    };
    let folder = escape::path(folder_of(path));
    io::Error::new(
        error.kind(),
        format!("the folder {folder} {what} (systemd: RuntimeDirectory= for one below /run)"),
    )
}

/// Keeps other servers that start from opening a socket in the same folder, until it is dropped: for a moment, and where the folder
/// can be opened and its file system has locks.
fn lock_folder_of(path: &Path) -> io::Result<Option<File>> {
    let Ok(folder) = File::open(folder_of(path)) else { return Ok(None) };
    for _ in 0..LOCK_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_WAIT),
            _ => return Ok(Some(folder)),
        }
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "another program has locked the folder"))
}

/// Removes the socket's file of a program that has ended without doing so. Nothing else is ever removed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        let text = "there is a file of another kind; give the path of a socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    match try_connect(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Err(Errno::NOENT) => Ok(()),
        // Its queue is full.
        Ok(_) | Err(Errno::AGAIN) => {
            Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Does not wait for room in the queue of who listens there.
fn try_connect(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        let there = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_path_buf(), device: there.dev(), inode: there.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (self.device, self.inode));
        if is_ours {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!("{} could not be removed: {error}", crate::escape::path(&self.path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, reach: Reach) -> String {
        LocalListener::open(address, "admin", reach).unwrap_err().to_string()
    }

    fn open(path: &Path) -> Result<LocalListener, Error> {
        LocalListener::open(&format!("unix:{}", path.display()), "admin", Reach::ThisMachine)
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused_unless_it_is_meant() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9090", "[::ffff:192.0.2.1]:9090"] {
            let said = refused(address, Reach::ThisMachine);
            assert!(
                said.contains("admin") && said.contains("admin_anywhere") && said.contains("no"),
                "{said}"
            );
        }
        for address in ["127.0.0.1:0", "127.9.9.9:0", "localhost:0"] {
            let opened = LocalListener::open(address, "admin", Reach::ThisMachine).unwrap();
            assert_ne!(opened.address().unwrap().port(), 0);
        }
        assert!(LocalListener::open("0.0.0.0:0", "admin", Reach::Anywhere).is_ok());
        for address in ["", "9090", "127.0.0.1", "unix:", "/run/admin.sock"] {
            let said = refused(address, Reach::Anywhere);
            assert!(said.contains("unix:"), "{address}: {said}");
        }
    }

    #[test]
    fn a_sockets_file_is_for_its_user_and_group_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let listener = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(listener.next().unwrap().read(&mut byte).unwrap(), 1);
        assert_eq!(listener.next().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(listener.address(), None);
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "as after a crash");
        let listener = open(&path).unwrap();
        let said = open(&path).unwrap_err().to_string();
        assert!(said.contains("another program listens there"), "{said}");
        UnixStream::connect(&path).unwrap();
        // Another program has replaced it, so it is not this listener's to remove.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(other);
    }

    #[test]
    fn a_start_does_not_wait_for_a_program_that_takes_no_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let frozen = UnixListener::bind(&path).unwrap();
        listen(&frozen, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(socket) = try_connect(&path) {
            waiting.push(socket);
        }
        let said = open(&path).unwrap_err().to_string();
        assert!(said.contains("another program listens there"), "{said}");
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "kept").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("another kind"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link).is_err() && link.exists());
        let nowhere = dir.path().join("missing/admin.sock");
        let said = open(&nowhere).unwrap_err().to_string();
        let folder = dir.path().join("missing");
        assert!(said.contains(&format!("the folder {} is not there; make it", folder.display())), "{said}");
        let long = dir.path().join("x".repeat(200));
        assert!(open(&long).unwrap_err().to_string().contains("107"));
    }
}
