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
pub(crate) const ICMP: u16 = 0x8004;

/// The values of the attributes of type `number` in a message that may be damaged.
pub(crate) fn find_all(message: &[u8], number: u16) -> impl Iterator<Item = &[u8]> {
    iterate(message).filter_map(move |(found, value)| (found == number).then_some(value))
}

/// The attribute types of a message that may be damaged, in order.
pub(crate) fn types(message: &[u8]) -> impl Iterator<Item = u16> {
    iterate(message).map(|(number, _)| number)
}

/// The value of the first attribute of type `number`.
pub(crate) fn find(message: &[u8], number: u16) -> Option<&[u8]> {
    find_all(message, number).next()
}

/// The type number and value of each attribute of a message that may be damaged, as far as they can be read.
pub(crate) fn iterate(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut at = HEADER_LEN;
    std::iter::from_fn(move || {
        let (&[t0, t1, l0, l1], after) = message.get(at..)?.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        at += 4 + length.next_multiple_of(4);
        Some((u16::from_be_bytes([t0, t1]), after.get(..length)?))
    })
}

/// The peer of a STUN message: its first XOR-PEER-ADDRESS.
pub(crate) fn peer(message: &[u8]) -> Option<SocketAddr> {
    let value = find(message, XOR_PEER_ADDRESS)?;
    address::read(value, message.get(4..20)).ok()
}
