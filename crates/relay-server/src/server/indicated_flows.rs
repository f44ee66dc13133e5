//! Installs and removes the flows of indications, which a faster data path forwards by itself.
//!
//! There are flows for remembered peers. A peer is remembered for an allocation from the first packet that the state machine relays
//! between the two, for as long as there is a permission for its address.

use std::{net::SocketAddr, ops::Range};

use allocation::{Allocation, ToClient};

use super::flows::{flow_to_client, flow_to_peer, peer_key};
use crate::{
    AllocationId, AllocationPort, Arriving, DropReason, Encapsulation, FiveTuple, Flow, FlowKey, Forward, Leaving,
    PeerSocket, Server, Timestamp, Via, indicated_peers::IndicatedPeers,
};

impl IndicatedPeers {
    /// No remembered peers, with the limit of [`Config::indicated_peers`](crate::Config::indicated_peers). The limit is 0 if
    /// bandwidth is limited, since a faster data path forwards without counting.
    pub(crate) const fn of_config(config: &crate::Config, is_bandwidth_limited: bool) -> Self {
        Self::new(if config.indications && !is_bandwidth_limited { config.indicated_peers } else { 0 })
    }
}

impl Server {
    /// Updates [`Self::examines_indications`]. Call it when one of its conditions may have changed.
    pub(crate) const fn decide_whether_to_examine(&mut self) {
        self.examines_indications =
            self.has_limited_permissions || self.bandwidth.is_some() || self.indicated_peers.are_wanted();
    }

    /// The rest of [`Self::relay_send`] if [`Self::examines_indications`] is set.
    #[cold]
    #[inline(never)]
    pub(crate) fn relay_examined_send(
        &mut self,
        now: Timestamp,
        (id, port): (AllocationId, AllocationPort),
        (to, payload, unfragmented): (SocketAddr, Range<usize>, bool),
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        *refused = match self.is_port_allowed(to) {
            true => self.admit_to_peer(now, port, to, payload.len()).err(),
            false => Some(DropReason::PeerForbidden),
        };
        if refused.is_some() {
            return None;
        }
        if self.config.relay_addresses.contains(to.ip()) {
            return self.send_to_ourselves(port, to, payload, unfragmented, refused);
        }
        self.allocations.get(id)?.count_to_peer(payload.len());
        if !unfragmented {
            self.remember_peer(id, PeerSocket::new(to));
        }
        Some(Forward { from: Via::Relay(port), to, encapsulation: Encapsulation::to_peer(unfragmented), payload })
    }

    /// Like [`Self::relay_examined_send`], for a datagram from `peer` to `port` without a channel. Returns the 5-tuple of the
    /// client that gets a Data indication. `None` if the datagram was dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn examine_data(&mut self, port: AllocationPort, peer: PeerSocket, len: usize) -> Option<FiveTuple> {
        let refused = match self.allocations.to_client(port, peer) {
            Ok((allocation, _)) if self.may_indicate(peer) => {
                allocation.count_from_peer(len);
                let (id, five_tuple) = (allocation.id(), allocation.five_tuple());
                self.remember_peer(id, peer);
                return Some(five_tuple);
            }
            Ok(_) => DropReason::PeerForbidden,
            Err(error) => DropReason::of_unbound(error),
        };
        self.drop_from_peer(peer, refused);
        None
    }

    /// Remembers `peer`, with which the client of allocation `id` has exchanged data by an indication, and installs its flows.
    fn remember_peer(&mut self, id: AllocationId, peer: PeerSocket) {
        let is_new = self.indicated_peers.has_room(id) && !self.indicated_peers.contains(id, peer);
        if !is_new || !self.may_remember(peer) {
            return;
        }
        let Some(allocation) = self.allocations.get(id) else { return };
        let up = self.send_flow(allocation, peer);
        if self.indicated_peers.insert(id, peer) {
            self.install(up);
            self.install_data_flow(id, peer);
        }
    }

    /// Whether data to and from `peer` may be forwarded without a check, while there is a permission for its address. Not for
    /// peers on the relay's machine, since packets to them never cross the network.
    fn may_remember(&self, peer: PeerSocket) -> bool {
        let (place, address) = (self.place(), peer.address());
        // An IPv6 address with a scope is not found by the address alone.
        let is_plain = SocketAddr::new(address.ip(), address.port()) == address;
        is_plain && !place.may_receive(address.ip()) && self.config.peer_policy.check(&place, address).is_ok()
    }

    /// Installs the flow from `peer` to the client of allocation `id` in Data indications, if the peer is remembered, has a
    /// permission, and no channel is bound to it.
    pub(crate) fn install_data_flow(&mut self, id: AllocationId, peer: PeerSocket) {
        if !self.indicated_peers.contains(id, peer) {
            return;
        }
        let down = self.allocations.get(id).and_then(|allocation| self.data_flow(allocation, peer));
        if let Some(down) = down {
            self.install(down);
        }
    }

    /// Removes that flow, because a channel is bound to the peer.
    pub(crate) fn remove_data_flow(&mut self, id: AllocationId, port: AllocationPort, peer: PeerSocket) {
        if self.indicated_peers.contains(id, peer) {
            self.uninstall(peer_key(port, peer));
        }
    }

    /// The flows of all peers remembered for `allocation`.
    pub(super) fn indicated_flows<'a>(&'a self, allocation: &'a Allocation) -> impl Iterator<Item = Flow> + 'a {
        let peers = self.indicated_peers.of(allocation.id()).iter();
        peers.flat_map(|peer| [Some(self.send_flow(allocation, *peer)), self.data_flow(allocation, *peer)]).flatten()
    }

    /// Forgets the peers of allocation `id` for which `gone` is true, and removes their flows. The allocation may have ended.
    pub(crate) fn forget_peers(
        &mut self,
        id: AllocationId,
        (five_tuple, port): (FiveTuple, AllocationPort),
        gone: &dyn Fn(SocketAddr) -> bool,
    ) {
        if self.indicated_peers.of(id).is_empty() {
            return;
        }
        for peer in self.indicated_peers.take(id, &|peer| gone(peer.address())) {
            self.uninstall(self.send_key(five_tuple, peer));
            let allocation = self.allocations.get(id);
            let how = allocation.and_then(|allocation| self.allocations.hears(allocation, peer));
            // If a channel is bound to the peer, this key is the channel's flow.
            if !matches!(how, Some(ToClient::Channel(_))) {
                self.uninstall(peer_key(port, peer));
            }
        }
    }

    /// Forgets the peers of allocation `id` that the peer policy denies although their addresses have permissions.
    pub(crate) fn forget_denied_peers(&mut self, id: AllocationId, of: (FiveTuple, AllocationPort)) {
        let peers = self.indicated_peers.of(id).iter();
        let denied: Vec<_> = peers.filter(|peer| !self.may_remember(**peer)).map(|peer| peer.address()).collect();
        self.forget_peers(id, of, &|peer| denied.contains(&peer));
    }

    /// The flow from the client of `allocation` to `peer`.
    const fn send_flow(&self, allocation: &Allocation, peer: PeerSocket) -> Flow {
        let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
        flow_to_peer(self.send_key(five_tuple, peer), five_tuple, port, peer)
    }

    /// The flow from `peer` to the client of `allocation`, if the client gets Data indications.
    fn data_flow(&self, allocation: &Allocation, peer: PeerSocket) -> Option<Flow> {
        let (five_tuple, port) = (allocation.five_tuple(), allocation.port());
        let is_indicated = self.allocations.hears(allocation, peer) == Some(ToClient::Indication);
        is_indicated.then(|| flow_to_client(five_tuple, port, peer, Leaving::Data))
    }

    const fn send_key(&self, from: FiveTuple, peer: PeerSocket) -> FlowKey {
        let remote: SocketAddr = from.client.address();
        FlowKey { remote, local_port: self.config.listen_port, carries: Arriving::Send(peer.address()) }
    }
}
