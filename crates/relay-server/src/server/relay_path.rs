//! The data path of channels: ChannelData in, application data out, and back.
//!
//! Nothing here allocates memory, and no cost depends on the number of allocations.

use std::{net::SocketAddr, ops::Range};

use allocation::{ChannelPeerError, ToClient};

use crate::{
    AllocationPort, ChannelNumber, DropReason, Encapsulation, Family, FiveTuple, Forward, PeerSocket, Server, Via,
};

impl Server {
    /// [RFC 8656, section 12.6](https://www.rfc-editor.org/rfc/rfc8656#section-12.6).
    pub(crate) fn relay_from_client(
        &mut self,
        from: FiveTuple,
        channel: ChannelNumber,
        payload: Range<usize>,
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        let (allocation, peer) = match self.allocations.channel_peer(&from, channel) {
            Ok(found) => found,
            Err(error) => {
                *refused = Some(match error {
                    ChannelPeerError::NoAllocation => DropReason::NoAllocation,
                    ChannelPeerError::NoChannel => DropReason::NoChannel,
                });
                return None;
            }
        };
        let port = allocation.port();
        let to = peer.address();
        if self.config.relay_addresses.contains(to.ip()) {
            return self.route_to_ourselves(port, to, payload, refused);
        }
        allocation.count_to_peer(payload.len());
        Some(Forward { from: Via::Relay(port), to, encapsulation: Encapsulation::Bare, payload })
    }

    /// Routes data that the allocation at `port` sends to `to`, an address of this relay: straight to the other client, in a
    /// channel or a Data indication, or out of the socket if this shard does not know that client. A separate function, so that
    /// data to other peers does not pay for it.
    #[inline(never)]
    pub(crate) fn route_to_ourselves(
        &mut self,
        port: AllocationPort,
        to: SocketAddr,
        payload: Range<usize>,
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        let (family, far) = (Family::of(to.ip()), AllocationPort::new(to.port()));
        let source = PeerSocket::new(self.config.relay_addresses.socket(family, port)?);
        let bytes = payload.len();
        let (to, channel) = match self.allocations.by_port(far) {
            Some(allocation) if allocation.families().contains(family) => {
                let five_tuple = allocation.five_tuple();
                match self.allocations.hears(allocation, source) {
                    Some(ToClient::Channel(channel)) => {
                        allocation.count_from_peer(bytes);
                        (five_tuple, channel)
                    }
                    Some(ToClient::Indication) if self.may_indicate(source) => {
                        allocation.count_from_peer(bytes);
                        self.count_from_client(port, bytes);
                        return Some(self.data_indication(five_tuple, source, payload));
                    }
                    Some(ToClient::Indication) => {
                        *refused = Some(DropReason::PeerForbidden);
                        return None;
                    }
                    None => {
                        *refused = Some(DropReason::UnknownPeer);
                        return None;
                    }
                }
            }
            _ => match self.crossings.relay(family, port, far, bytes) {
                Some(found) => found,
                None => {
                    self.count_from_client(port, bytes);
                    return Some(Forward { from: Via::Relay(port), to, encapsulation: Encapsulation::Bare, payload });
                }
            },
        };
        self.count_from_client(port, bytes);
        Some(Forward {
            from: Via::Listener(to.server),
            to: to.client.address(),
            encapsulation: Encapsulation::Channel(channel),
            payload,
        })
    }

    /// Counts data that the client of the allocation with `port` has sent to another client.
    fn count_from_client(&self, port: AllocationPort, bytes: usize) {
        if let Some(sender) = self.allocations.by_port(port) {
            sender.count_to_peer(bytes);
        }
    }

    /// [RFC 8656, section 12.7](https://www.rfc-editor.org/rfc/rfc8656#section-12.7).
    #[expect(clippy::inline_always, reason = "a call more costs the data path a tenth of its instructions")]
    #[inline(always)]
    pub(crate) fn relay_from_peer(&mut self, port: AllocationPort, peer: PeerSocket, len: usize) -> Option<Forward> {
        let five_tuple = match self.allocations.to_client(port, peer) {
            Ok((allocation, ToClient::Channel(channel))) => {
                allocation.count_from_peer(len);
                let FiveTuple { client, server } = allocation.five_tuple();
                return Some(Forward {
                    from: Via::Listener(server),
                    to: client.address(),
                    encapsulation: Encapsulation::Channel(channel),
                    payload: 0..len,
                });
            }
            Ok((allocation, ToClient::Indication)) if !self.examines_indications && peer.address().port() != 0 => {
                allocation.count_from_peer(len);
                allocation.five_tuple()
            }
            _ => self.examine_data(port, peer, len)?,
        };
        Some(self.data_indication(five_tuple, peer, 0..len))
    }

    /// The client and channel for data that the allocation at `from` sends to `to`, a relayed transport address of this relay.
    /// `None` if no allocation of this server has that address, and no other shard has announced a channel for it.
    pub(crate) fn cross(
        &self,
        from: AllocationPort,
        to: SocketAddr,
    ) -> Option<Result<(FiveTuple, ChannelNumber), DropReason>> {
        self.cross_here(from, to).or_else(|| {
            let (family, port) = (Family::of(to.ip()), AllocationPort::new(to.port()));
            self.crossings.find(family, from, port).map(Ok)
        })
    }

    /// Like [`Self::cross`], among the allocations of this server only.
    pub(crate) fn cross_here(
        &self,
        from: AllocationPort,
        to: SocketAddr,
    ) -> Option<Result<(FiveTuple, ChannelNumber), DropReason>> {
        let port = AllocationPort::new(to.port());
        let family = Family::of(to.ip());
        self.allocations.by_port(port).filter(|allocation| allocation.families().contains(family))?;
        let source = self.config.relay_addresses.socket(family, from)?;
        Some(match self.allocations.peer_channel(port, PeerSocket::new(source)) {
            Ok((allocation, channel)) => Ok((allocation.five_tuple(), channel)),
            Err(_) => Err(DropReason::UnknownPeer),
        })
    }
}
