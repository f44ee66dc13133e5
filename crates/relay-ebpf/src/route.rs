//! What a packet is found by, and all fields of what leaves.

use core::net::SocketAddr;

use crate::{
    address::{Address, Be16},
    checksum::{self, fold},
    indication,
    seal::seal,
    wire::UDP,
};

/// What a relayed packet is found by: the key of the map `FLOWS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct FlowKey {
    pub(crate) remote: Address,
    pub(crate) remote_port: Be16,
    pub(crate) local_port: Be16,
    /// The channel number of ChannelData; 0 if bare. With its highest bit set, half of what stands for the peer of a Send indication.
    pub(crate) carries: Be16,
    /// The other half; 0 if it is no Send indication.
    pub(crate) peer: Be16,
}

const _: () = assert!(size_of::<FlowKey>() == 24 && align_of::<FlowKey>() == 8, "shared with the kernel program");

/// An odd number without a pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl FlowKey {
    /// The key of packets from `remote` to the relay's port `local_port` that carry `channel`, if any.
    #[must_use]
    pub fn new(remote: SocketAddr, local_port: u16, channel: Option<u16>) -> Self {
        Self::from_fields(
            remote.ip().into(),
            Be16::new(remote.port()),
            Be16::new(local_port),
            Be16::new(channel.unwrap_or(0)),
        )
    }

    /// The key of Send indications from `remote` to the relay's port `local_port` with data for `peer`.
    ///
    /// It has 31 bits that stand for the peer: two keys of one client may be equal by chance. The route says for which peer it is.
    #[must_use]
    pub fn of_send(remote: SocketAddr, local_port: u16, peer: SocketAddr) -> Self {
        let mut key = Self::new(remote, local_port, None);
        key.set_peer(&peer.ip().into(), Be16::new(peer.port()));
        key
    }

    #[inline(always)]
    pub(crate) const fn from_fields(remote: Address, remote_port: Be16, local_port: Be16, channel: Be16) -> Self {
        Self { remote, remote_port, local_port, carries: channel, peer: Be16::from_raw(0) }
    }

    /// Makes it the key of Send indications for this peer.
    #[inline(always)]
    pub(crate) const fn set_peer(&mut self, peer: &Address, port: Be16) {
        let [first, last] = peer.pairs();
        let peer = (first ^ port.raw() as u64).wrapping_mul(MIX);
        let peer = (peer ^ peer >> 32 ^ last).wrapping_mul(MIX);
        let peer = (peer >> 32) as u32;
        self.carries = Be16::low_bits_of(peer >> 16 | 0x8000);
        self.peer = Be16::low_bits_of(peer);
    }

    /// The transaction ID of a Data indication: a number drawn at random, and what peers and ports tell apart. No client looks at it, and
    /// nothing is answered to it.
    #[inline(always)]
    pub(crate) const fn transaction_id(&self, random: u32) -> [u32; 3] {
        let ports = self.remote_port.raw() as u32 | (self.local_port.raw() as u32) << 16;
        [random, self.remote.0[3], ports]
    }

    /// Whether it is the key of ChannelData.
    #[inline(always)]
    pub(crate) const fn is_channel(&self) -> bool {
        self.carries.get() >> 14 == 0b01
    }
}

/// All that a packet of one flow becomes, worked out beforehand: the first part of an [`Entry`](crate::Entry).
///
/// The kernel may hand an entry that is deleted while a program reads it to another flow. Therefore a route ends with a
/// check word over all of it and over its key. A reader that finds it right for its packet's key has neither a mixture of two
/// routes nor another flow's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Route {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    /// The first 16 bits in front of the data that leaves: a channel number, the message type of a Data indication, or 0 if there is
    /// nothing in front.
    pub(crate) channel: Be16,
    /// What to add to the one's complement sum under a UDP checksum, but for the length of the payload, and for all of an indication.
    pub(crate) checksum_change: u16,
    /// The sum of the arriving pseudo-header, but for its length.
    pub(crate) arriving_pseudo_header: u16,
    /// The sum of the leaving IPv4 header's addresses.
    pub(crate) leaving_addresses: u16,
    /// The first word of a leaving IPv6 header with traffic class 0; 0 if IPv4 leaves.
    pub(crate) version_and_label: u32,
    pub(crate) local: Address,
    pub(crate) check: u64,
}

const _: () = assert!(size_of::<Route>() == 72 && align_of::<Route>() == 8, "shared with the kernel program");

impl Route {
    /// The number of 64-bit words that a route is.
    pub const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    pub(crate) fn new(
        key: FlowKey,
        local: Address,
        (source, source_port): (Address, Be16),
        (destination, destination_port): (Address, Be16),
        channel: Be16,
        flow_label: u32,
    ) -> Self {
        let protocol = u32::from(u16::from(UDP).to_be());
        let arriving = checksum::address(&key.remote) + checksum::address(&local);
        let leaving = checksum::address(&source) + checksum::address(&destination);
        let old = arriving + raw(key.remote_port) + raw(key.local_port) + channel_data(key.carries);
        let new = leaving + raw(source_port) + raw(destination_port) + channel_data(channel);
        let mut route = Self {
            source,
            destination,
            source_port,
            destination_port,
            channel,
            checksum_change: fold(u32::from(fold(new)) + u32::from(!fold(old))),
            arriving_pseudo_header: fold(arriving + protocol),
            leaving_addresses: fold(leaving),
            version_and_label: if destination.is_v4() { 0 } else { (0x6000_0000 | (flow_label & 0xf_ffff)).to_be() },
            local,
            check: 0,
        };
        route.check = route.seal(&key);
        route
    }

    /// Whether it leads there.
    #[cfg(feature = "loader")]
    pub(crate) fn is_to(&self, destination: &SocketAddr) -> bool {
        self.destination == destination.ip().into() && self.destination_port.get() == destination.port()
    }

    /// The address that packets leave from.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> &Address {
        &self.source
    }

    /// The address that packets go to.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> &Address {
        &self.destination
    }

    /// The UDP port that packets leave from.
    #[must_use]
    #[inline(always)]
    pub const fn source_port(&self) -> Be16 {
        self.source_port
    }

    /// The UDP port that packets go to.
    #[must_use]
    #[inline(always)]
    pub const fn destination_port(&self) -> Be16 {
        self.destination_port
    }

    /// Version, `traffic_class` and flow label of a leaving IPv6 header, in network byte order.
    #[must_use]
    #[inline(always)]
    pub const fn first_word(&self, traffic_class: u8) -> u32 {
        self.version_and_label | ((traffic_class as u32) << 20).to_be()
    }

    /// Whether packets leave in a Data indication.
    #[inline(always)]
    pub(crate) const fn leaves_in_data(&self) -> bool {
        self.channel.raw() == indication::DATA.raw()
    }

    /// Whether packets that leave by this route are IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn leaves_as_v4(&self) -> bool {
        self.version_and_label == 0
    }

    /// Whether this is the whole route of packets of `key` that were sent to `local`.
    #[inline(always)]
    pub(crate) const fn is_for(&self, key: &FlowKey, local: &Address) -> bool {
        differences(&self.local, local) == 0 && self.check == self.seal(key)
    }

    /// The check word of this route under `key`.
    #[inline(always)]
    const fn seal(&self, key: &FlowKey) -> u64 {
        let ports = pair(self.source_port, self.destination_port)
            | pair(self.channel, Be16::from_raw(self.checksum_change)) << 32;
        let sums = pair(Be16::from_raw(self.arriving_pseudo_header), Be16::from_raw(self.leaving_addresses));
        let [source, destination, local, remote] =
            [self.source.pairs(), self.destination.pairs(), self.local.pairs(), key.remote.pairs()];
        seal(&[
            source[0],
            source[1],
            destination[0],
            destination[1],
            ports,
            sums | (self.version_and_label as u64) << 32,
            local[0],
            local[1],
            remote[0],
            remote[1],
            pair(key.remote_port, key.local_port) | pair(key.carries, key.peer) << 32,
        ])
    }
}

/// Two numbers side by side.
#[inline(always)]
const fn pair(low: Be16, high: Be16) -> u64 {
    low.raw() as u64 | (high.raw() as u64) << 16
}

/// The bits in which any two words differ: no branch, as the answer is nearly always that none do.
#[inline(always)]
const fn differences(one: &Address, other: &Address) -> u32 {
    (one.0[0] ^ other.0[0]) | (one.0[1] ^ other.0[1]) | (one.0[2] ^ other.0[2]) | (one.0[3] ^ other.0[3])
}

fn raw(number: Be16) -> u32 {
    u32::from(number.raw())
}

/// What a ChannelData header, if this is one's number, adds to a UDP checksum's sum, but for the length in it: its number, and 4 bytes more in both of
/// the lengths summed (that of the UDP header and that of the pseudo-header).
fn channel_data(number: Be16) -> u32 {
    if number.get() >> 14 == 0b01 { raw(number) + 2 * u32::from(4_u16.to_be()) } else { 0 }
}
