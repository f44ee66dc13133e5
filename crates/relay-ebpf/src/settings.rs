//! The settings of the kernel program, which are fixed when it is loaded.

/// The kernel program's read-only global `SETTINGS`. Numbers are in the byte order of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The UDP port that clients send to.
    pub listen_port: u16,
    /// The lowest port of allocations.
    pub lowest_port: u16,
    /// The highest port of allocations, inclusive.
    pub highest_port: u16,
    /// 1 to look up the next hop in the host's routing table, 0 to send to the Ethernet address that a packet came from.
    pub look_up_next_hop: u8,
    /// 1 to count forwarded packets, 0 to save the time.
    pub statistics: u8,
    /// A CPU sends a `STATS` event when its number of forwarded packets has none of these bits set: the number of packets per
    /// event, a power of two, less one.
    pub event_mask: u32,
    /// How long a next hop is kept: the binary logarithm of a number of ticks of the kernel's clock.
    pub period: u16,
    /// 1 if frames may be in several buffers. Only the first buffer can be accessed directly.
    pub multi_buffer: u16,
}

impl Settings {
    /// The settings of a program that passes every packet.
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
