//! Installs and removes the flows of channels, which a faster data path forwards by itself.

use std::net::SocketAddr;

use crate::{
    AllocationId, AllocationPort, Arriving, ChannelNumber, FiveTuple, Flow, FlowKey, Leaving, Output, PeerSocket,
    Server, ShardMessage, Via,
};

impl Server {
    /// Installs the flows of `channel` of allocation `id`, which now relays to `peer`. Announces the channel to other shards if the
    /// peer is an address of this relay.
    pub(crate) fn install_flows(&mut self, id: AllocationId, channel: ChannelNumber, peer: PeerSocket) {
        let Some(allocation) = self.allocations.get(id) else {
            return;
        };
        let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
        if self.config.relay_addresses.contains(peer.address().ip()) {
            // Two clients of this relay. A direction needs a channel of each, so the second ChannelBind installs both. On two shards,
            // each installs the one that begins there, once it knows the other channel.
            let (near, peer_port) = ((five_tuple, channel), AllocationPort::new(peer.address().port()));
            if let Some(Ok(other)) = self.cross(port, peer.address()) {
                self.install(self.crossing_flow((near, port), (other, peer_port)));
            }
            if let Some(other) = self.counterpart(port, peer) {
                self.install(self.crossing_flow((other, peer_port), (near, port)));
            }
            if let Some(crossing) = self.crossing_to(five_tuple, port, channel, peer) {
                self.tell_shards(ShardMessage::CrossingOpened(crossing));
            }
            return;
        }
        self.remove_data_flow(id, port, peer);
        for flow in self.flows_to(five_tuple, port, channel, peer) {
            self.install(flow);
        }
    }

    /// The flows that a faster data path may forward now. The same inputs give the same order. For a data path that must start again,
    /// since its own flows are out of date.
    #[must_use]
    pub fn flows(&self) -> Vec<Flow> {
        let mut flows = Vec::new();
        if self.bandwidth.is_some() {
            return flows;
        }
        for allocation in self.allocations() {
            let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
            for channel in allocation.channels().iter().filter(|channel| channel.is_bound()) {
                let (number, peer) = (channel.number(), channel.peer());
                if !self.config.relay_addresses.contains(peer.address().ip()) {
                    flows.extend(self.flows_to(five_tuple, port, number, peer));
                } else if let Some(Ok(other)) = self.cross(port, peer.address()) {
                    let peer_port = AllocationPort::new(peer.address().port());
                    flows.push(self.crossing_flow(((five_tuple, number), port), (other, peer_port)));
                }
            }
            flows.extend(self.indicated_flows(allocation));
        }
        flows
    }

    /// Both directions of a channel to a peer outside this relay.
    const fn flows_to(
        &self,
        five_tuple: FiveTuple,
        port: AllocationPort,
        channel: ChannelNumber,
        peer: PeerSocket,
    ) -> [Flow; 2] {
        let up = flow_to_peer(self.client_key(five_tuple, channel), five_tuple, port, peer);
        [up, flow_to_client(five_tuple, port, peer, Leaving::Channel(channel))]
    }

    /// Removes the flows of `channel` of the allocation with this 5-tuple and port, which no longer relays to `peer`: the reverse of
    /// [`Self::install_flows`].
    pub(crate) fn remove_flows(
        &mut self,
        five_tuple: FiveTuple,
        port: AllocationPort,
        channel: ChannelNumber,
        peer: PeerSocket,
    ) {
        self.uninstall(self.client_key(five_tuple, channel));
        if !self.config.relay_addresses.contains(peer.address().ip()) {
            return self.uninstall(peer_key(port, peer));
        }
        if let Some((other, other_channel)) = self.counterpart(port, peer) {
            self.uninstall(self.client_key(other, other_channel));
        }
        if let Some(crossing) = self.crossing_to(five_tuple, port, channel, peer) {
            self.tell_shards(ShardMessage::CrossingClosed(crossing));
        }
    }

    /// The client of this shard at the peer's end of a crossed channel, if it has bound a channel in return.
    fn counterpart(&self, port: AllocationPort, peer: PeerSocket) -> Option<(FiveTuple, ChannelNumber)> {
        self.cross_here(port, peer.address()).and_then(Result::ok)
    }

    /// The flow from one client of the relay to another, given the channel and the allocation's port of each.
    pub(crate) fn crossing_flow(
        &self,
        ((from, from_channel), from_port): ((FiveTuple, ChannelNumber), AllocationPort),
        ((to, to_channel), to_port): ((FiveTuple, ChannelNumber), AllocationPort),
    ) -> Flow {
        Flow {
            key: self.client_key(from, from_channel),
            arrives: Via::Listener(from.server),
            leaves: Via::Listener(to.server),
            to: to.client.address(),
            leaves_in: Leaving::Channel(to_channel),
            from_client_of: Some(from_port),
            to_client_of: Some(to_port),
        }
    }

    pub(crate) const fn client_key(&self, from: FiveTuple, channel: ChannelNumber) -> FlowKey {
        let remote: SocketAddr = from.client.address();
        FlowKey { remote, local_port: self.config.listen_port, carries: Arriving::Channel(channel) }
    }

    /// Does nothing if bandwidth is limited: a faster data path would forward without counting.
    pub(crate) fn install(&mut self, flow: Flow) {
        if self.bandwidth.is_some() {
            return;
        }
        self.outputs.push_back(Output::InstallFlow(Box::new(flow)));
    }

    pub(crate) fn uninstall(&mut self, key: FlowKey) {
        self.outputs.push_back(Output::RemoveFlow(key));
    }
}

/// Matches datagrams from `peer` to the allocation at `port`.
pub(super) const fn peer_key(port: AllocationPort, peer: PeerSocket) -> FlowKey {
    FlowKey { remote: peer.address(), local_port: port.get(), carries: Arriving::Bare }
}

/// From the client of an allocation, in packets that match `key`, to a peer outside this relay.
pub(super) const fn flow_to_peer(key: FlowKey, from: FiveTuple, port: AllocationPort, peer: PeerSocket) -> Flow {
    Flow {
        key,
        arrives: Via::Listener(from.server),
        leaves: Via::Relay(port),
        to: peer.address(),
        leaves_in: Leaving::Bare,
        from_client_of: Some(port),
        to_client_of: None,
    }
}

/// From a peer to the client of an allocation, wrapped in `leaves_in`.
pub(super) const fn flow_to_client(to: FiveTuple, port: AllocationPort, peer: PeerSocket, leaves_in: Leaving) -> Flow {
    Flow {
        key: peer_key(port, peer),
        arrives: Via::Relay(port),
        leaves: Via::Listener(to.server),
        to: to.client.address(),
        leaves_in,
        from_client_of: None,
        to_client_of: Some(port),
    }
}
