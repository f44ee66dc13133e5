//! The relay's addresses of one family, as they are chosen at the start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The relay's addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyAddresses {
    /// The address that clients get in responses.
    pub(crate) public: IpAddr,
    /// The address of the listening sockets; may be the unspecified one.
    pub(crate) listen: IpAddr,
    /// The address of relay sockets: `public` if this machine has it.
    pub(crate) relay: IpAddr,
    /// The address at which this machine reaches its own allocations: `public`, unless a NAT translates it.
    pub(crate) local: IpAddr,
}

/// How the addresses were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By options.
    Given,
    /// From this machine's routes.
    Detected,
    /// There are no routes: only this machine itself can be served.
    Loopback,
}

impl FamilyAddresses {
    /// Uses one local address for everything.
    pub(crate) const fn at(address: IpAddr) -> Self {
        Self { public: address, listen: address, relay: address, local: address }
    }
}

/// The unspecified address of the family of `address`.
pub(crate) const fn any(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
