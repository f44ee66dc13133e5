//! The Internet checksum's one's complement arithmetic (<https://www.rfc-editor.org/rfc/rfc1071>).
//!
//! Sums are of 16-bit words as they are in memory: one's complement addition gives the same bytes in either byte
//! order. The folded sum of words that are not all zero is never zero, so an updated checksum equals one computed from scratch
//! in every bit.

use crate::address::Address;

/// Folds a sum of up to 65,536 words to 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "folded twice, the sum has 16 bits")]
pub(crate) const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Folds a sum of a few 32-bit words to 16 bits.
#[inline(always)]
pub(crate) const fn fold_words(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "17 bits and a carry")]
    fold(sum as u32)
}

/// The sum of the two 16-bit halves of `word`: at most 0x1fffe.
#[inline(always)]
pub(crate) const fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// The sum of the part of a pseudo-header that `address` is: 4 bytes for IPv4, 16 for IPv6.
#[inline(always)]
pub(crate) const fn address(address: &Address) -> u32 {
    if address.is_v4() {
        halves(address.v4_word())
    } else {
        halves(address.0[0]) + halves(address.0[1]) + halves(address.0[2]) + halves(address.0[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_the_value_modulo_0xffff() {
        for sum in [1, 0xffff, 0x1_0000, 0x1_ffff, 0xffff_0001, u32::MAX] {
            assert_eq!(u32::from(fold(sum)) % 0xffff, sum % 0xffff, "{sum:#x}");
            assert_ne!(fold(sum), 0);
        }
        assert_eq!(fold(0), 0);
    }

    #[test]
    fn the_mapping_prefix_is_not_part_of_a_pseudo_header() {
        assert_eq!(address(&core::net::Ipv4Addr::new(0, 1, 0, 2).into()), u32::from(3_u16.to_be()));
        assert_ne!(address(&core::net::Ipv6Addr::LOCALHOST.into()), 0);
    }
}
