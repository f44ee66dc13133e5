//! The relay's addresses of one family, as they are chosen at start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The relay's addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyAddresses {
    /// What clients are told.
    pub(crate) public: IpAddr,
    /// What the listening sockets are bound to: one address, or all of them.
    pub(crate) listen: IpAddr,
    /// What the sockets of allocations are bound to: `public` if this machine has it.
    pub(crate) relay: IpAddr,
    /// Where this machine reaches its own allocations: `public`, unless a NAT translates that.
    pub(crate) local: IpAddr,
}

/// Where the addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Options.
    Given,
    /// This machine's routes.
    Detected,
    /// There are no routes: only this machine itself can be served.
    Loopback,
}

impl FamilyAddresses {
    /// Everything at one local address.
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
