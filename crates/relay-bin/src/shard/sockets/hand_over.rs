//! Sockets of allocations that go to another process, or come from one.

use std::{
    io,
    net::UdpSocket as StdSocket,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use relay_server::Allocation;
use udp_batch::UdpSocket;

use super::Sockets;
use crate::shard::{handover::RelaySocket, poller::Source};

impl Sockets {
    /// The sockets of all allocations.
    pub(super) fn relay_sockets(&self) -> Vec<(RelaySocket, BorrowedFd<'_>)> {
        let relays = self.relays.iter().map(|(port, family, relay)| {
            let drops = relay.socket.drops();
            (RelaySocket { port, family, id: relay.id.as_u64(), drops }, relay.socket.as_fd())
        });
        relays.collect()
    }

    /// So many datagrams that the kernel dropped at each listening socket were counted by another process.
    pub(in crate::shard) fn set_listener_drops(&self, drops: &[u32]) {
        for (listener, drops) in self.listeners.iter().zip(drops) {
            listener.socket.set_drops(*drops);
        }
    }

    /// Takes over the socket of `allocation` that `described` is about.
    ///
    /// # Errors
    ///
    /// When it cannot be used here.
    pub(in crate::shard) fn adopt(
        &mut self,
        described: RelaySocket,
        allocation: &Allocation,
        socket: OwnedFd,
    ) -> io::Result<()> {
        let RelaySocket { port, family, drops, .. } = described;
        let socket = UdpSocket::from_std(StdSocket::from(socket), &self.relay_config())?;
        socket.set_drops(drops);
        let bound = socket.local_addr()?;
        if bound.port() != port.get() || allocation.port() != port || !allocation.families().contains(family) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{bound} is not the socket of {port}")));
        }
        self.watcher.watch(&socket, Source::Relay(port, family))?;
        self.relay_address(family).note_bound(bound.ip());
        self.addresses.held().insert(port, family);
        self.relays.insert(port, family, socket, allocation.id());
        Ok(())
    }
}
