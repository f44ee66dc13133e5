//! What the kernel program is told when it is loaded, and never changes after.

/// The kernel program's read-only global `SETTINGS`. Numbers are in the byte order of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The UDP port that clients send to.
    pub listen_port: u16,
    /// The lowest port of allocations.
    pub lowest_port: u16,
    /// The highest port of allocations, itself included.
    pub highest_port: u16,
    /// 1 to look up the next hop in the host's routing table, 0 to answer to the Ethernet address that a packet came from.
    pub look_up_next_hop: u8,
    /// 1 to count what is relayed, 0 to save the time.
    pub statistics: u8,
    /// A CPU sends a `STATS` event whenever its number of packets forwarded has none of these bits: one less than a power of
    /// two, which is how many packets there are from one event to the next.
    pub event_mask: u32,
    /// For how long a next hop is kept: for this power of two, in ticks of the kernel's clock.
    pub period: u16,
    /// 1 if frames may be in several buffers, of which the first one alone is read and written directly.
    pub multi_buffer: u16,
}

impl Settings {
    /// Of a program that leaves every packet alone.
    pub const NOTHING: Self = Self {
        listen_port: 0,
        lowest_port: 1,
        highest_port: 0,
        look_up_next_hop: 0,
        statistics: 0,
        event_mask: 0,
        period: 0,
        multi_buffer: 0,
    };
}

const _: () = assert!(size_of::<Settings>() == 16 && align_of::<Settings>() == 4, "shared with the kernel program");
