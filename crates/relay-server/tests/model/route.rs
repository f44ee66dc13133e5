//! The reference model's routes of application data.

use std::{net::SocketAddr, time::Duration};

use relay_server::{
    AllocationPort, Arriving, ChannelNumber, DropReason, Encapsulation, Family, FiveTuple, Flow, FlowKey, Forward,
    Leaving, Timestamp, Via,
};

use crate::{
    cast,
    reference::{Allocation, Channel, Reference},
};

/// The route of data: source, destination, and encapsulation.
pub(crate) type Route = (Via, SocketAddr, Wrapping);

/// The encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Bare,
    /// With the DF bit.
    Unfragmented,
    Channel(u16),
    /// A Data indication from this peer.
    Data(SocketAddr),
}

/// The route of a [`Forward`].
pub(crate) fn route(forward: &Forward) -> Route {
    let wrapping = match forward.encapsulation {
        Encapsulation::Bare => Wrapping::Bare,
        Encapsulation::Unfragmented => Wrapping::Unfragmented,
        Encapsulation::Channel(number) => Wrapping::Channel(number.get()),
        Encapsulation::Data { peer, .. } => Wrapping::Data(peer),
    };
    (forward.from, forward.to, wrapping)
}

impl Reference {
    /// Of ChannelData: RFC 8656, section 12.6.
    pub(crate) fn route_of_client(&self, five_tuple: FiveTuple, number: u16) -> Result<Route, DropReason> {
        let allocation = self.allocations.iter().find(|allocation| allocation.five_tuple == five_tuple);
        let allocation = allocation.ok_or(DropReason::NoAllocation)?;
        let channel = allocation.bound().find(|channel| channel.number == number).ok_or(DropReason::NoChannel)?;
        self.to_peer(allocation, channel.peer)
    }

    /// Of a Send indication: RFC 8656, section 11.2.
    pub(crate) fn route_of_send(
        &self,
        five_tuple: FiveTuple,
        peer: SocketAddr,
        dont_fragment: bool,
    ) -> Result<Route, DropReason> {
        if !self.config.indications {
            return Err(DropReason::SendIndication);
        }
        if dont_fragment && !self.config.dont_fragment {
            return Err(DropReason::UnknownAttribute);
        }
        let allocation = self.allocations.iter().find(|allocation| allocation.five_tuple == five_tuple);
        let allocation = allocation.ok_or(DropReason::NoAllocation)?;
        if !allocation.family_list().contains(&Family::of(peer.ip())) {
            return Err(DropReason::PeerFamilyMismatch);
        }
        if !allocation.permits(peer) {
            return Err(DropReason::NoPermission);
        }
        if cast::forbidden()[cast::FORBIDDEN_ADDRESSES..].contains(&peer) {
            return Err(DropReason::PeerForbidden);
        }
        match self.to_peer(allocation, peer) {
            Ok((leaves, to, Wrapping::Bare)) if dont_fragment => Ok((leaves, to, Wrapping::Unfragmented)),
            route => route,
        }
    }

    /// Of a datagram at a relayed transport address: RFC 8656, section 12.7.
    pub(crate) fn route_of_peer(&self, port: u16, peer: SocketAddr) -> Result<Route, DropReason> {
        let allocation = self.allocations.iter().find(|allocation| allocation.port == port);
        self.to_client(allocation.ok_or(DropReason::UnknownPort)?, peer)
    }

    /// RFC 8656, section 11.5: the client that is sent an ICMP error about a datagram to `peer`, and whether with the MTU. `None` if
    /// indications are off.
    pub(crate) fn icmp(
        &mut self,
        now: Timestamp,
        port: u16,
        peer: SocketAddr,
        (icmp_type, code): (u8, u8),
    ) -> Option<Result<(FiveTuple, bool), DropReason>> {
        if !self.config.indications {
            return None;
        }
        let told_types: &[u8] = if peer.is_ipv4() { &[3, 11] } else { &[1, 2, 3] };
        if !told_types.contains(&icmp_type) {
            return Some(Err(DropReason::UnknownIcmp));
        }
        let Some(allocation) = self.allocations.iter().find(|allocation| allocation.port == port) else {
            return Some(Err(DropReason::UnknownPort));
        };
        if !allocation.permits(peer) && !allocation.bound().any(|channel| channel.peer == peer) {
            return Some(Err(DropReason::UnknownPeer));
        }
        let five_tuple = allocation.five_tuple;
        // A second begins with the first message after the end of the last one.
        if now.saturating_duration_since(self.icmp_since) >= Duration::from_secs(1) {
            self.icmp_since = now;
            self.icmp_told.clear();
        }
        if self.icmp_told.iter().filter(|told| **told == port).count() == 10 {
            return Some(Err(DropReason::IcmpLimit));
        }
        self.icmp_told.push(port);
        let has_mtu = if peer.is_ipv4() { (icmp_type, code) == (3, 4) } else { icmp_type == 2 };
        Some(Ok((five_tuple, has_mtu)))
    }

    /// All flows that a faster data path may forward, including several with the same key.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let mut flows = Vec::new();
        for allocation in &self.allocations {
            for channel in allocation.bound() {
                let inside = self.config.relay_addresses.contains(channel.peer.ip());
                if inside && self.at(channel.peer).is_none() {
                    // The peer may be an allocation of another shard.
                    continue;
                }
                let to_peer = match self.route_of_client(allocation.five_tuple, channel.number) {
                    Ok((leaves, to, Wrapping::Bare)) => (leaves, to, Leaving::Bare),
                    Ok((leaves, to, Wrapping::Channel(number))) => {
                        (leaves, to, Leaving::Channel(ChannelNumber::new(number).unwrap()))
                    }
                    // A faster data path does not forward between clients into Data indications.
                    Ok((_, _, Wrapping::Data(_) | Wrapping::Unfragmented)) | Err(_) => continue,
                };
                let listener = Via::Listener(allocation.five_tuple.server);
                let client = allocation.five_tuple.client.address();
                let number = Leaving::Channel(ChannelNumber::new(channel.number).unwrap());
                let port = AllocationPort::new(allocation.port);
                let to_client_of = inside.then(|| AllocationPort::new(channel.peer.port()));
                let key = self.client_key(allocation, channel);
                flows.push(flow(key, listener, to_peer, (Some(port), to_client_of)));
                if !inside {
                    let key = FlowKey { remote: channel.peer, local_port: allocation.port, carries: Arriving::Bare };
                    flows.push(flow(key, Via::Relay(port), (listener, client, number), (None, Some(port))));
                }
            }
            flows.extend(self.indicated_flows(allocation));
        }
        flows
    }

    /// RFC 8656, section 11: the flows of remembered peers.
    fn indicated_flows(&self, allocation: &Allocation) -> Vec<Flow> {
        let port = AllocationPort::new(allocation.port);
        let listener = Via::Listener(allocation.five_tuple.server);
        let client = allocation.five_tuple.client.address();
        let mut flows = Vec::new();
        for peer in &allocation.remembered {
            let key = self.send_key(allocation, *peer);
            flows.push(flow(key, listener, (Via::Relay(port), *peer, Leaving::Bare), (Some(port), None)));
            if allocation.bound().all(|channel| channel.peer != *peer) {
                let key = FlowKey { remote: *peer, local_port: allocation.port, carries: Arriving::Bare };
                flows.push(flow(key, Via::Relay(port), (listener, client, Leaving::Data), (None, Some(port))));
            }
        }
        flows
    }

    /// The keys of all channels' data from clients, with or without a flow, and of Send indications.
    pub(crate) fn client_keys(&self) -> impl Iterator<Item = FlowKey> {
        self.allocations.iter().flat_map(|allocation| {
            let of_channels = allocation.bound().map(|channel| self.client_key(allocation, channel));
            of_channels.chain(allocation.remembered.iter().map(|peer| self.send_key(allocation, *peer)))
        })
    }

    fn client_key(&self, allocation: &Allocation, channel: &Channel) -> FlowKey {
        let remote = allocation.five_tuple.client.address();
        let carries = Arriving::Channel(ChannelNumber::new(channel.number).unwrap());
        FlowKey { remote, local_port: self.config.listen_port, carries }
    }

    fn send_key(&self, allocation: &Allocation, peer: SocketAddr) -> FlowKey {
        let remote = allocation.five_tuple.client.address();
        FlowKey { remote, local_port: self.config.listen_port, carries: Arriving::Send(peer) }
    }

    /// The route of data from `allocation` to `peer`. Data to the relay itself does not leave it.
    fn to_peer(&self, allocation: &Allocation, peer: SocketAddr) -> Result<Route, DropReason> {
        match self.at(peer) {
            Some(other) => {
                let address = self.config.relay_addresses.of(Family::of(peer.ip())).unwrap();
                self.to_client(other, SocketAddr::new(address, allocation.port))
            }
            None => Ok((Via::Relay(AllocationPort::new(allocation.port)), peer, Wrapping::Bare)),
        }
    }

    /// RFC 8656, section 11.3: a channel takes precedence over a Data indication.
    fn to_client(&self, allocation: &Allocation, peer: SocketAddr) -> Result<Route, DropReason> {
        let FiveTuple { client, server } = allocation.five_tuple;
        let wrapping = match allocation.bound().find(|channel| channel.peer == peer) {
            Some(channel) => Wrapping::Channel(channel.number),
            None if !allocation.permits(peer) => return Err(DropReason::UnknownPeer),
            None if cast::forbidden()[cast::FORBIDDEN_ADDRESSES..].contains(&peer) => {
                return Err(DropReason::PeerForbidden);
            }
            None => Wrapping::Data(peer),
        };
        Ok((Via::Listener(server), client.address(), wrapping))
    }

    /// The allocation with this relayed transport address.
    fn at(&self, address: SocketAddr) -> Option<&Allocation> {
        let family = Family::of(address.ip());
        let own = self.config.relay_addresses.of(family) == Some(address.ip());
        self.allocations
            .iter()
            .find(|allocation| own && allocation.port == address.port() && allocation.family_list().contains(&family))
    }
}

impl Allocation {
    fn bound(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|channel| channel.bound)
    }

    /// Whether it has a permission for the address of `peer`.
    fn permits(&self, peer: SocketAddr) -> bool {
        self.permissions.iter().any(|(address, _)| *address == peer.ip())
    }
}

fn flow(
    key: FlowKey,
    arrives: Via,
    (leaves, to, leaves_in): (Via, SocketAddr, Leaving),
    (from_client_of, to_client_of): (Option<AllocationPort>, Option<AllocationPort>),
) -> Flow {
    Flow { key, arrives, leaves, to, leaves_in, from_client_of, to_client_of }
}
