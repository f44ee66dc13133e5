//! The classic pcap format.

use crate::{LinkType, ReadError, block::ByteOrder, pcapng::to_usize};

pub(crate) const FILE_HEADER: usize = 24;
pub(crate) const RECORD_HEADER: usize = 16;
/// The longest frame in bytes: four times the largest snapshot length of libpcap. A longer one means that the file is corrupt.
const MAX_FRAME: u32 = 1 << 20;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pcap {
    order: ByteOrder,
    nanosecond: bool,
    pub(crate) link: LinkType,
}

pub(crate) struct RecordHeader {
    pub(crate) unix_nanos: u64,
    pub(crate) captured: usize,
    pub(crate) original_len: u32,
}

impl Pcap {
    /// The byte order that the magic number `first` means, and whether times are in nanoseconds.
    fn magic(first: [u8; 4]) -> Option<(ByteOrder, bool)> {
        match u32::from_be_bytes(first) {
            0xa1b2_c3d4 => Some((ByteOrder::Big, false)),
            0xd4c3_b2a1 => Some((ByteOrder::Little, false)),
            0xa1b2_3c4d => Some((ByteOrder::Big, true)),
            0x4d3c_b2a1 => Some((ByteOrder::Little, true)),
            _ => None,
        }
    }

    pub(crate) fn is_magic(first: [u8; 4]) -> bool {
        Self::magic(first).is_some()
    }

    /// Parses a file header of [`FILE_HEADER`] bytes.
    pub(crate) fn parse(header: &[u8]) -> Result<Self, ReadError> {
        let corrupt = ReadError::Corrupt { at: 0, what: "its file header is malformed" };
        let (order, nanosecond) = header.first_chunk().copied().and_then(Self::magic).ok_or(corrupt.clone())?;
        // The upper half is about frame check sequences. They follow the IP packet, so the length in the IP header excludes them.
        let link = order.u32(header, 20).ok_or(corrupt)? & 0xffff;
        let link = LinkType(u16::try_from(link).unwrap_or(u16::MAX));
        if !link.is_supported() {
            return Err(ReadError::UnsupportedLinkType(link));
        }
        Ok(Self { order, nanosecond, link })
    }

    /// Parses the record header of [`RECORD_HEADER`] bytes at byte `at` of the file.
    pub(crate) fn record(self, header: &[u8], at: u64) -> Result<RecordHeader, ReadError> {
        let corrupt = |what| ReadError::Corrupt { at, what };
        let field = |index: usize| self.order.u32(header, index * 4).ok_or(corrupt("its header is too short"));
        let captured = field(2)?;
        if captured > MAX_FRAME {
            return Err(corrupt("it claims to hold more than 1 MiB"));
        }
        let fraction = u64::from(field(1)?) * if self.nanosecond { 1 } else { 1_000 };
        Ok(RecordHeader {
            unix_nanos: u64::from(field(0)?) * 1_000_000_000 + fraction,
            captured: to_usize(captured),
            original_len: field(3)?,
        })
    }
}
