//! Finds attributes in messages that may be damaged.

use std::net::SocketAddr;

use super::address;

pub(crate) const HEADER_LEN: usize = 20;
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
pub(crate) const LIFETIME: u16 = 0x000d;
pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA: u16 = 0x0013;
pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(crate) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
pub(crate) const ICMP: u16 = 0x8004;
pub(crate) const SOFTWARE: u16 = 0x8022;

/// The values of the attributes of type `number` in a message that may be damaged.
pub(crate) fn find_all(message: &[u8], number: u16) -> impl Iterator<Item = &[u8]> {
    iterate(message).filter_map(move |(found, value)| (found == number).then_some(value))
}

/// The attribute types of a message that may be damaged, in order.
pub(crate) fn types(message: &[u8]) -> impl Iterator<Item = u16> {
    iterate(message).map(|(number, _)| number)
}

/// Whether a message is signed, with either hash. In a truncated message USERNAME tells so: it precedes MESSAGE-INTEGRITY, and comes only
/// with it.
pub(crate) fn is_signed(message: &[u8]) -> bool {
    iterate_cut(message).any(|(number, ..)| matches!(number, USERNAME | MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256))
}

/// The value of the first attribute of type `number`.
pub(crate) fn find(message: &[u8], number: u16) -> Option<&[u8]> {
    find_all(message, number).next()
}

/// The type number and value of each attribute of a message that may be damaged, as far as they can be read.
pub(crate) fn iterate(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iterate_cut(message).map_while(|(number, value, length)| (value.len() == length).then_some((number, value)))
}

/// The type number, the captured part of the value, and the length of the whole value of each attribute of a message that may be truncated.
fn iterate_cut(message: &[u8]) -> impl Iterator<Item = (u16, &[u8], usize)> {
    let mut at = HEADER_LEN;
    std::iter::from_fn(move || {
        let (&[t0, t1, l0, l1], after) = message.get(at..)?.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        at += 4 + length.next_multiple_of(4);
        Some((u16::from_be_bytes([t0, t1]), &after[..after.len().min(length)], length))
    })
}

/// The captured part of the first attribute of type `number` in a truncated message, and the length of its whole value.
pub(crate) fn find_cut(message: &[u8], number: u16) -> Option<(&[u8], usize)> {
    iterate_cut(message).find_map(|(found, value, length)| (found == number).then_some((value, length)))
}

/// The XORed addresses in the attributes of type `number`.
pub(crate) fn addresses(message: &[u8], number: u16) -> impl Iterator<Item = SocketAddr> {
    find_all(message, number).filter_map(|value| address::read(value, message.get(4..20)).ok())
}

/// The peer of a STUN message: its first XOR-PEER-ADDRESS.
pub(crate) fn peer(message: &[u8]) -> Option<SocketAddr> {
    let value = find(message, XOR_PEER_ADDRESS)?;
    address::read(value, message.get(4..20)).ok()
}
