//! What the rewrite asks of the host it runs on.

use crate::{
    address::Be16,
    reason::Reason,
    route::{FlowKey, Route},
    settings::Settings,
    wire::MacAddresses,
};

/// The host: in the kernel, maps and helper functions; elsewhere, whatever a caller models it by.
///
/// Answers come through mutable references and plain integers: the shape that the kernel's verifier follows best.
pub trait Host {
    /// The ports, and how to find the next hop.
    fn settings(&self) -> Settings;

    /// Copies the route of `key`, front to back. False if there is none.
    #[must_use]
    fn route(&mut self, key: &FlowKey, route: &mut Route) -> bool;

    /// Asks the routing table for the next hop of what leaves by `route`, and fills in `link`: with
    /// [`Reason::Forwarded`]. Any other reason passes the packet to user space.
    #[must_use]
    fn next_hop(&mut self, route: &Route, leaving: &Leaving, link: &mut Link) -> Reason;

    /// Whether an IP packet of `length` bytes can leave by the interface that the frame arrived on.
    #[must_use]
    fn fits(&mut self, length: u32) -> bool;

    /// A number that an IPv4 packet's fragments could be told from others' by.
    #[must_use]
    fn identification(&mut self) -> u16;

    /// A number that nobody can tell beforehand: of transaction IDs.
    #[must_use]
    fn random(&mut self) -> u32;
}

/// What is decided about the IP packet that leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// How many bytes it and what follows it in the frame have.
    pub length: u32,
    /// DSCP and ECN: IPv4's type of service, IPv6's traffic class.
    pub traffic_class: u8,
    /// Time to live or hop limit.
    pub hops: u8,
}

/// How frames leave by an interface: an entry of the map `DEVICES`, whose key is the interface's index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Device {
    /// The index of the interface to send by: of a VLAN's, the one beneath it.
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
    /// Makes `link` leave by this device, given that the frame came in by `arrived_on`. Between two VLANs, the frame keeps
    /// its priority.
    #[inline(always)]
    pub fn apply(&self, arrived_on: u32, link: &mut Link) {
        let priority = if link.tagged == 0 { 0 } else { link.control & PRIORITY.raw() };
        link.control = priority | self.vlan.raw();
        link.tagged = u8::from(self.tagged != 0);
        link.redirected = u8::from(self.interface != arrived_on);
        link.interface = self.interface;
    }
}

/// The link layer of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The Ethernet addresses it is for and from.
    pub addresses: MacAddresses,
    /// The IEEE 802.1Q control field (priority and VLAN), in network byte order, if `tagged`.
    pub control: u16,
    /// 1 if the frame has an IEEE 802.1Q tag, 0 if not.
    pub tagged: u8,
    /// 1 if it leaves by `interface`, 0 if by the one it came in by.
    pub redirected: u8,
    /// The index of the interface it leaves by, if `redirected`.
    pub interface: u32,
}
