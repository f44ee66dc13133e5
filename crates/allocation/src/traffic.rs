//! What an allocation has relayed.

use std::{cell::Cell, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// A number of packets, and the bytes of application data in them, without any headers: neither IP nor UDP, ChannelData or STUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// The number of packets.
    pub packets: u64,
    /// Their application data, in bytes.
    pub bytes: u64,
}

impl Traffic {
    /// Counts one packet with `bytes` bytes of application data.
    #[inline]
    pub const fn count(&mut self, bytes: usize) {
        // Wraps only after years: 2^64 bytes take more than 40 years at 100 Gbit/s.
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What an allocation has relayed in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relayed {
    /// From its client to peers.
    pub to_peers: Traffic,
    /// From peers to its client.
    pub from_peers: Traffic,
}

impl Relayed {
    /// The bytes of both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.to_peers.bytes.saturating_add(self.from_peers.bytes)
    }
}

impl AddAssign for Relayed {
    fn add_assign(&mut self, other: Self) {
        self.to_peers += other.to_peers;
        self.from_peers += other.from_peers;
    }
}

/// Counts what an allocation relays. It uses cells, as look-ups of the data path return shared references.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    to_peers: Counter,
    from_peers: Counter,
}

/// One cell for each number, so that each is updated in place.
#[derive(Debug, Default)]
struct Counter {
    packets: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    #[inline]
    pub(crate) fn count_to_peer(&self, bytes: usize) {
        self.to_peers.count(bytes);
    }

    #[inline]
    pub(crate) fn count_from_peer(&self, bytes: usize) {
        self.from_peers.count(bytes);
    }

    /// A meter that has counted `relayed`.
    pub(crate) const fn of(relayed: Relayed) -> Self {
        Self { to_peers: Counter::of(relayed.to_peers), from_peers: Counter::of(relayed.from_peers) }
    }

    pub(crate) const fn read(&self) -> Relayed {
        Relayed { to_peers: self.to_peers.read(), from_peers: self.from_peers.read() }
    }
}

impl Counter {
    #[inline]
    fn count(&self, bytes: usize) {
        self.packets.set(self.packets.get().wrapping_add(1));
        self.bytes.set(self.bytes.get().wrapping_add(bytes as u64));
    }

    const fn of(traffic: Traffic) -> Self {
        Self { packets: Cell::new(traffic.packets), bytes: Cell::new(traffic.bytes) }
    }

    const fn read(&self) -> Traffic {
        Traffic { packets: self.packets.get(), bytes: self.bytes.get() }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn each_way_counts_by_itself() {
        let meter = Meter::default();
        meter.count_to_peer(0);
        meter.count_to_peer(1200);
        meter.count_from_peer(7);
        let relayed =
            Relayed { to_peers: Traffic { packets: 2, bytes: 1200 }, from_peers: Traffic { packets: 1, bytes: 7 } };
        assert_eq!(meter.read(), relayed);
        let mut twice = relayed;
        twice += relayed;
        assert_eq!(twice.bytes(), 2 * 1207);
    }
}
