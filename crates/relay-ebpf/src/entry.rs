//! The entries of the flow map.

use crate::{hop::KeptHop, route::Route, statistics::Counters};

/// The value of the map `FLOWS`: a flow's route, its next hop, and its counters.
///
/// User space writes the route. The kernel program writes next hop and counters, which are zero when a flow is installed.
/// With its key and the kernel's own data, an entry takes 192 bytes: three whole cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Entry {
    /// How its packets are forwarded.
    pub route: Route,
    /// The next hop that was looked up last.
    pub hop: KeptHop,
    /// The forwarded packets.
    pub forwarded: Counters,
}

const _: () = assert!(size_of::<Entry>() == 120 && align_of::<Entry>() == 8, "shared with the kernel program");
