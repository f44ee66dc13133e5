//! The headers that are read and written, in their wire format.

use crate::address::Be16;

/// A header: any bit pattern is a value, it has no padding, and it is made of whole 32-bit words.
///
/// # Safety
/// Implementers are `repr(C)`, aligned to 4 bytes, a multiple of 4 bytes long, have no padding bytes, and every bit pattern
/// of their size is a valid value.
pub unsafe trait Wire: Copy + Default {}

macro_rules! wire {
    ($($header:ident is $size:literal),* $(,)?) => { $(
        const _: () = assert!(size_of::<$header>() == $size && $size % 4 == 0, "padding or a wrong field");
        const _: () = assert!(align_of::<$header>() == 4, "a wrong alignment");
        // SAFETY: repr(C), made of integers and arrays of integers only, with the alignment asserted above. The size
        // asserted above is the sum of the fields' sizes, which leaves no room for padding.
        unsafe impl Wire for $header {}
    )* };
}

wire!(Ethernet is 16, Tag is 4, Ipv4 is 20, Ipv6 is 40, Udp is 8, ChannelData is 4);

macro_rules! wire_words {
    ($($words:literal),*) => { $(
        // SAFETY: an array of 32-bit integers.
        unsafe impl Wire for [u32; $words] {}
    )* };
}

wire_words!(1, 2, 4, 5, 7);

/// EtherTypes, in network byte order.
pub(crate) const ETHER_TYPE_IPV4: Be16 = Be16::new(0x0800);
pub(crate) const ETHER_TYPE_IPV6: Be16 = Be16::new(0x86dd);
pub(crate) const ETHER_TYPE_VLAN: Be16 = Be16::new(0x8100);
/// The protocol number of UDP, in IPv4's protocol field and IPv6's next header.
pub(crate) const UDP: u8 = 17;
/// Masks of the IPv4 flags and offset field: don't fragment, and all other bits, which are zero in a whole packet.
pub(crate) const DONT_FRAGMENT: Be16 = Be16::new(0x4000);
pub(crate) const FRAGMENT: Be16 = Be16::new(0xbfff);

/// An Ethernet address.
pub type MacAddress = [u8; 6];

/// The length of a header in bytes.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "headers have tens of bytes")]
pub(crate) const fn length_of<T: Wire>() -> u32 {
    size_of::<T>() as u32
}

/// The length of an Ethernet II header.
pub(crate) const ETHERNET: u32 = 14;
/// The length of an Ethernet II header with an IEEE 802.1Q tag.
pub(crate) const ETHERNET_TAGGED: u32 = ETHERNET + length_of::<Tag>();

/// The destination and source address of an Ethernet frame, 48 bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct MacAddresses([u32; 3]);

impl MacAddresses {
    /// The addresses of a frame from `source` to `destination`.
    #[must_use]
    pub const fn new(destination: MacAddress, source: MacAddress) -> Self {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (destination, source);
        Self([u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]), u32::from_ne_bytes([i, j, k, l])])
    }

    /// Takes the words of a frame's first 12 bytes.
    #[must_use]
    #[inline(always)]
    pub const fn from_words(words: [u32; 3]) -> Self {
        Self(words)
    }

    /// The words of a frame's first 12 bytes.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u32; 3] {
        self.0
    }

    /// The addresses of a reply.
    #[must_use]
    #[inline(always)]
    pub const fn swapped(self) -> Self {
        let [first, middle, last] = [self.0[0].to_le(), self.0[1].to_le(), self.0[2].to_le()];
        Self([
            (middle >> 16 | last << 16).to_le(),
            (last >> 16 | first << 16).to_le(),
            (first >> 16 | middle << 16).to_le(),
        ])
    }

    /// Whether the destination is a group address.
    #[inline(always)]
    pub(crate) const fn is_to_group(self) -> bool {
        self.0[0].to_le() & 1 != 0
    }
}

/// An Ethernet II header, and the two bytes after it: accesses are in whole words, and a longer header always follows.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Ethernet {
    pub(crate) addresses: MacAddresses,
    pub(crate) ether_type: Be16,
    pub(crate) next: Be16,
}

/// What follows an Ethernet header with EtherType 0x8100 (IEEE 802.1Q).
#[derive(Clone, Copy, Default)]
#[repr(C, align(4))]
pub(crate) struct Tag {
    /// Priority, drop eligibility and VLAN identifier.
    pub(crate) control: Be16,
    pub(crate) ether_type: Be16,
}

/// An IPv4 header without options (<https://www.rfc-editor.org/rfc/rfc791#section-3.1>).
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Ipv4 {
    pub(crate) version_and_length: u8,
    pub(crate) dscp_and_ecn: u8,
    pub(crate) total_length: Be16,
    pub(crate) identification: Be16,
    pub(crate) flags_and_offset: Be16,
    pub(crate) time_to_live: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: u16,
    pub(crate) source: u32,
    pub(crate) destination: u32,
}

impl Ipv4 {
    /// The sum of all 16-bit words but the checksum and the addresses.
    #[inline(always)]
    pub(crate) const fn sum_of_first_words(&self) -> u32 {
        u16::from_ne_bytes([self.version_and_length, self.dscp_and_ecn]) as u32
            + self.total_length.raw() as u32
            + self.identification.raw() as u32
            + self.flags_and_offset.raw() as u32
            + u16::from_ne_bytes([self.time_to_live, self.protocol]) as u32
    }
}

/// An IPv6 header (<https://www.rfc-editor.org/rfc/rfc8200#section-3>).
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Ipv6 {
    /// Version, traffic class and flow label, in network byte order.
    pub(crate) version_class_label: u32,
    pub(crate) payload_length: Be16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u32; 4],
    pub(crate) destination: [u32; 4],
}

/// A UDP header (<https://www.rfc-editor.org/rfc/rfc768>).
#[derive(Clone, Copy, Default)]
#[repr(C, align(4))]
pub(crate) struct Udp {
    pub(crate) source: Be16,
    pub(crate) destination: Be16,
    pub(crate) length: Be16,
    pub(crate) checksum: u16,
}

/// A ChannelData header (<https://www.rfc-editor.org/rfc/rfc8656#section-12.4>).
#[derive(Clone, Copy, Default)]
#[repr(C, align(4))]
pub(crate) struct ChannelData {
    pub(crate) number: Be16,
    pub(crate) length: Be16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_where_the_question_came_from() {
        let (one, other) = ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]);
        assert_eq!(MacAddresses::new(one, other).swapped(), MacAddresses::new(other, one));
    }

    #[test]
    fn groups_are_told_by_the_first_bit_sent() {
        assert!(MacAddresses::new([0x33, 0x33, 0, 0, 0, 1], [2, 0, 0, 0, 0, 1]).is_to_group());
        assert!(!MacAddresses::new([2, 1, 1, 1, 1, 1], [0xff; 6]).is_to_group());
    }
}
