//! The entries of the flow map.

use crate::{hop::KeptHop, route::Route, statistics::Counters};

/// A flow's route, its next hop, and what was forwarded by it: the value of the map `FLOWS`.
///
/// User space writes the route; next hop and counters are the program's to write, and all zeros when a flow is installed.
/// With the kernel's own part and the key, an entry takes 192 bytes: three whole cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Entry {
    /// Where its packets go.
    pub route: Route,
    /// The next hop that was found last.
    pub hop: KeptHop,
    /// How many did.
    pub forwarded: Counters,
}

const _: () = assert!(size_of::<Entry>() == 120 && align_of::<Entry>() == 8, "shared with the kernel program");
