//! Who may relay what where.

use std::net::SocketAddr;

use relay_server::{AllocationPort, ChannelNumber, DropReason, Family, FiveTuple, Flow, FlowKey, Via};

use crate::reference::{Allocation, Channel, Reference};

/// Where data goes: from, to, and in which channel.
pub(crate) type Route = (Via, SocketAddr, Option<ChannelNumber>);

impl Reference {
    /// ChannelData: RFC 8656, section 12.6.
    pub(crate) fn route_of_client(&self, five_tuple: FiveTuple, number: u16) -> Result<Route, DropReason> {
        let allocation = self.allocations.iter().find(|allocation| allocation.five_tuple == five_tuple);
        let allocation = allocation.ok_or(DropReason::NoAllocation)?;
        let channel = allocation.bound().find(|channel| channel.number == number).ok_or(DropReason::NoChannel)?;
        match self.at(channel.peer) {
            // What this relay sends to itself need not go out first.
            Some(other) => self.to_client(other, self.relayed(allocation, channel)),
            None => Ok((Via::Relay(AllocationPort::new(allocation.port)), channel.peer, None)),
        }
    }

    /// A datagram at a relayed transport address: RFC 8656, section 12.7.
    pub(crate) fn route_of_peer(&self, port: u16, peer: SocketAddr) -> Result<Route, DropReason> {
        let allocation = self.allocations.iter().find(|allocation| allocation.port == port);
        self.to_client(allocation.ok_or(DropReason::UnknownPort)?, peer)
    }

    /// Every flow that a faster data path may forward, both of the same key included.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let mut flows = Vec::new();
        for allocation in &self.allocations {
            for channel in allocation.bound() {
                let inside = self.config.relay_addresses.contains(channel.peer.ip());
                if inside && self.at(channel.peer).is_none() {
                    // Perhaps an allocation of another shard, which only that one knows of.
                    continue;
                }
                let Ok(route) = self.route_of_client(allocation.five_tuple, channel.number) else { continue };
                let listener = Via::Listener(allocation.five_tuple.server);
                let client = allocation.five_tuple.client.address();
                let number = ChannelNumber::new(channel.number);
                flows.push(flow(self.client_key(allocation, channel), listener, route));
                if !inside {
                    let key = FlowKey { remote: channel.peer, local_port: allocation.port, channel: None };
                    flows.push(flow(key, Via::Relay(AllocationPort::new(allocation.port)), (listener, client, number)));
                }
            }
        }
        flows
    }

    /// What each channel's data from the client is known by, whether there is a flow or not.
    pub(crate) fn client_keys(&self) -> impl Iterator<Item = FlowKey> {
        self.allocations
            .iter()
            .flat_map(|allocation| allocation.bound().map(|channel| self.client_key(allocation, channel)))
    }

    fn client_key(&self, allocation: &Allocation, channel: &Channel) -> FlowKey {
        let remote = allocation.five_tuple.client.address();
        FlowKey { remote, local_port: self.config.listen_port, channel: ChannelNumber::new(channel.number) }
    }

    fn to_client(&self, allocation: &Allocation, peer: SocketAddr) -> Result<Route, DropReason> {
        let channel = allocation.bound().find(|channel| channel.peer == peer).ok_or(DropReason::UnknownPeer)?;
        let FiveTuple { client, server } = allocation.five_tuple;
        Ok((Via::Listener(server), client.address(), ChannelNumber::new(channel.number)))
    }

    /// The allocation that has this relayed transport address.
    fn at(&self, address: SocketAddr) -> Option<&Allocation> {
        let family = Family::of(address.ip());
        let own = self.config.relay_addresses.of(family) == Some(address.ip());
        self.allocations
            .iter()
            .find(|allocation| own && allocation.port == address.port() && allocation.family_list().contains(&family))
    }

    /// The relayed transport address that data in `channel` leaves from.
    fn relayed(&self, allocation: &Allocation, channel: &Channel) -> SocketAddr {
        let address = self.config.relay_addresses.of(Family::of(channel.peer.ip())).unwrap();
        SocketAddr::new(address, allocation.port)
    }
}

impl Allocation {
    fn bound(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|channel| channel.bound)
    }
}

fn flow(key: FlowKey, arrives: Via, (leaves, to, channel): Route) -> Flow {
    Flow { key, arrives, leaves, to, channel }
}
