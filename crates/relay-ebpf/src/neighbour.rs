//! Neighbours that kept next hops lead to.

use core::net::IpAddr;

use crate::address::Address;

/// A neighbour that packets were forwarded to: the key of the map `NEIGHBOURS`. The value is when its Ethernet address was
/// last looked up, in ticks of the kernel's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Neighbour {
    address: Address,
    interface: u32,
}

const _: () = assert!(size_of::<Neighbour>() == 20 && align_of::<Neighbour>() == 4, "shared with the kernel program");

impl Neighbour {
    /// The IPv4 neighbour whose address lies in a header as `word`, on the interface of that index.
    #[must_use]
    #[inline(always)]
    pub const fn from_v4_word(word: u32, interface: u32) -> Self {
        Self { address: Address::from_v4_word(word), interface }
    }

    /// The IPv6 neighbour whose address lies in a header as `words`.
    #[must_use]
    #[inline(always)]
    pub const fn from_v6_words(words: [u32; 4], interface: u32) -> Self {
        Self { address: Address(words), interface }
    }

    /// The neighbour of that address, on the interface of that index.
    #[must_use]
    pub fn new(ip: IpAddr, interface: u32) -> Self {
        Self { address: ip.into(), interface }
    }

    /// Its IP address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.to_ip()
    }

    /// The index of the interface that it is behind: of a VLAN's own, where it is on a VLAN.
    #[must_use]
    pub const fn interface(&self) -> u32 {
        self.interface
    }
}
