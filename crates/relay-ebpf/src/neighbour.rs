//! The neighbours that packets are forwarded to.

use core::net::IpAddr;

use crate::address::Address;

/// A neighbour that packets were forwarded to: the key of the map `NEIGHBOURS`. The value is the time of the last look-up of
/// its Ethernet address, in ticks of the kernel's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Neighbour {
    address: Address,
    interface: u32,
}

const _: () = assert!(size_of::<Neighbour>() == 20 && align_of::<Neighbour>() == 4, "shared with the kernel program");

impl Neighbour {
    /// The IPv4 neighbour with address `word`, as in a header, on the interface with this index.
    #[must_use]
    #[inline(always)]
    pub const fn from_v4_word(word: u32, interface: u32) -> Self {
        Self { address: Address::from_v4_word(word), interface }
    }

    /// The IPv6 neighbour with address `words`, as in a header, on the interface with this index.
    #[must_use]
    #[inline(always)]
    pub const fn from_v6_words(words: [u32; 4], interface: u32) -> Self {
        Self { address: Address(words), interface }
    }

    /// The neighbour with this address, on the interface with this index.
    #[must_use]
    pub fn new(ip: IpAddr, interface: u32) -> Self {
        Self { address: ip.into(), interface }
    }

    /// Its IP address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.to_ip()
    }

    /// The index of its interface. On a VLAN, that is the VLAN interface's.
    #[must_use]
    pub const fn interface(&self) -> u32 {
        self.interface
    }
}
