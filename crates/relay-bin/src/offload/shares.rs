//! Limits how much of the kernel's table each allocation uses.

use std::{collections::HashMap, net::SocketAddr};

use relay_server::{Arriving, FlowKey};

/// The number of flows of each allocation of one worker, with a limit. Otherwise one client that binds thousands of channels, or
/// sends indications to dozens of peers, could fill the table, and new clients would stay in user space.
///
/// The key of a flow identifies the allocation: by the client's address for flows from the client, by the relayed port for flows
/// from peers. Each direction counts separately, so nothing has to be stored for each flow.
#[derive(Debug)]
pub(super) struct FlowShares {
    channels_each: u32,
    held: HashMap<Holder, u32>,
}

/// An allocation, as the keys of its flows identify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Holder {
    /// By its client's address.
    Client(SocketAddr),
    /// By its port.
    Port(u16),
}

impl Holder {
    /// The allocation of a flow.
    pub(super) const fn of(key: &FlowKey) -> Self {
        match key.carries {
            Arriving::Channel(_) | Arriving::Send(_) => Self::Client(key.remote),
            Arriving::Bare => Self::Port(key.local_port),
        }
    }
}

impl FlowShares {
    /// Allows `channels_each` channels and indication peers for each allocation, which are as many flows in each direction.
    pub(super) fn new(channels_each: u32) -> Self {
        Self { channels_each, held: HashMap::new() }
    }

    /// Whether the allocation's share has room for the flow.
    pub(super) fn has_room(&self, key: &FlowKey) -> bool {
        self.held.get(&Holder::of(key)).is_none_or(|held| *held < self.channels_each)
    }

    /// Counts an installed flow.
    pub(super) fn add(&mut self, key: &FlowKey) {
        *self.held.entry(Holder::of(key)).or_default() += 1;
    }

    /// Counts a removed flow.
    pub(super) fn remove(&mut self, key: &FlowKey) {
        let holder = Holder::of(key);
        match self.held.get_mut(&holder) {
            Some(held) if *held > 1 => *held -= 1,
            _ => _ = self.held.remove(&holder),
        }
        if self.held.len() < self.held.capacity() / 4 {
            let twice = self.held.len() * 2;
            self.held.shrink_to(twice);
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_server::ChannelNumber;

    use super::*;

    fn from_client(port: u16, channel: u16) -> FlowKey {
        let remote = SocketAddr::from(([198, 51, 100, 7], port));
        FlowKey { remote, local_port: 3478, carries: Arriving::Channel(ChannelNumber::new(0x4000 + channel).unwrap()) }
    }

    fn from_peer(local_port: u16, peer: u16) -> FlowKey {
        FlowKey { remote: SocketAddr::from(([203, 0, 113, 9], peer)), local_port, carries: Arriving::Bare }
    }

    #[test]
    fn peers_of_indications_count_as_channels_do() {
        let send = |port, peer| {
            let carries = Arriving::Send(SocketAddr::from(([203, 0, 113, 9], peer)));
            FlowKey { carries, ..from_client(port, 0) }
        };
        let mut shares = FlowShares::new(3);
        assert_eq!(taken(&mut shares, |peer| send(50_000, peer)), 3);
        assert_eq!(taken(&mut shares, |channel| from_client(50_000, channel)), 0);
        shares.remove(&send(50_000, 1));
        assert_eq!(taken(&mut shares, |channel| from_client(50_000, channel)), 1);
    }

    /// Adds as many of ten flows as there is room for. Returns their number.
    fn taken(shares: &mut FlowShares, key: impl Fn(u16) -> FlowKey) -> usize {
        let take = |number: &u16| {
            let has_room = shares.has_room(&key(*number));
            if has_room {
                shares.add(&key(*number));
            }
            has_room
        };
        (0..10).filter(take).count()
    }

    #[test]
    fn each_allocation_has_its_share_each_way_and_what_ends_makes_room() {
        let mut shares = FlowShares::new(3);
        for allocation in [50_000, 50_001] {
            assert_eq!(taken(&mut shares, |channel| from_client(allocation, channel)), 3);
            assert_eq!(taken(&mut shares, |peer| from_peer(allocation, peer)), 3);
        }
        shares.remove(&from_client(50_000, 1));
        assert_eq!(taken(&mut shares, |channel| from_client(50_000, channel)), 1);
        assert_eq!(taken(&mut shares, |peer| from_peer(50_000, peer)), 0);
        for allocation in [50_000, 50_001] {
            for number in 0..3 {
                shares.remove(&from_client(allocation, number));
                shares.remove(&from_peer(allocation, number));
            }
        }
        assert!(shares.held.is_empty());
    }
}
