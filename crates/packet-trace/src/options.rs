//! The options at the end of pcapng blocks.

use crate::block::{self, ByteOrder};

pub(crate) const END: u16 = 0;
pub(crate) const COMMENT: u16 = 1;
pub(crate) const SECTION_APPLICATION: u16 = 4;
pub(crate) const INTERFACE_NAME: u16 = 2;
pub(crate) const INTERFACE_RESOLUTION: u16 = 9;
pub(crate) const INTERFACE_OFFSET: u16 = 14;
pub(crate) const PACKET_FLAGS: u16 = 2;
pub(crate) const PACKET_DROPPED: u16 = 4;
/// A custom option of bytes that tools may copy to another file.
pub(crate) const CUSTOM: u16 = 2989;
pub(crate) const STATISTICS_RECEIVED: u16 = 4;
pub(crate) const STATISTICS_DROPPED: u16 = 5;

/// Iterates over the options in `bytes`, up to the end-of-options mark or the first malformed option.
pub(crate) fn iterate(order: ByteOrder, bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let code = order.u16(bytes, at)?;
        let length = usize::from(order.u16(bytes, at + 2)?);
        if code == END {
            return None;
        }
        let value = bytes.get(at + 4..at + 4 + length)?;
        at += 4 + length.next_multiple_of(4);
        Some((code, value))
    })
}

/// Appends one option. A value that is too long for an option is cut.
pub(crate) fn write(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX - 3);
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&value[..usize::from(length)]);
    block::pad(at, out);
}

/// What follows the enterprise number in the custom option with the shard of a packet, before the shard's number.
const SHARD_MAGIC: [u8; 4] = *b"shrd";

/// Appends the shard of a packet.
pub(crate) fn write_shard(shard: u32, out: &mut Vec<u8>) {
    let value = [block::ENTERPRISE.to_le_bytes(), SHARD_MAGIC, shard.to_le_bytes()].concat();
    write(CUSTOM, &value, out);
}

/// The shard in the value of a custom option, if it is one of ours.
pub(crate) fn shard(order: ByteOrder, value: &[u8]) -> Option<u32> {
    let is_ours = order.u32(value, 0) == Some(block::ENTERPRISE) && value.get(4..8) == Some(&SHARD_MAGIC);
    if is_ours { order.u32(value, 8) } else { None }
}

/// Appends the end-of-options mark.
pub(crate) fn write_end(out: &mut Vec<u8>) {
    write(END, &[], out);
}
