//! The result for a packet: forwarded, or the reason why not.

macro_rules! reasons {
    ($( $(#[$meta:meta])* $variant:ident = $number:literal, $name:literal; )*) => {
        /// The result for a packet. The numbers index the kernel program's per-CPU counters (map `REASONS`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Reason {
            $( $(#[$meta])* $variant = $number, )*
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// A stable name for metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

reasons! {
    /// Rewritten and sent on.
    Forwarded = 0, "forwarded";
    /// Not a UDP packet to a port of the relay. Passed to the host, and not counted.
    NotOurs = 1, "not_ours";
    /// To the listening port, but neither ChannelData nor a Send indication: other STUN, or anything else, for user space.
    NotChannelData = 2, "not_channel_data";
    /// No route. User space relays the packet or drops it.
    NoRoute = 3, "no_route";
    /// The route is for another address of the relay or another peer, or it changed while it was read.
    OtherRoute = 4, "other_route";
    /// The frame is shorter than its headers say.
    Truncated = 5, "truncated";
    /// The lengths in the IP and UDP headers, or in ChannelData, do not agree. Padded ChannelData is an example.
    LengthMismatch = 6, "length_mismatch";
    /// An IPv4 header with options.
    Ipv4Options = 7, "ipv4_options";
    /// An IPv4 fragment, first or later.
    Fragment = 8, "fragment";
    /// The IPv4 header's checksum is wrong.
    HeaderChecksum = 9, "header_checksum";
    /// The time to live or hop limit is used up.
    TimeToLive = 10, "time_to_live";
    /// There is no UDP checksum, but an arriving or leaving IPv6 packet, or a FINGERPRINT, needs one.
    NoChecksum = 11, "no_checksum";
    /// The UDP checksum covers the pseudo-header only, as this host would complete it later: a datagram of a local
    /// sender, or datagrams merged by generic receive offload.
    PartialChecksum = 12, "partial_checksum";
    /// The frame is for an Ethernet group address.
    Multicast = 13, "multicast";
    /// The resulting packet would be too large for the next link or for IP.
    TooLarge = 14, "too_large";
    /// The next hop's Ethernet address is unknown. The packet goes to user space, and sending it makes the host ask for the address.
    NoNeighbour = 15, "no_neighbour";
    /// The host's routing table has no usable route.
    NoNextHop = 16, "no_next_hop";
    /// The kernel refuses route look-ups, because forwarding is off on the loopback interface.
    ForwardingOff = 17, "forwarding_off";
    /// The packet would leave by an interface that the program is not attached to.
    OtherInterface = 18, "other_interface";
    /// The driver left too little room in front of the frame for larger headers.
    NoHeadroom = 19, "no_headroom";
    /// The frame could not be written after its size had changed, and was dropped. Never seen, and not expected.
    Aborted = 20, "aborted";
    /// A Send indication with another shape than XOR-PEER-ADDRESS, DATA, and optionally FINGERPRINT.
    UnusualIndication = 21, "unusual_indication";
    /// The driver left too little room behind the frame for the padding of a Data indication.
    NoTailroom = 22, "no_tailroom";
    /// The frame is in several buffers and would leave by another interface, whose driver may not support that.
    MultiBuffer = 23, "multi_buffer";
}

impl Reason {
    /// The number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// Whether the packet goes to user space, unchanged.
    #[must_use]
    pub const fn is_passed(self) -> bool {
        !matches!(self, Self::Forwarded | Self::Aborted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indexes() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::COUNT);
    }
}
