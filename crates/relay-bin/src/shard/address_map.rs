use std::net::{IpAddr, SocketAddr};

use relay_server::{AllocationPort, PortRange};

/// Where one allocation of this relay reaches another.
///
/// Peers know allocations by the public address. Behind a one-to-one NAT this machine does not have that address, and few NATs
/// send a packet back that comes from inside: so what goes to an allocation of this relay's is sent to its local address, and
/// what comes from one is taken to come from the public address.
#[derive(Clone, Debug)]
pub(crate) struct AddressMap {
    /// Public and local addresses that differ.
    pairs: Vec<(IpAddr, IpAddr)>,
    /// The allocation ports of all shards.
    ports: PortRange,
}

impl AddressMap {
    /// Each pair is a public address and the local one.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (IpAddr, IpAddr)>, ports: PortRange) -> Self {
        Self { pairs: pairs.into_iter().filter(|(public, local)| public != local).collect(), ports }
    }

    /// Where to send what is for `to`.
    pub(crate) fn outgoing(&self, to: SocketAddr) -> SocketAddr {
        self.translate(to, |(public, local)| (public, local))
    }

    /// Who sent what comes from `from`.
    pub(crate) fn incoming(&self, from: SocketAddr) -> SocketAddr {
        self.translate(from, |(public, local)| (local, public))
    }

    fn translate(&self, address: SocketAddr, direction: impl Fn((IpAddr, IpAddr)) -> (IpAddr, IpAddr)) -> SocketAddr {
        for pair in &self.pairs {
            let (from, to) = direction(*pair);
            if address.ip() == from && self.ports.contains(AllocationPort::new(address.port())) {
                return SocketAddr::new(to, address.port());
            }
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn allocations_are_translated_and_nothing_else() {
        let pairs = [("203.0.113.7", "10.0.0.7"), ("2001:db8::7", "2001:db8::7")];
        let pairs = pairs.map(|(public, local)| (public.parse().unwrap(), local.parse().unwrap()));
        let map = AddressMap::new(pairs, PortRange::DYNAMIC);
        for (public, local) in [
            ("203.0.113.7:49152", "10.0.0.7:49152"),
            ("203.0.113.7:65535", "10.0.0.7:65535"),
            ("203.0.113.7:49151", "203.0.113.7:49151"),
            ("203.0.113.8:50000", "203.0.113.8:50000"),
            ("[2001:db8::7]:50000", "[2001:db8::7]:50000"),
        ] {
            assert_eq!(map.outgoing(address(public)), address(local));
            assert_eq!(map.incoming(address(local)), address(public));
        }
    }
}
