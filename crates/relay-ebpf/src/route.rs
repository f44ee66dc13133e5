//! The key and the value of a flow in the flow map: how a packet is found, and the fields of its new headers.

use core::net::SocketAddr;

use crate::{
    address::{Address, Be16},
    checksum::{self, fold},
    indication,
    seal::seal,
    wire::UDP,
};

/// Identifies the flow of a packet: the key of the map `FLOWS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct FlowKey {
    pub(crate) remote: Address,
    pub(crate) remote_port: Be16,
    pub(crate) local_port: Be16,
    /// The channel number of ChannelData, or 0 for a plain datagram. With the highest bit set, half of a hash of a Send
    /// indication's peer.
    pub(crate) carries: Be16,
    /// The other half of the hash; 0 if not a Send indication.
    pub(crate) peer: Be16,
}

const _: () = assert!(size_of::<FlowKey>() == 24 && align_of::<FlowKey>() == 8, "shared with the kernel program");

/// The odd 64-bit number nearest to 2^64 divided by the golden ratio, as used in multiplicative hashing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl FlowKey {
    /// The key of packets from `remote` to the relay's port `local_port`: in ChannelData of `channel`, or plain.
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
    /// It contains 31 bits of a hash of the peer, so two keys of one client may be equal by chance. The route names the peer.
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

    /// Makes this the key of Send indications for this peer.
    #[inline(always)]
    pub(crate) const fn set_peer(&mut self, peer: &Address, port: Be16) {
        let [first, last] = peer.pairs();
        let peer = (first ^ port.raw() as u64).wrapping_mul(MIX);
        let peer = (peer ^ peer >> 32 ^ last).wrapping_mul(MIX);
        let peer = (peer >> 32) as u32;
        self.carries = Be16::low_bits_of(peer >> 16 | 0x8000);
        self.peer = Be16::low_bits_of(peer);
    }

    /// The transaction ID of a Data indication: a random number, and the peer's address and the ports to make it unique. Clients
    /// do not use it, and do not respond.
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

/// The new headers of a flow's packets, computed in advance: the first part of an [`Entry`](crate::Entry).
///
/// The kernel may give an entry that is deleted to another flow while a program still reads it. So a route ends with a
/// check word over all its fields and its key. If the check word is right for the packet's key, the copy is neither a mixture of two
/// routes nor the route of another flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Route {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    /// The first 16 bits in front of the leaving data: a channel number, the message type of a Data indication, or 0 for a plain
    /// datagram.
    pub(crate) channel: Be16,
    /// What to add to the one's complement sum of a UDP checksum; without the payload's length, and without an indication.
    pub(crate) checksum_change: u16,
    /// The sum of the arriving packet's pseudo-header, without its length.
    pub(crate) arriving_pseudo_header: u16,
    /// The sum of the addresses in the leaving IPv4 header.
    pub(crate) leaving_addresses: u16,
    /// The first word of the leaving IPv6 header, with traffic class 0; 0 if the leaving packet is IPv4.
    pub(crate) version_and_label: u32,
    pub(crate) local: Address,
    pub(crate) check: u64,
}

const _: () = assert!(size_of::<Route>() == 72 && align_of::<Route>() == 8, "shared with the kernel program");

impl Route {
    /// The number of 64-bit words in a route.
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

    /// Whether its packets go to `destination`.
    #[cfg(feature = "loader")]
    pub(crate) fn is_to(&self, destination: &SocketAddr) -> bool {
        self.destination == destination.ip().into() && self.destination_port.get() == destination.port()
    }

    /// The address that packets are sent from.
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> &Address {
        &self.source
    }

    /// The address that packets are sent to.
    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> &Address {
        &self.destination
    }

    /// The UDP port that packets are sent from.
    #[must_use]
    #[inline(always)]
    pub const fn source_port(&self) -> Be16 {
        self.source_port
    }

    /// The UDP port that packets are sent to.
    #[must_use]
    #[inline(always)]
    pub const fn destination_port(&self) -> Be16 {
        self.destination_port
    }

    /// The version, `traffic_class` and flow label of the leaving IPv6 header, in network byte order.
    #[must_use]
    #[inline(always)]
    pub const fn first_word(&self, traffic_class: u8) -> u32 {
        self.version_and_label | ((traffic_class as u32) << 20).to_be()
    }

    /// Whether data leaves in a Data indication.
    #[inline(always)]
    pub(crate) const fn leaves_in_data(&self) -> bool {
        self.channel.raw() == indication::DATA.raw()
    }

    /// Whether the leaving packet is IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn leaves_as_v4(&self) -> bool {
        self.version_and_label == 0
    }

    /// Whether this is the complete route of packets with `key` that were sent to `local`.
    #[inline(always)]
    pub(crate) const fn is_for(&self, key: &FlowKey, local: &Address) -> bool {
        differences(&self.local, local) == 0 && self.check == self.seal(key)
    }

    /// The check word of this route with `key`.
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

/// Two numbers in one word.
#[inline(always)]
const fn pair(low: Be16, high: Be16) -> u64 {
    low.raw() as u64 | (high.raw() as u64) << 16
}

/// The bits in which the addresses differ. Without branches, since they are nearly always equal.
#[inline(always)]
const fn differences(one: &Address, other: &Address) -> u32 {
    (one.0[0] ^ other.0[0]) | (one.0[1] ^ other.0[1]) | (one.0[2] ^ other.0[2]) | (one.0[3] ^ other.0[3])
}

fn raw(number: Be16) -> u32 {
    u32::from(number.raw())
}

/// What a ChannelData header with this number adds to the sum of a UDP checksum, without the length in it: the number, and 4 bytes in
/// each of the two lengths that are summed (in the UDP header and the pseudo-header). 0 if `number` is not a channel number.
fn channel_data(number: Be16) -> u32 {
    if number.get() >> 14 == 0b01 { raw(number) + 2 * u32::from(4_u16.to_be()) } else { 0 }
}
