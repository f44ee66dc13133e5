//! What became of a packet, and why.

macro_rules! reasons {
    ($( $(#[$meta:meta])* $variant:ident = $number:literal, $name:literal; )*) => {
        /// What became of a packet. The numbers index the kernel program's per-CPU counters (map `REASONS`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Reason {
            $( $(#[$meta])* $variant = $number, )*
        }

        impl Reason {
            /// All of them, in the order of their numbers.
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
    /// Not a UDP packet to a port of the relay: left to the host, and not counted.
    NotOurs = 1, "not_ours";
    /// To the listening port, but neither ChannelData nor a Send indication: other STUN, or anything else. User space's business.
    NotChannelData = 2, "not_channel_data";
    /// No route for it: user space relays it, or drops it.
    NoRoute = 3, "no_route";
    /// The route of its key is for another of the relay's addresses, or changed while it was read.
    OtherRoute = 4, "other_route";
    /// The frame is shorter than its headers say.
    Truncated = 5, "truncated";
    /// The lengths of the IP and UDP headers, or of ChannelData, do not agree. ChannelData with padding is among these.
    LengthMismatch = 6, "length_mismatch";
    /// An IPv4 header with options.
    Ipv4Options = 7, "ipv4_options";
    /// An IPv4 fragment, first or later.
    Fragment = 8, "fragment";
    /// The IPv4 header's checksum is wrong.
    HeaderChecksum = 9, "header_checksum";
    /// The time to live or hop limit does not allow another hop.
    TimeToLive = 10, "time_to_live";
    /// No UDP checksum where IPv6 has or needs one.
    NoChecksum = 11, "no_checksum";
    /// The UDP checksum covers the pseudo-header alone, because this host was to complete it later: a datagram of a local
    /// sender, or several datagrams that generic receive offload merged.
    PartialChecksum = 12, "partial_checksum";
    /// The frame is for an Ethernet group address.
    Multicast = 13, "multicast";
    /// What would leave is larger than the next link, or than IP, can carry.
    TooLarge = 14, "too_large";
    /// The next hop's Ethernet address is not known yet: user space's packet makes the host ask for it.
    NoNeighbour = 15, "no_neighbour";
    /// The host's routing table has no usable route.
    NoNextHop = 16, "no_next_hop";
    /// The kernel refuses route look-ups because forwarding is off on the loopback interface.
    ForwardingOff = 17, "forwarding_off";
    /// It would leave by an interface that the program is not attached to.
    OtherInterface = 18, "other_interface";
    /// The driver left no room in front of the frame for larger headers.
    NoHeadroom = 19, "no_headroom";
    /// The frame could not be written after its size changed: dropped. Never seen, and never expected.
    Aborted = 20, "aborted";
    /// A Send indication of another than the plain shape: XOR-PEER-ADDRESS, DATA, and FINGERPRINT or nothing.
    UnusualIndication = 21, "unusual_indication";
    /// The driver left no room behind the frame for the padding of a Data indication.
    NoTailroom = 22, "no_tailroom";
    /// The frame is in several buffers and would leave by another interface, whose driver may not send such.
    MultiBuffer = 23, "multi_buffer";
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Whether user space gets the packet, untouched.
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
