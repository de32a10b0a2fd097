//! Tells the service manager how this process does (sd_notify(3)): a datagram for each message, to the socket that `NOTIFY_SOCKET`
//! names. Knows the environment and that socket, and no server; `server/notify` calls it.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{clock_gettime, ClockId};

use crate::escape;

/// How long a message waits for a service manager that reads none. After one that has waited in vain, the others do not wait until one
/// is taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// The shortest period of the watchdog. A shorter one would cost more than it tells.
const SHORTEST_PERIOD: Duration = Duration::from_millis(30);

/// The service manager that has started this process.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    /// Each message is sent to it anew: a service manager that starts again makes its socket anew.
    address: SocketAddr,
    /// Whether it has taken the last message.
    hears: AtomicBool,
    /// How often it wants to hear of progress.
    pub(crate) watchdog: Option<Duration>,
}

impl ServiceManager {
    /// By the variables `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. `None` when nobody wants to be told. A fault is logged:
    /// the server serves all the same.
    pub(crate) fn from_env() -> Option<ServiceManager> {
        let address = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
        let [period, process] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(|name| env::var(name).ok());
        let watchdog = watchdog(period.as_deref(), process.as_deref(), process::id());
        let manager = ServiceManager::new(&address, watchdog);
        if let Err(error) = &manager {
            log::error!(
                "the service manager cannot be told anything (NOTIFY_SOCKET {}): {error}",
                escape::line(&address.to_string_lossy())
            );
        }
        manager.ok()
    }

    fn new(address: &OsStr, watchdog: Option<Duration>) -> io::Result<ServiceManager> {
        let address = match address.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            [b'@', name @ ..] => {
                #[cfg(target_os = "android")]
                use std::os::android::net::SocketAddrExt;
                #[cfg(target_os = "linux")]
                use std::os::linux::net::SocketAddrExt;
                SocketAddr::from_abstract_name(name)?
            }
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "it has to begin with / or @")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(ServiceManager { socket, address, hears: AtomicBool::new(true), watchdog })
    }

    /// Sends one message. What it says belongs together, so it is one datagram. The log says when the service manager ceases to take
    /// messages and when it takes them again, not each time.
    pub(crate) fn tell(&self, message: &str) {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        let hears = sent.is_ok();
        if self.hears.swap(hears, Ordering::SeqCst) == hears {
            return;
        }
        match sent {
            Ok(_) => log::info!("the service manager is told again"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                log::warn!("the service manager was not told: it does not read its messages");
            }
            Err(error) => log::warn!("the service manager was not told: {error}"),
        }
        // A failure leaves the last state: messages wait, or do not.
        let _ = self.socket.set_nonblocking(!hears);
    }

    #[cfg(test)]
    pub(crate) fn at(path: &std::path::Path, watchdog: Option<Duration>) -> ServiceManager {
        ServiceManager::new(path.as_os_str(), watchdog).unwrap()
    }
}

/// The period of the watchdog, if it is for this process (sd_watchdog_enabled(3)).
fn watchdog(period: Option<&str>, process: Option<&str>, own: u32) -> Option<Duration> {
    let is_own = process.map_or(true, |process| process.parse() == Ok(own));
    let period: u64 = period?.parse().ok()?;
    (is_own && period > 0).then(|| Duration::from_micros(period).max(SHORTEST_PERIOD))
}

/// That a reload begins. systemd takes it for the answer to its own request by the time (Type=notify-reload); without it, it waits
/// for one in vain.
pub(crate) fn reloading() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    let mut message = String::from("RELOADING=1\nMONOTONIC_USEC=");
    let _ = write!(message, "{micros}");
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_a_path_or_to_an_abstract_name_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("lockgate-test-{}", process::id());
        #[cfg(target_os = "linux")]
        let abstract_name = {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
            UnixDatagram::bind_addr(&address).unwrap()
        };
        for (address, socket) in
            [(path.display().to_string(), &by_path), (format!("@{name}"), &abstract_name)]
        {
            let manager = ServiceManager::new(OsStr::new(&address), None).unwrap();
            // Several messages: a variable that is gone after the first would be noticed.
            for message in ["READY=1", "STATUS=x"] {
                manager.tell(message);
                let mut heard = [0; 64];
                let length = socket.recv(&mut heard).unwrap();
                assert_eq!(&heard[..length], message.as_bytes(), "{address}");
            }
        }
        for address in ["", "17", "notify", "vsock:2:1234"] {
            assert!(ServiceManager::new(OsStr::new(address), None).is_err(), "{address}");
        }
        for address in ["/none/there", "@none-there"] {
            let manager = ServiceManager::new(OsStr::new(address), None).unwrap();
            manager.tell("READY=1");
            assert!(!manager.hears.load(Ordering::SeqCst), "{address}");
        }
    }

    #[test]
    fn a_service_manager_that_makes_its_socket_anew_is_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let first = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::at(&path, None);
        manager.tell("READY=1");
        drop(first);
        std::fs::remove_file(&path).unwrap();
        manager.tell("WATCHDOG=1");
        let second = UnixDatagram::bind(&path).unwrap();
        second.set_nonblocking(true).unwrap();
        manager.tell("WATCHDOG=1");
        let mut heard = [0; 64];
        let length = second.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"WATCHDOG=1");
    }

    #[test]
    fn a_service_manager_that_reads_nothing_costs_one_wait_and_is_told_again_once_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let deaf = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::at(&path, None);
        let is_nonblocking = || {
            let flags = rustix::fs::fcntl_getfl(&manager.socket).unwrap();
            flags.contains(rustix::fs::OFlags::NONBLOCK)
        };
        while manager.hears.load(Ordering::SeqCst) {
            assert!(!is_nonblocking());
            manager.tell("WATCHDOG=1");
        }
        assert!(is_nonblocking(), "the messages of a stop do not wait");
        manager.tell("STOPPING=1");
        deaf.recv(&mut [0; 64]).unwrap();
        manager.tell("STOPPING=1");
        assert!(manager.hears.load(Ordering::SeqCst) && !is_nonblocking());
    }

    #[test]
    fn a_watchdog_counts_for_its_own_process_only() {
        for (period, process, expected) in [
            (None, None, None),
            (Some("30000000"), None, Some(30)),
            (Some("30000000"), Some("7"), Some(30)),
            (Some("30000000"), Some("8"), None),
            (Some("30000000"), Some(""), None),
            (Some("0"), Some("7"), None),
            (Some("-1"), None, None),
            (Some("x"), None, None),
        ] {
            assert_eq!(watchdog(period, process, 7), expected.map(Duration::from_secs), "{period:?}");
        }
        assert_eq!(watchdog(Some("1"), None, 7), Some(SHORTEST_PERIOD));
    }

    #[test]
    fn a_reload_says_when_it_begins_in_one_message() {
        let message = reloading();
        let time = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{message}");
    }
}
