//! Whether a packet is within the limits on bandwidth ([`Config::bandwidth`](crate::Config::bandwidth)).
//!
//! Of ChannelData and of peers' packets this comes before the data path, and looks up by itself where they go: the data path of a relay
//! without limits asks one question more and nothing else. Nothing here allocates.

use std::net::SocketAddr;

use stun_msg::{Classified, classify};

use crate::{
    AllocationPort, ChannelNumber, DropReason, Family, FiveTuple, PeerSocket, Server, Timestamp, bandwidth::Direction,
};

impl Server {
    /// Whether `datagram` from a client may be relayed now, if it is ChannelData that would be. It counts then.
    ///
    /// # Errors
    ///
    /// Which limit it is over.
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

    /// Whether the allocation at `port` may send so many bytes of application data to `to` now, which then count. To an address of
    /// this very relay they count for the other client, too, as they would if they went out and came in again.
    ///
    /// # Errors
    ///
    /// Which limit they are over.
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

    /// The same of what a peer sent. If not, it is dropped.
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

    /// Whether the client of the allocation at `port` hears what `peer` sends. Not by the look-up of the data path, which is fast by being
    /// inlined in one place.
    fn is_heard(&self, port: AllocationPort, peer: PeerSocket) -> bool {
        self.allocations.by_port(port).is_some_and(|allocation| self.allocations.hears(allocation, peer).is_some())
    }
}
