//! Addresses and 16-bit numbers in network byte order, as in headers and map entries.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An unsigned 16-bit number in network byte order: a port, a channel number, a length.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Be16(u16);

impl Be16 {
    /// Converts `value` from the processor's byte order.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be())
    }

    /// The value in the processor's byte order.
    #[must_use]
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }

    /// Converts the low 16 bits of `value` from the processor's byte order.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "what it is for")]
    pub(crate) const fn low_bits_of(value: u32) -> Self {
        Self::new(value as u16)
    }

    /// Takes bits in network byte order.
    #[inline(always)]
    pub(crate) const fn from_raw(bits: u16) -> Self {
        Self(bits)
    }

    /// The stored bits, for operations that do not depend on byte order: comparisons and checksums.
    #[must_use]
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Be16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// An IP address in 16 bytes of network byte order. IPv4 addresses are mapped (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Address(pub(crate) [u32; 4]);

/// The third word of a mapped IPv4 address.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// Maps an IPv4 address, given as its 4 bytes in a header.
    #[inline(always)]
    pub(crate) const fn from_v4_word(word: u32) -> Self {
        Self([0, 0, MAPPED, word])
    }

    /// The 4 bytes of a mapped IPv4 address, as in a header.
    #[must_use]
    #[inline(always)]
    pub const fn v4_word(&self) -> u32 {
        self.0[3]
    }

    /// All 16 bytes, as in an IPv6 header.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        self.0
    }

    /// The same as two 64-bit words, for operations that do not depend on byte order.
    #[inline(always)]
    pub(crate) const fn pairs(&self) -> [u64; 2] {
        let [a, b, c, d] = self.0;
        [a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32]
    }

    /// Whether this is a mapped IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.0[0] == 0 && self.0[1] == 0 && self.0[2] == MAPPED
    }

    /// The address in its usual form.
    #[must_use]
    pub fn to_ip(&self) -> IpAddr {
        let mut octets = [0; 16];
        for (bytes, word) in octets.chunks_exact_mut(4).zip(self.0) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        Ipv6Addr::from(octets).to_canonical()
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.octets();
        Self([
            u32::from_ne_bytes([a, b, c, d]),
            u32::from_ne_bytes([e, f, g, h]),
            u32::from_ne_bytes([i, j, k, l]),
            u32::from_ne_bytes([m, n, o, p]),
        ])
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(ip).to_ip(), ip);
            assert_eq!(Address::from(ip).is_v4(), ip.is_ipv4());
        }
    }

    #[test]
    fn numbers_lie_in_network_byte_order() {
        assert_eq!(Be16::new(0x1234).raw().to_ne_bytes(), [0x12, 0x34]);
        assert_eq!(Be16::new(0x1234).get(), 0x1234);
    }
}
