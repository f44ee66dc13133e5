//! Checks where each client's data goes: in each channel, and in a Send indication to each port.

use std::{collections::BTreeSet, net::SocketAddr};

use relay_server::{
    AllocationPort, Arriving, ChannelNumber, Crossing, Family, Flow, FlowKey, Forward, Leaving, RelayAddresses,
    ShardMessage, Via,
};

use super::{ALL_PORTS, DATA, Entry, SHARDS, World};
use crate::{
    route::{Route, Wrapping, route},
    support::{LISTEN_PORT, RELAY_V4, RELAY_V6, Request, channel_data, kind, method},
};

impl World {
    pub(super) fn check(&mut self) {
        let entries = self.entries();
        let ports: BTreeSet<_> = entries.iter().map(|entry| entry.port).collect();
        assert_eq!(ports.len(), entries.len(), "a port has one allocation");
        self.check_usernames(&entries);
        let mut keys = vec![BTreeSet::new(); SHARDS];
        for entry in &entries {
            for (number, peer) in &entry.channels {
                keys[entry.shard].insert(self.check_channel(&entries, entry, *number, *peer));
            }
            for family in [Family::V4, Family::V6] {
                for port in ALL_PORTS {
                    self.check_send(&entries, entry, relayed(family, AllocationPort::new(port)));
                }
            }
        }
        for (relay, keys) in self.shards.relays.iter_mut().zip(keys) {
            assert!(relay.flows.keys().all(|key| keys.contains(key)), "a flow of a channel that is gone");
            relay.take_events();
        }
    }

    /// Checks where data in a channel goes. Returns the key of its flow.
    fn check_channel(&mut self, entries: &[Entry], entry: &Entry, number: ChannelNumber, peer: SocketAddr) -> FlowKey {
        let Entry { shard, port, five_tuple, .. } = *entry;
        let client = self.clients.iter().find(|client| client.five_tuple() == five_tuple).unwrap();
        let datagram = channel_data(number.get(), DATA);
        let forward = self.shards.relays[shard].receive(client, &datagram);
        let key = FlowKey { remote: client.socket, local_port: LISTEN_PORT, carries: Arriving::Channel(number) };
        let server = client.server;
        let flow = self.shards.relays[shard].flows.get(&key).copied();
        let straight_flow = |(leaves, to, wrapping): Route| match wrapping {
            Wrapping::Channel(channel) => Some(Flow {
                key,
                arrives: Via::Listener(server),
                leaves,
                to,
                leaves_in: Leaving::Channel(ChannelNumber::new(channel).unwrap()),
                from_client_of: Some(port),
                to_client_of: Some(AllocationPort::new(peer.port())),
            }),
            _ => None,
        };
        let way = forward.as_ref().map(|forward| read(forward, &datagram));
        let closing = self.check_way(entries, entry, peer, way);
        // The installed flow is the same, or missing. Until the message of an end has arrived, it may be the old one.
        let same = way.and_then(straight_flow);
        let is_known = |way: &Route| flow.is_none_or(|flow| Some(flow) == straight_flow(*way));
        assert!(flow == same || closing.iter().any(is_known), "{flow:?} in the kernel, {same:?} here");
        key
    }

    /// Checks where a Send indication goes: nowhere without a permission.
    fn check_send(&mut self, entries: &[Entry], entry: &Entry, peer: SocketAddr) {
        let Entry { shard, five_tuple, .. } = *entry;
        let client = self.clients.iter().find(|client| client.five_tuple() == five_tuple).unwrap();
        let send = Request::new(method::SEND | method::INDICATION).with_peer(peer).with(kind::DATA, DATA);
        let datagram = send.unsigned(*b"transaction!");
        let forward = self.shards.relays[shard].receive(client, &datagram);
        let way = forward.as_ref().map(|forward| read(forward, &datagram));
        if entry.permissions.contains(&peer.ip()) {
            self.check_way(entries, entry, peer, way);
        } else {
            assert_eq!(way, None, "without permission");
        }
    }

    /// Checks where data to `peer`, an address of the relay, goes: to the client of that address, in a channel or a Data
    /// indication, or nowhere if that client has neither a channel nor a permission for the sender. Returns the ways whose end
    /// has not been announced to the shard yet.
    fn check_way(&mut self, entries: &[Entry], entry: &Entry, peer: SocketAddr, way: Option<Route>) -> Vec<Route> {
        let Entry { shard, port, .. } = *entry;
        let family = Family::of(peer.ip());
        let far_port = AllocationPort::new(peer.port());
        let source = relayed(family, port);
        let far = entries.iter().find(|far| far.port == far_port && far.families.contains(family));
        let crossing = far.and_then(|far| {
            let back = far.channels.iter().find(|(_, peer)| *peer == source);
            back.map(|(channel, _)| Crossing {
                family,
                from: port,
                to: far_port,
                five_tuple: far.five_tuple,
                channel: *channel,
            })
        });
        let indication = far.filter(|far| far.permissions.contains(&source.ip())).map(|far| {
            let listener = Via::Listener(far.five_tuple.server);
            (listener, far.five_tuple.client.address(), Wrapping::Data(source))
        });

        // The messages about this that are under way to the shard.
        let mut closing = Vec::new();
        let mut is_opening = false;
        for message in self.shards.under_way_to(shard) {
            match message {
                ShardMessage::CrossingClosed(told) if (told.family, told.from, told.to) == (family, port, far_port) => {
                    closing.push(straight(told));
                }
                ShardMessage::CrossingOpened(told) => is_opening |= crossing == Some(*told),
                _ => {}
            }
        }

        let through_socket = (Via::Relay(port), peer, Wrapping::Bare);
        let in_channel = crossing.as_ref().map(straight);
        let arrives = in_channel.or(indication);
        if far.is_some_and(|far| far.shard == shard) {
            assert_eq!(way, arrives);
        } else if way == Some(through_socket) {
            // Data is never lost. It may go through the sockets while a message is under way, or if the port is lent to this shard.
            let is_own = self.shards.relays[shard].server.config().ports.contains(port);
            assert!(in_channel.is_none() || is_opening || !is_own, "the shard should know of {in_channel:?}");
            if let Some(far) = far {
                let there = self.shards.relays[far.shard].receive_from_peer(far_port, source, DATA);
                assert_eq!(there.as_ref().map(|forward| read(forward, DATA)), arrives);
            }
        } else {
            assert!(in_channel.iter().chain(&closing).any(|known| Some(*known) == way), "{way:?}, but {in_channel:?}");
        }
        closing
    }
}

/// The route of a forwarded datagram, whose payload must be [`DATA`].
fn read(forward: &Forward, datagram: &[u8]) -> Route {
    assert_eq!(&datagram[forward.payload.clone()], DATA);
    route(forward)
}

fn straight(crossing: &Crossing) -> Route {
    let to = crossing.five_tuple;
    (Via::Listener(to.server), to.client.address(), Wrapping::Channel(crossing.channel.get()))
}

pub(super) fn relayed(family: Family, port: AllocationPort) -> SocketAddr {
    RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) }.socket(family, port).unwrap()
}
