//! Opens the relay sockets of allocations.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use relay_server::{AllocationId, AllocationPort, Family, RelayOpenError, Timestamp};
use udp_batch::{Config, UdpSocket};

use super::Sockets;
use crate::{addresses::FamilyState, faults::Part, shard::poller::Source};

/// How often to warn that sockets cannot be opened.
pub(super) const WARN_EVERY: Duration = Duration::from_secs(10);

/// The size of a relay socket's send and receive buffer, in bytes.
const BUFFER_SIZE: usize = 1024 * 1024;

/// The addresses that allocations of one family send from.
#[derive(Clone, Debug, Default)]
pub(super) struct RelayAddress {
    /// The address to bind the next socket to, which may be the unspecified one; `None` for a family that is not served.
    bind: Option<IpAddr>,
    /// The public address, if this machine is known to have it.
    public: Option<IpAddr>,
    /// Whether any socket was bound to all addresses, because this machine did not have the public one.
    has_unbound: bool,
    /// All addresses that sockets were bound to so far. They are few: this machine's own.
    ever_bound: Vec<IpAddr>,
}

impl RelayAddress {
    pub(super) fn set(&mut self, family: Option<FamilyState>) {
        self.bind = family.map(|family| family.relay);
        if let Some(address) = self.bind
            && !self.ever_bound.contains(&address)
        {
            self.ever_bound.push(address);
        }
        self.public = family.and_then(|family| family.source);
    }

    /// A socket is bound to `address`, from before.
    pub(super) fn note_bound(&mut self, address: IpAddr) {
        if !self.ever_bound.contains(&address) {
            self.ever_bound.push(address);
        }
        self.has_unbound |= address.is_unspecified();
    }

    /// Whether an allocation may send from `address`, which must be one of this machine.
    pub(super) fn may_be(&self, address: IpAddr) -> bool {
        self.ever_bound.iter().any(|bound| bound.is_unspecified() || *bound == address)
    }

    /// The source address to pass to the kernel. Usually `None`: the sockets are bound to the public address, or a NAT replaces
    /// theirs.
    #[inline]
    pub(super) const fn source(&self) -> Option<IpAddr> {
        if self.has_unbound { self.public } else { None }
    }
}

impl Sockets {
    /// Opens the relay socket of the allocation `id` and stores it.
    pub(super) fn open_for(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError> {
        match self.open(port, family) {
            Ok(socket) => {
                self.relays.insert(port, family, socket, id);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::debug!(%port, ?family, "another program holds the port");
                Err(RelayOpenError::PortInUse)
            }
            Err(error) => {
                self.faults.note(Part::AllocationSocket);
                if let Some(times) = self.cannot_open.pass(now) {
                    let remedy = remedy(&error);
                    tracing::warn!(%error, times, "cannot open a socket for an allocation: {remedy}");
                }
                Err(RelayOpenError::Failed)
            }
        }
    }

    fn open(&mut self, port: AllocationPort, family: Family) -> io::Result<UdpSocket> {
        let relays = self.relay_address(family);
        let address = SocketAddr::new(relays.bind.ok_or(io::ErrorKind::AddrNotAvailable)?, port.get());
        let socket = UdpSocket::bind(address, &self.relay_config())?;
        self.files.admit(&socket)?;
        self.watcher.watch(&socket, Source::Relay(port, family))?;
        self.relay_address(family).has_unbound |= address.ip().is_unspecified();
        self.addresses.held().insert(port, family);
        Ok(socket)
    }
}

impl Sockets {
    /// How the sockets of allocations are set up.
    pub(super) fn relay_config(&self) -> Config {
        Config { buffer_size: Some(BUFFER_SIZE), gro: true, error_queue: self.tells_icmp, ..Config::default() }
    }

    /// Where those of one family send from.
    pub(super) const fn relay_address(&mut self, family: Family) -> &mut RelayAddress {
        match family {
            Family::V4 => &mut self.v4_relays,
            Family::V6 => &mut self.v6_relays,
        }
    }
}

/// What an operator can do about `error`.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "clients are answered 508, since the other files are kept back for health checks and the like; raise this process's \
             limit on open files (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker; `prlimit --nofile=` while \
             it runs)"
        }
        Some(libc::ENFILE) => "raise the system's limit on open files (`sysctl fs.file-max`)",
        Some(libc::ENOMEM | libc::ENOBUFS) => "this machine is out of memory",
        Some(libc::EADDRNOTAVAIL) => "this machine has lost the address",
        _ => "clients are answered 508",
    }
}

#[cfg(test)]
mod tests {
    use relay_server::AddressStatus;

    use super::*;

    fn at(relay: &str) -> Option<FamilyState> {
        let (relay, public) = (relay.parse().unwrap(), "203.0.113.7".parse().unwrap());
        Some(FamilyState { public, relay, source: None, local: relay, status: AddressStatus::Present })
    }

    #[test]
    fn an_allocation_sends_from_what_its_socket_was_bound_to() {
        let [first, second, other] = ["192.0.2.1", "192.0.2.2", "127.0.1.1"].map(|address| address.parse().unwrap());
        let mut relays = RelayAddress::default();
        assert!(!relays.may_be(first));
        relays.set(at("192.0.2.1"));
        assert!(relays.may_be(first) && !relays.may_be(second) && !relays.may_be(other));
        // Sockets that were opened before keep their addresses.
        for relay in [None, at("192.0.2.2")] {
            relays.set(relay);
            assert!(relays.may_be(first) && !relays.may_be(other));
        }
        assert!(relays.may_be(second));
        relays.set(at("0.0.0.0"));
        assert!(relays.may_be(other));
    }
}
