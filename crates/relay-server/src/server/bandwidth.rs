//! Checks packets against the limits on bandwidth ([`Config::bandwidth`](crate::Config::bandwidth)).
//!
//! ChannelData and peers' packets are checked before the data path, with a look-up of their own. So without limits, the data path
//! takes one more branch and nothing else. Nothing here allocates memory.

use std::net::SocketAddr;

use stun_msg::{Classified, classify};

use crate::{
    AllocationPort, ChannelNumber, DropReason, Family, FiveTuple, PeerSocket, Server, Timestamp, bandwidth::Direction,
};

impl Server {
    /// Whether `datagram` from a client may be relayed now, if it is ChannelData of a bound channel. If so, it is counted.
    ///
    /// # Errors
    ///
    /// The limit that it exceeds.
    #[cold]
    #[inline(never)]
    pub(super) fn admit_channel_data(
        &self,
        now: Timestamp,
        from: &FiveTuple,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let Ok(Classified::ChannelData(data)) = classify(datagram) else { return Ok(()) };
        let Some(channel) = ChannelNumber::new(data.channel) else { return Ok(()) };
        match self.allocations.channel_peer(from, channel) {
            Ok((allocation, peer)) => self.admit_to_peer(now, allocation.port(), peer.address(), data.payload.len()),
            Err(_) => Ok(()),
        }
    }

    /// Whether the allocation at `port` may send `bytes` bytes of application data to `to` now. If so, they are counted. If `to`
    /// is an address of this relay, they are counted for the other client, too, as if they had left the relay and come back.
    ///
    /// # Errors
    ///
    /// The limit that they exceed.
    #[cold]
    #[inline(never)]
    pub(super) fn admit_to_peer(
        &self,
        now: Timestamp,
        port: AllocationPort,
        to: SocketAddr,
        bytes: usize,
    ) -> Result<(), DropReason> {
        let Some(limit) = &self.bandwidth else { return Ok(()) };
        limit.admit(now, port, Direction::ToPeer, bytes)?;
        if !self.config.relay_addresses.contains(to.ip()) {
            return Ok(());
        }
        let (family, far) = (Family::of(to.ip()), AllocationPort::new(to.port()));
        let source = self.config.relay_addresses.socket(family, port).map(PeerSocket::new);
        let is_heard = source.is_some_and(|source| self.is_heard(far, source));
        if is_heard { limit.admit(now, far, Direction::FromPeer, bytes) } else { Ok(()) }
    }

    /// Whether the allocation at `port` may receive `bytes` bytes of application data from `peer` now. If so, they are counted;
    /// if not, the packet is dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn admit_from_peer(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        peer: PeerSocket,
        bytes: usize,
    ) -> bool {
        let admitted = match &self.bandwidth {
            Some(limit) if self.is_heard(port, peer) => limit.admit(now, port, Direction::FromPeer, bytes),
            _ => Ok(()),
        };
        if let Err(reason) = admitted {
            self.drop_from_peer(peer, reason);
        }
        admitted.is_ok()
    }

    /// Whether data from `peer` is delivered to the client of the allocation at `port`. Does not call the look-up of the data path,
    /// which is fast because it is inlined in one place only.
    fn is_heard(&self, port: AllocationPort, peer: PeerSocket) -> bool {
        self.allocations.by_port(port).is_some_and(|allocation| self.allocations.hears(allocation, peer).is_some())
    }
}
