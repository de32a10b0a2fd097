//! Takes the sockets that a service manager has opened and passes to this process (sd_listen_fds(3), "socket activation").
//!
//! Knows the environment and sockets, and no server: `builder` takes the sockets, and the command passes them on. `sd_listen_fds`
//! makes sockets of the descriptors, and all that it believes is checked here before.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{fcntl_setfd, FdFlags};

use crate::error::Error;
use crate::escape;
use crate::listen;

/// The longest name that is shown whole.
const MOST_OF_NAME: usize = 64;

/// The first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: usize = 3;
/// Only two are used, and further ones are told of by name.
const MOST: usize = 64;
/// Where the kernel shows this process's descriptors.
const OPEN: &str = "/proc/self/fd";

/// The listening sockets that a service manager such as systemd passes to this process. They stay open while the program restarts:
/// a client that connects meanwhile waits, and is refused by nobody.
///
/// ```no_run
/// # fn serve(mut server: lockgate::ServerBuilder) -> Result<(), lockgate::Error> {
/// use lockgate::PassedSockets;
///
/// if let Some(passed) = PassedSockets::take()? {
///     if let Some(https) = passed.https {
///         server = server.https_listener(https);
///     }
///     if let Some(http) = passed.http {
///         server = server.redirect_listener(http);
///     }
/// }
/// server.bind()?.run()
/// # }
/// ```
///
/// Their names say what they are for: `https` or `http` (`FileDescriptorName=` in the `.socket` unit). A socket without a name, or
/// with the name that systemd gives it by itself, is for HTTPS if it is the only one.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PassedSockets {
    /// For [`ServerBuilder::https_listener`](crate::ServerBuilder::https_listener).
    pub https: Option<TcpListener>,
    /// For [`ServerBuilder::redirect_listener`](crate::ServerBuilder::redirect_listener).
    pub http: Option<TcpListener>,
}

impl PassedSockets {
    /// Takes the sockets by the variables `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, and removes these, so that programs
    /// which this one starts do not take the sockets for theirs. `None` when there are none (`LISTEN_FDS=0` too), when they are for
    /// another process, and from the second call on. Call it before other threads start, and before anything else is opened.
    ///
    /// # Errors
    /// [`Error::Setting`] for variables that cannot be right, a name that is not known, two sockets of one name, and something
    /// that is not a listening TCP socket.
    pub fn take() -> Result<Option<PassedSockets>, Error> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let Some(count) = env::var_os("LISTEN_FDS") else { return Ok(None) };
        let owner = env::var("LISTEN_PID").ok().and_then(|owner| owner.parse::<u32>().ok());
        if owner != Some(process::id()) {
            log::warn!(
                "LISTEN_FDS is not for this process, but for LISTEN_PID; a script between the two has to replace itself (exec)"
            );
            return Ok(None);
        }
        let count = count.to_str().and_then(|count| count.parse().ok()).filter(|count| *count <= MOST);
        let Some(count) = count else {
            return Err(fault(format!("it has to be a number of sockets, at most {MOST}")));
        };
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        let passed = check_open(count).and_then(|()| {
            let sockets = sd_listen_fds::get().map_err(|error| error.to_string())?;
            let sockets: Vec<_> =
                sockets.into_iter().map(|(name, socket)| (name, TcpListener::from(socket))).collect();
            // They came without it, and a program that this one starts is not to keep the ports open.
            for (_, socket) in &sockets {
                fcntl_setfd(socket, FdFlags::CLOEXEC).map_err(|error| error.to_string())?;
            }
            sort(sockets)
        });
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            env::remove_var(name);
        }
        // None is as if nothing had been said: the addresses of the settings count.
        passed.map(|passed| Some(passed).filter(|_| count > 0)).map_err(fault)
    }
}

/// Checks that each of these descriptors is an open socket: what is closed, or is something else of this process, must not become
/// one.
fn check_open(count: usize) -> Result<(), String> {
    if fs::metadata(OPEN).is_err() {
        return Err(format!("{OPEN} cannot be read, which tells whether sockets were passed; mount /proc"));
    }
    for descriptor in FIRST..FIRST + count {
        let what = fs::read_link(format!("{OPEN}/{descriptor}"));
        if !what.is_ok_and(|what| what.to_string_lossy().starts_with("socket:")) {
            return Err(format!(
                "descriptor {descriptor} is not an open socket; sockets that were to be passed: {count}"
            ));
        }
    }
    Ok(())
}

/// Finds out what each socket is for.
fn sort(sockets: Vec<(Option<String>, TcpListener)>) -> Result<PassedSockets, String> {
    let mut passed = PassedSockets::default();
    let is_alone = sockets.len() == 1;
    for (index, (name, socket)) in sockets.into_iter().enumerate() {
        let descriptor = FIRST + index;
        // systemd gives the unit's name to a socket without one, and others give none.
        let name = name.filter(|name| !matches!(name.as_str(), "" | "unknown") && !name.ends_with(".socket"));
        let place = match name.as_deref() {
            None if is_alone => &mut passed.https,
            Some("https") => &mut passed.https,
            Some("http") => &mut passed.http,
            None => {
                return Err(format!(
                    "descriptor {descriptor} has no name, and there are several; give each its \
                     FileDescriptorName=https or http in its .socket unit"
                ))
            }
            Some(name) => {
                return Err(format!(
                    "the name {} of descriptor {descriptor} is not known; it has to be https or http \
                     (FileDescriptorName= in its .socket unit)",
                    escape::bounded(name, MOST_OF_NAME)
                ))
            }
        };
        let told = name.as_deref().unwrap_or("https");
        listen::check_passed(&socket)
            .map_err(|what| format!("the socket {told} (descriptor {descriptor}) {what}"))?;
        if place.replace(socket).is_some() {
            return Err(format!(
                "two sockets have the name {told}; one ListenStream= with a port alone takes IPv4 and IPv6"
            ));
        }
    }
    Ok(passed)
}

fn fault(fault: String) -> Error {
    Error::Setting { setting: "LISTEN_FDS", fault }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn listener() -> OwnedFd {
        TcpListener::bind("127.0.0.1:0").unwrap().into()
    }

    fn sorted(sockets: Vec<(Option<&str>, OwnedFd)>) -> Result<(bool, bool), String> {
        let sockets = sockets.into_iter().map(|(name, socket)| (name.map(String::from), socket.into()));
        sort(sockets.collect()).map(|passed| (passed.https.is_some(), passed.http.is_some()))
    }

    #[test]
    fn sockets_are_told_apart_by_their_names() {
        assert_eq!(sorted(Vec::new()), Ok((false, false)));
        assert_eq!(sorted(vec![(Some("http"), listener()), (Some("https"), listener())]), Ok((true, true)));
        assert_eq!(sorted(vec![(Some("http"), listener())]), Ok((false, true)));
        // LISTEN_FDNAMES may be missing, and systemd-socket-activate says unknown.
        for name in [None, Some(""), Some("unknown"), Some("lockgate.socket")] {
            assert_eq!(sorted(vec![(name, listener())]), Ok((true, false)), "{name:?}");
            let several = sorted(vec![(Some("https"), listener()), (name, listener())]).unwrap_err();
            assert!(several.contains("descriptor 4 has no name"), "{several}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_a_listener_is_named_with_the_way_out() {
        let connected = TcpStream::connect(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let unix = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(unix.path().join("socket")).unwrap();
        for (name, socket, what) in [
            ("dns\n", listener(), "the name dns\\n of descriptor 3 is not known; it has to be https or http"),
            ("connection", listener(), "the name connection of descriptor 3 is not known"),
            (&"n".repeat(70_000), listener(), "nnn… (69936 bytes more) of descriptor 3 is not known"),
            (
                "https",
                UdpSocket::bind("127.0.0.1:0").unwrap().into(),
                "the socket https (descriptor 3) is not a TCP socket",
            ),
            ("http", unix.into(), "the socket http (descriptor 3) is not a TCP socket"),
            ("https", connected.unwrap().into(), "does not listen; with systemd, Accept=no"),
            ("https", tempfile::tempfile().unwrap().into(), "is not a TCP socket"),
        ] {
            let found = sorted(vec![(Some(name), socket)]).unwrap_err();
            assert!(found.contains(what), "{found}, not {what}");
        }
        let twice = sorted(vec![(Some("https"), listener()), (Some("https"), listener())]).unwrap_err();
        assert!(twice.contains("two sockets have the name https; one ListenStream="), "{twice}");
    }

    #[test]
    fn a_descriptor_that_is_no_open_socket_is_not_taken() {
        assert_eq!(check_open(0), Ok(()));
        let found = check_open(MOST).unwrap_err();
        assert!(found.contains("is not an open socket; sockets that were to be passed: 64"), "{found}");
    }
}
