//! The limit on open files, and how it is divided. Each allocation takes one file for each family.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use relay_server::PortRange;

/// Files that allocations may not take: for connections to health, metrics and control, to the collector and the portal, and for
/// recordings.
const RESERVE: u64 = 256;

/// At most one in so many files is kept back if the limit is small.
const RESERVED_PART: u64 = 4;

/// The files of a worker: an epoll instance, its waker and its timer.
const FILES_PER_WORKER: u64 = 3;

/// Standard streams, runtimes, listeners, BPF maps.
const OTHERS: u64 = 64;

/// The limit on open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    limit: u64,
}

impl Files {
    /// No known limit.
    pub(crate) const fn unlimited() -> Self {
        Self { limit: u64::MAX }
    }

    /// The most concurrent connections for health and metrics.
    pub(crate) fn health_connections(self) -> usize {
        self.part_of_reserve(2)
    }

    /// The most concurrent connections for control.
    pub(crate) fn control_connections(self) -> usize {
        self.part_of_reserve(8)
    }

    fn part_of_reserve(self, divisor: u64) -> usize {
        usize::try_from(self.reserve() / divisor).unwrap_or(usize::MAX).max(1)
    }

    /// How many files are kept back.
    pub(crate) fn reserve(self) -> u64 {
        RESERVE.min(self.limit / RESERVED_PART)
    }

    /// Checks that `socket`, which was just opened, leaves the reserve untouched.
    ///
    /// The kernel gives each new file the lowest free number. So a number below the limit less the reserve shows that the reserve
    /// is untouched. Nothing has to be counted.
    ///
    /// # Errors
    ///
    /// EMFILE, the kernel's own error at its limit, when the socket would take from the reserve.
    pub(crate) fn admit(&mut self, socket: &impl AsFd) -> io::Result<()> {
        let number = u64::try_from(socket.as_fd().as_raw_fd()).unwrap_or(u64::MAX);
        if number < self.limit - self.reserve() {
            return Ok(());
        }
        // prlimit(1) may have changed the limit.
        if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            self.limit = limit;
        }
        if number < self.limit - self.reserve() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EMFILE)) }
    }
}

/// Raises the limit on open files as far as the kernel allows. Warns if that is not enough for every allocation port. Each worker
/// has `sockets_per_worker` listening sockets for each family.
pub(crate) fn raise_open_files(
    families: usize,
    workers: NonZeroUsize,
    sockets_per_worker: usize,
    ports: PortRange,
) -> Files {
    let limit = match raise() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            // The kernel enforces its limit anyway.
            return Files::unlimited();
        }
    };
    let files = Files { limit };
    let families = u64::try_from(families).unwrap_or(u64::MAX);
    let workers = u64::try_from(workers.get()).unwrap_or(u64::MAX);
    let sockets_per_worker = u64::try_from(sockets_per_worker).unwrap_or(u64::MAX);
    let ports = u64::from(ports.len());
    let others = workers * (families * sockets_per_worker + FILES_PER_WORKER) + OTHERS;
    let wanted = ports * families + others + RESERVE;
    if limit < wanted {
        let allocations = limit.saturating_sub(others + files.reserve());
        tracing::warn!(
            limit,
            wanted,
            kept_back = files.reserve(),
            "the limit on open files allows about {allocations} allocations, not all that the ports would: raise it to {wanted} \
             (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
        );
    }
    files
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_small_limit_is_kept_back() {
        assert_eq!(Files { limit: 1_048_576 }.reserve(), 256);
        assert_eq!(Files { limit: 1_024 }.reserve(), 256);
        assert_eq!(Files { limit: 100 }.reserve(), 25);
        assert_eq!(Files { limit: 0 }.reserve(), 0);
    }

    #[test]
    fn a_limit_that_was_raised_meanwhile_counts() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut files = Files { limit: 1 };
        files.admit(&socket).unwrap();
        assert_eq!(files.limit, getrlimit(Resource::RLIMIT_NOFILE).unwrap().0);
    }
}
