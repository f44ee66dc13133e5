//! The interface between the rewrite and the host that it runs on.

use crate::{
    address::Be16,
    reason::Reason,
    route::{FlowKey, Route},
    settings::Settings,
    wire::MacAddresses,
};

/// The host: maps and helper functions in the kernel, a model elsewhere.
///
/// Results are returned through mutable references and plain integers, which the kernel's verifier handles best.
pub trait Host {
    /// The relay's ports, and how to find next hops.
    fn settings(&self) -> Settings;

    /// Copies the route of `key`, front to back. Returns false if there is none.
    #[must_use]
    fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool;

    /// Looks up the next hop of a packet that leaves by `route`, writes it to `link`, and returns [`Reason::Forwarded`]. With any
    /// other reason, the packet is passed to user space.
    #[must_use]
    fn next_hop(&mut self, route: &Route, leaving: &Leaving, link: &mut Link) -> Reason;

    /// Whether an IP packet of `length` bytes fits the MTU of the interface that the frame arrived on.
    #[must_use]
    fn fits(&mut self, length: u32) -> bool;

    /// The identification of an IPv4 packet that may be fragmented.
    #[must_use]
    fn identification(&mut self) -> u16;

    /// A number that nobody can predict, for transaction IDs.
    #[must_use]
    fn random(&mut self) -> u32;
}

/// Properties of the IP packet that leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// The bytes from the IP header to the end of the frame.
    pub length: u32,
    /// DSCP and ECN: IPv4's type of service, IPv6's traffic class.
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub hops: u8,
}

/// How frames leave by an interface. Value of the map `DEVICES`, whose key is the interface's index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Device {
    /// The index of the interface to send by. For a VLAN interface: that of the interface below it.
    pub interface: u32,
    /// The VLAN identifier in network byte order, if `tagged`.
    pub vlan: Be16,
    /// 1 if frames get an IEEE 802.1Q tag, 0 if not.
    pub tagged: u16,
}

const _: () = assert!(size_of::<Device>() == 8 && align_of::<Device>() == 4, "shared with the kernel program");

/// The priority and drop eligibility bits of an IEEE 802.1Q control field.
const PRIORITY: Be16 = Be16::new(0xf000);

impl Device {
    /// Makes `link` leave by this device, for a frame that arrived on `arrived_on`. A tag's priority is kept from one VLAN to
    /// another.
    #[inline(always)]
    pub fn apply(&self, arrived_on: u32, link: &mut Link) {
        let priority = if link.tagged == 0 { 0 } else { link.control & PRIORITY.raw() };
        link.control = priority | self.vlan.raw();
        link.tagged = u8::from(self.tagged != 0);
        link.redirected = u8::from(self.interface != arrived_on);
        link.interface = self.interface;
    }
}

/// The link layer of the frame that leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its destination and source Ethernet addresses.
    pub addresses: MacAddresses,
    /// The IEEE 802.1Q control field (priority and VLAN), in network byte order, if `tagged`.
    pub control: u16,
    /// 1 if the frame has an IEEE 802.1Q tag, 0 if not.
    pub tagged: u8,
    /// 1 if it leaves by `interface`, 0 if by the interface that it arrived on.
    pub redirected: u8,
    /// The index of the interface that it leaves by, if `redirected`.
    pub interface: u32,
}
