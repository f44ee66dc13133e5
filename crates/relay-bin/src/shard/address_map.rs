//! Translates between the public addresses of allocations and this machine's local addresses.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use relay_server::{AllocationPort, Family};

/// Translates addresses of datagrams from one allocation of this relay to another.
///
/// Peers know an allocation by its public address. Behind a one-to-one NAT this machine does not have that address, and few NATs
/// return a packet that comes from inside. So data for an allocation of this relay is sent to its local address, and data that
/// comes from one appears to come from the public address. A port that no allocation holds is not translated: another program of
/// this machine may have it, and is a peer like any other.
#[derive(Clone, Debug)]
pub(crate) struct AddressMap {
    /// Pairs of a public address and the local one, where they differ.
    pairs: Vec<(IpAddr, IpAddr)>,
    held: HeldPorts,
}

impl AddressMap {
    /// Each pair is a public address and the local one. `held` holds the ports of all shards' allocations.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (IpAddr, IpAddr)>, held: HeldPorts) -> Self {
        let mut map = Self { pairs: Vec::new(), held };
        map.set_pairs(pairs);
        map
    }

    /// Replaces the address pairs.
    pub(crate) fn set_pairs(&mut self, pairs: impl IntoIterator<Item = (IpAddr, IpAddr)>) {
        self.pairs.clear();
        self.pairs.extend(pairs.into_iter().filter(|(public, local)| public != local));
    }

    /// The ports of all shards' allocations.
    pub(crate) const fn held(&self) -> &HeldPorts {
        &self.held
    }

    /// The address to send a datagram for `to` to.
    pub(crate) fn outgoing(&self, to: SocketAddr) -> SocketAddr {
        self.translate(to, |(public, local)| (public, local))
    }

    /// The address that a datagram from `from` appears to come from.
    pub(crate) fn incoming(&self, from: SocketAddr) -> SocketAddr {
        self.translate(from, |(public, local)| (local, public))
    }

    fn translate(&self, address: SocketAddr, direction: impl Fn((IpAddr, IpAddr)) -> (IpAddr, IpAddr)) -> SocketAddr {
        for pair in &self.pairs {
            let (from, to) = direction(*pair);
            if address.ip() == from && self.held.contains(address) {
                return SocketAddr::new(to, address.port());
            }
        }
        address
    }
}

/// The ports that allocations of all shards hold: one bit for each port and family. A shard sets the bit before the client gets the
/// success response.
#[derive(Clone, Debug)]
pub(crate) struct HeldPorts(Arc<[AtomicU64]>);

impl HeldPorts {
    const WORDS: usize = 1 << 10;

    /// No port is held.
    pub(crate) fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(2 * Self::WORDS).collect())
    }

    pub(super) fn insert(&self, port: AllocationPort, family: Family) {
        let (word, bit) = self.place(port.get(), family);
        word.fetch_or(bit, Ordering::Release);
    }

    pub(super) fn remove(&self, port: AllocationPort, family: Family) {
        let (word, bit) = self.place(port.get(), family);
        word.fetch_and(!bit, Ordering::Release);
    }

    /// Whether an allocation holds the port of `address`, in its family.
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        let (word, bit) = self.place(address.port(), Family::of(address.ip()));
        word.load(Ordering::Acquire) & bit != 0
    }

    fn place(&self, port: u16, family: Family) -> (&AtomicU64, u64) {
        let base = match family {
            Family::V4 => 0,
            Family::V6 => Self::WORDS,
        };
        (&self.0[base + usize::from(port >> 6)], 1 << (port & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn map() -> AddressMap {
        let pairs = [("203.0.113.7", "10.0.0.7"), ("2001:db8::7", "2001:db8::7")];
        AddressMap::new(
            pairs.map(|(public, local)| (public.parse().unwrap(), local.parse().unwrap())),
            HeldPorts::new(),
        )
    }

    #[test]
    fn allocations_are_translated_and_nothing_else() {
        let map = map();
        for port in [0, 49_152, 50_000, 65_535] {
            map.held().insert(AllocationPort::new(port), Family::V4);
        }
        for (public, local) in [
            ("203.0.113.7:0", "10.0.0.7:0"),
            ("203.0.113.7:49152", "10.0.0.7:49152"),
            ("203.0.113.7:65535", "10.0.0.7:65535"),
            ("203.0.113.7:49153", "203.0.113.7:49153"),
            ("203.0.113.8:50000", "203.0.113.8:50000"),
            ("[2001:db8::7]:50000", "[2001:db8::7]:50000"),
        ] {
            assert_eq!(map.outgoing(address(public)), address(local));
            assert_eq!(map.incoming(address(local)), address(public));
        }
    }

    #[test]
    fn a_port_that_no_allocation_holds_any_more_is_not_an_allocations() {
        let map = map();
        let (public, local) = (address("203.0.113.7:50000"), address("10.0.0.7:50000"));
        let port = AllocationPort::new(50_000);
        map.held().insert(port, Family::V6);
        assert_eq!((map.outgoing(public), map.incoming(local)), (public, local), "of this family");
        map.held().insert(port, Family::V4);
        map.held().insert(AllocationPort::new(50_001), Family::V4);
        assert_eq!((map.outgoing(public), map.incoming(local)), (local, public));
        map.held().remove(port, Family::V4);
        assert_eq!((map.outgoing(public), map.incoming(local)), (public, local));
    }

    #[test]
    fn an_address_that_this_machine_gets_is_not_translated_any_more() {
        let mut map = map();
        map.held().insert(AllocationPort::new(50_000), Family::V4);
        let public = address("203.0.113.7:50000");
        assert_ne!(map.outgoing(public), public);
        map.set_pairs([(public.ip(), public.ip())]);
        assert_eq!(map.outgoing(public), public);
    }
}
