//! Tells other shards of channels to their ports, and hears of theirs.

use std::net::SocketAddr;

use crate::{
    AllocationPort, ChannelNumber, Crossing, Event, Family, FiveTuple, PeerSocket, Server, Traffic, crossings::Known,
};

impl Server {
    /// Another shard said [`ShardMessage::CrossingOpened`](crate::ShardMessage::CrossingOpened).
    pub(crate) fn crossing_opened(&mut self, crossing: &Crossing) {
        if self.bandwidth.is_some() {
            // Its client's limits are counted on its own shard: data goes there through the sockets.
            return;
        }
        // Of all shards that hear of it, one is concerned: together they know no more crossings than there are channels. Of a port
        // that is lent to another shard later, that one does not know: data takes the way through the sockets.
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

    /// Another shard said [`ShardMessage::CrossingClosed`](crate::ShardMessage::CrossingClosed).
    pub(crate) fn crossing_closed(&mut self, crossing: &Crossing) {
        let Some(removed) = self.crossings.remove(crossing) else {
            return;
        };
        if let Some(((five_tuple, channel), far)) = self.near_end(crossing)
            // A client of this shard may have the port by now, before the end of the last one that had it was told.
            && !matches!(self.cross_here(crossing.from, far), Some(Ok(_)))
        {
            self.uninstall(self.client_key(five_tuple, channel));
        }
        self.tell_of_crossed(removed);
    }

    fn tell_of_crossed(&mut self, Known { crossing, crossed }: Known) {
        self.emit(Event::CrossingClosed { crossing, crossed });
    }

    /// The channels of other shards' clients that data goes to straight from here, with what has gone to each so far. In no order
    /// that means anything.
    pub fn crossings(&self) -> impl Iterator<Item = (Crossing, Traffic)> {
        self.crossings.iter()
    }

    /// `channel`, of the allocation with this 5-tuple and port, relays to `peer`, one of the relay's relayed transport addresses:
    /// what others have to know of that. `None` when there are no others, or no allocation can have that address.
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

    /// The client of this shard whose data the crossing is about with its channel, if it has bound one, and the address that it is
    /// bound to.
    fn near_end(&self, crossing: &Crossing) -> Option<((FiveTuple, ChannelNumber), SocketAddr)> {
        let far = self.config.relay_addresses.socket(crossing.family, crossing.to)?;
        let (allocation, channel) = self.allocations.peer_channel(crossing.from, PeerSocket::new(far)).ok()?;
        Some(((allocation.five_tuple(), channel), far))
    }
}
