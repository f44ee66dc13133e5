use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::{AllocationPort, Family};

/// The public addresses of the relay. At least one is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayAddresses {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl RelayAddresses {
    /// The addresses that are set.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }

    /// The address of this family.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.of(Family::of(address)) == Some(address)
    }

    /// The relayed transport address with this port, in this family.
    #[must_use]
    pub fn socket(&self, family: Family, port: AllocationPort) -> Option<SocketAddr> {
        self.of(family).map(|address| SocketAddr::new(address, port.get()))
    }

    pub(crate) fn socket_v4(&self, port: AllocationPort) -> Option<SocketAddrV4> {
        self.v4.map(|address| SocketAddrV4::new(address, port.get()))
    }

    pub(crate) fn socket_v6(&self, port: AllocationPort) -> Option<SocketAddrV6> {
        self.v6.map(|address| SocketAddrV6::new(address, port.get(), 0, 0))
    }
}
