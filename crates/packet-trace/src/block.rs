//! The framing that all pcapng blocks share, and the byte order of a section.

/// Section Header Block. Its number is the same in both byte orders.
pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE_DESCRIPTION: u32 = 1;
/// Packet Block: obsolete, but found in old files.
pub(crate) const PACKET: u32 = 2;
pub(crate) const SIMPLE_PACKET: u32 = 3;
pub(crate) const INTERFACE_STATISTICS: u32 = 5;
pub(crate) const ENHANCED_PACKET: u32 = 6;
/// A custom block that tools may copy to another file.
pub(crate) const CUSTOM: u32 = 0x0bad;

pub(crate) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Private Enterprise Number of our custom blocks: the one reserved for documentation (RFC 5612), as the project has
/// none of its own. [`CUSTOM_MAGIC`] tells our blocks from others with this number.
pub(crate) const ENTERPRISE: u32 = 32473;
/// The first bytes of the data of our custom blocks; JSON follows.
pub(crate) const CUSTOM_MAGIC: &[u8] = b"firezone-relay-trace\n";
/// The first bytes of the data of our custom blocks with a part of a shard's state.
pub(crate) const SNAPSHOT_MAGIC: &[u8] = b"firezone-relay-snapshot\n";

/// The longest block in bytes. A longer one means that the file is corrupt, and is not read into memory.
pub(crate) const MAX_BLOCK: u32 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Big,
    Little,
}

impl ByteOrder {
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        })
    }

    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        })
    }

    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u64::from_be_bytes(bytes),
            Self::Little => u64::from_le_bytes(bytes),
        })
    }
}

/// Appends a little-endian block of `kind`. `write` appends the body; this adds padding and both lengths.
pub(crate) fn write(kind: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    write(out);
    pad(at, out);
    // Our own blocks contain a UDP datagram, a header or 1 MiB of a state: much less than 4 GiB.
    let length = u32::try_from(out.len() - at + 4).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out[at + 4..at + 8].copy_from_slice(&length);
}

/// Appends zeros until the length of `out` after `start` is a multiple of 4 bytes.
pub(crate) fn pad(start: usize, out: &mut Vec<u8>) {
    let length = (out.len() - start).next_multiple_of(4);
    out.resize(start + length, 0);
}
