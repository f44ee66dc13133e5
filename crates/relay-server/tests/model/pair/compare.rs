//! Compares the whole visible state of the relay with the reference model.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use relay_server::{AllocationPort, Family, FiveTuple};

use super::Pair;
use crate::{cast, ledger::Row, reference::Allocation};

impl Pair {
    pub(super) fn compare(&mut self) {
        assert_eq!(self.relay.take_sent(), None, "nobody asked");
        for event in self.relay.take_events() {
            self.ledger.enter(&event);
        }
        self.compare_allocations();
        self.compare_sockets();
        self.compare_flows();
        let due = self.relay.server.poll_timeout();
        assert_eq!(due, self.reference.next_deadline(), "the next time-out");
        assert!(due.is_none_or(|due| due > self.relay.now));
        self.compare_routes();
    }

    fn compare_allocations(&self) {
        let told = self.reference.allocations.iter().filter(|allocation| allocation.opening.is_none());
        let mut rows: Vec<Row> = told.map(row).collect();
        rows.sort();
        assert_eq!(self.ledger.rows(), rows, "what the events say");

        let mut expected: Vec<_> = self.reference.allocations.iter().map(details).collect();
        expected.sort();
        let real = self.relay.server.allocations().map(|real| {
            let mut channels: Vec<_> = real
                .channels()
                .iter()
                .map(|channel| {
                    (channel.number().get(), channel.peer().address(), channel.is_bound(), channel.expires_at())
                })
                .collect();
            channels.sort();
            let permissions = real.permissions().iter();
            let mut permissions: Vec<_> =
                permissions.map(|permission| (permission.address(), permission.expires_at())).collect();
            permissions.sort();
            let families = real.families().iter();
            let families: Vec<_> = families.map(|family| (family, real.family_expires_at(family).unwrap())).collect();
            let name = real.owner().username().to_string();
            (real.five_tuple(), name, real.transaction_id(), real.port().get(), families, channels, permissions)
        });
        let mut real: Vec<_> = real.collect();
        real.sort();
        assert_eq!(real, expected);
        assert_eq!(self.relay.server.allocation_count(), expected.len());
    }

    fn compare_sockets(&self) {
        let open = self.reference.allocations.iter().flat_map(|allocation| {
            let families = match &allocation.opening {
                Some(opening) => opening.opened.clone(),
                None => allocation.family_list(),
            };
            families.into_iter().map(|family| (AllocationPort::new(allocation.port), family))
        });
        assert_eq!(self.relay.sockets, open.collect::<BTreeSet<_>>(), "open sockets");
        let opening = self.reference.allocations.iter().filter(|allocation| allocation.opening.is_some());
        let opening: BTreeSet<u16> = opening.map(|allocation| allocation.port).collect();
        let pending: Vec<u16> = self.relay.pending.iter().map(|(_, port, _)| port.get()).collect();
        assert_eq!(pending.len(), opening.len(), "one socket at a time");
        assert_eq!(pending.into_iter().collect::<BTreeSet<_>>(), opening);
    }

    /// Compares the installed flows with those that the relay would forward. If two channels have the same key, one of them may be
    /// installed, or none after the other has ended.
    fn compare_flows(&mut self) {
        let flows = self.reference.flows();
        let by_key: BTreeMap<_, _> = flows.iter().map(|flow| (flow.key, *flow)).collect();
        self.note_contested();
        for flow in self.relay.flows.values() {
            assert!(flows.contains(flow), "{flow:?} is none of {flows:#?}");
        }
        for flow in by_key.values().filter(|flow| !self.contested.contains(&flow.key)) {
            assert_eq!(self.relay.flows.get(&flow.key), Some(flow));
        }
        let told: BTreeSet<_> = self.relay.server.flows().into_iter().map(|flow| format!("{flow:?}")).collect();
        assert_eq!(told, flows.iter().map(|flow| format!("{flow:?}")).collect(), "what it would tell anew");
        self.contested.retain(|key| by_key.contains_key(key));
    }

    fn note_contested(&mut self) {
        let mut keys = BTreeSet::new();
        for key in self.reference.client_keys() {
            if !keys.insert(key) {
                self.contested.insert(key);
            }
        }
    }

    /// Compares the routes of data from every client on every channel and to every peer, and from every peer to every port. Without
    /// the outside peers if only other steps are to make the relay remember these.
    fn compare_routes(&mut self) {
        for index in 0..cast::CLIENTS {
            for number in cast::NUMBERS {
                self.channel_data(index, number, 4, 0);
            }
        }
        let ports: BTreeSet<u16> = self.reference.allocations.iter().map(|allocation| allocation.port).collect();
        let addresses = self.reference.config.relay_addresses;
        let inside = ports.iter().flat_map(|port| {
            [Family::V4, Family::V6].map(|family| addresses.of(family).map(|address| SocketAddr::new(address, *port)))
        });
        let outside = if self.asks_outside { cast::OUTSIDE.len() } else { 0 };
        let peers: Vec<SocketAddr> = inside.flatten().chain((0..outside).map(cast::outside)).collect();
        for index in 0..cast::CLIENTS {
            for peer in &peers {
                self.send_indication(index, Some(*peer), Some(4), None);
            }
        }
        for port in ports.into_iter().chain([50_000, 49_999]) {
            for peer in &peers {
                self.peer_datagram(port, *peer, 4);
            }
        }
        self.note_contested();
    }
}

fn row(allocation: &Allocation) -> Row {
    let channels = allocation.channels.iter().map(|channel| (channel.number, channel.peer, channel.bound));
    let mut channels: Vec<_> = channels.collect();
    channels.sort();
    let permissions = allocation.permissions.iter().map(|(address, _)| *address);
    let mut permissions: Vec<_> = permissions.collect();
    permissions.sort();
    (allocation.five_tuple, allocation.port, allocation.family_list(), channels, permissions)
}

type Details = (
    FiveTuple,
    String,
    [u8; 12],
    u16,
    Vec<(Family, relay_server::Timestamp)>,
    Vec<(u16, SocketAddr, bool, relay_server::Timestamp)>,
    Vec<(IpAddr, relay_server::Timestamp)>,
);

fn details(allocation: &Allocation) -> Details {
    let name = String::from_utf8(cast::credentials(allocation.user).username).unwrap();
    let channels = allocation.channels.iter();
    let channels = channels.map(|channel| (channel.number, channel.peer, channel.bound, channel.expires_at));
    let mut channels: Vec<_> = channels.collect();
    channels.sort();
    let mut permissions = allocation.permissions.clone();
    permissions.sort();
    let families = allocation.families.clone();
    (allocation.five_tuple, name, allocation.transaction, allocation.port, families, channels, permissions)
}
