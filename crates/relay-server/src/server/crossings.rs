//! Handles the messages of other shards about channels that are bound to ports of this shard.

use std::net::SocketAddr;

use crate::{
    AllocationPort, ChannelNumber, Crossing, Event, Family, FiveTuple, PeerSocket, Server, Traffic, crossings::Known,
};

impl Server {
    /// Handles [`ShardMessage::CrossingOpened`](crate::ShardMessage::CrossingOpened).
    pub(crate) fn crossing_opened(&mut self, crossing: &Crossing) {
        if self.bandwidth.is_some() {
            // Limits of the channel's client are counted on its own shard, so data goes there through the sockets.
            return;
        }
        // All shards receive the message, and only the shard of this port keeps it, so the tables together are no larger than the
        // number of channels. If a port is lent to another shard later, that shard does not know the crossing: data goes through
        // the sockets.
        let port = crossing.from;
        if !self.config.ports.contains(port) && self.allocations.by_port(port).is_none() {
            return;
        }
        if let Some(replaced) = self.crossings.insert(*crossing) {
            self.tell_of_crossed(replaced);
        }
        self.emit(Event::CrossingOpened { crossing: *crossing });
        let to = (crossing.five_tuple, crossing.channel);
        if let Some((near, far)) = self.near_end(crossing)
            && self.cross(port, far) == Some(Ok(to))
        {
            self.install(self.crossing_flow((near, port), (to, crossing.to)));
        }
    }

    /// Handles [`ShardMessage::CrossingClosed`](crate::ShardMessage::CrossingClosed).
    pub(crate) fn crossing_closed(&mut self, crossing: &Crossing) {
        let Some(removed) = self.crossings.remove(crossing) else {
            return;
        };
        if let Some(((five_tuple, channel), far)) = self.near_end(crossing)
            // A new client of this shard may have the port already.
            && !matches!(self.cross_here(crossing.from, far), Some(Ok(_)))
        {
            self.uninstall(self.client_key(five_tuple, channel));
        }
        self.tell_of_crossed(removed);
    }

    fn tell_of_crossed(&mut self, Known { crossing, crossed }: Known) {
        self.emit(Event::CrossingClosed { crossing, crossed });
    }

    /// The channels of other shards' clients that this shard sends straight to, with the traffic sent to each so far. In no
    /// particular order.
    pub fn crossings(&self) -> impl Iterator<Item = (Crossing, Traffic)> {
        self.crossings.iter()
    }

    /// The crossing of `channel`, of the allocation with this 5-tuple and port, whose peer is `peer`, one of the relay's
    /// addresses. `None` if there are no other shards, or no allocation can have that address.
    pub(crate) fn crossing_to(
        &self,
        five_tuple: FiveTuple,
        port: AllocationPort,
        channel: ChannelNumber,
        peer: PeerSocket,
    ) -> Option<Crossing> {
        let (family, from) = (Family::of(peer.address().ip()), AllocationPort::new(peer.address().port()));
        let is_elsewhere = self.has_other_shards() && self.ports_of_all_shards.contains(from);
        is_elsewhere.then_some(Crossing { family, from, to: port, five_tuple, channel })
    }

    /// The client of this shard at the other end of the crossing, with its channel and the address that it is bound to. `None` if
    /// it has not bound one.
    fn near_end(&self, crossing: &Crossing) -> Option<((FiveTuple, ChannelNumber), SocketAddr)> {
        let far = self.config.relay_addresses.socket(crossing.family, crossing.to)?;
        let (allocation, channel) = self.allocations.peer_channel(crossing.from, PeerSocket::new(far)).ok()?;
        Some(((allocation.five_tuple(), channel), far))
    }
}
