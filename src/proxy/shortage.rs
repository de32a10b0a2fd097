//! What this machine may lack for a connection to a backend: open files, ports, memory. That is no failure of the backend. Values
//! only. `failure` asks what an error is, and `shared` what the log says of it.

use std::io;

use rustix::io::Errno;

/// What there is not enough of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    FilesOfProgram,
    FilesOfMachine,
    /// Local ports, or an address to connect from: to other places there may be some.
    Ports,
    Memory,
    Watches,
}

impl Shortage {
    pub(super) const KINDS: usize = 5;

    /// What an error of the system means, if it is of this machine and not of the other side.
    pub(super) fn of(error: &io::Error) -> Option<Shortage> {
        Some(match Errno::from_io_error(error)? {
            Errno::MFILE => Shortage::FilesOfProgram,
            Errno::NFILE => Shortage::FilesOfMachine,
            Errno::ADDRNOTAVAIL => Shortage::Ports,
            Errno::NOBUFS | Errno::NOMEM => Shortage::Memory,
            // Only of a poller.
            Errno::NOSPC => Shortage::Watches,
            _ => return None,
        })
    }

    /// Whether connections that nobody uses now would help.
    pub(super) fn is_of_files(self) -> bool {
        matches!(self, Shortage::FilesOfProgram | Shortage::FilesOfMachine)
    }

    /// A clause for the log, with the limit and the way out.
    pub(super) fn clause(self) -> &'static str {
        match self {
            Shortage::FilesOfProgram => {
                "this program has as many open files as it may have; raise RLIMIT_NOFILE (systemd: LimitNOFILE=), or allow fewer \
                 connections"
            }
            Shortage::FilesOfMachine => {
                "this machine has as many open files as it may have (fs.file-max)"
            }
            Shortage::Ports => {
                "this machine has no free port (net.ipv4.ip_local_port_range) or no address to connect from"
            }
            Shortage::Memory => "this machine has no memory for a further connection",
            Shortage::Watches => {
                "this user watches as many connections as are allowed (fs.epoll.max_user_watches)"
            }
        }
    }
}
