use std::{ops::Range, str};

use crate::{
    InputRecord, Packet, ReadError, ShardSnapshot, TraceHeader,
    block::{self, ByteOrder},
    pcap::{self, Pcap},
    pcapng::{Block, Custom, PacketBlock, Section, to_usize},
    snapshot::Assembly,
};

/// Reads a capture that arrives in pieces.
///
/// For each piece, call [`Self::push`], then [`Self::read`] until it returns `None`. After the last piece, call [`Self::end`], then
/// [`Self::read`] until it returns `None` again.
#[derive(Debug, Default)]
pub struct TraceReader {
    buffer: Vec<u8>,
    /// How many bytes at the beginning of the buffer have been read.
    done: usize,
    /// How many bytes of the file precede the buffer.
    before: u64,
    ended: bool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Beginning,
    Pcap(Pcap),
    PcapNg(Section),
    Failed(ReadError),
}

/// The kinds of files that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Classic pcap.
    Pcap,
    /// pcapng.
    PcapNg,
}

/// One record of a capture.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The header of a relay's own trace, before its first packet.
    Header(Box<TraceHeader>),
    /// The state of a shard when its recording began, before its first packet and input.
    Snapshot(Box<ShardSnapshot>),
    /// An input of the relay other than a packet.
    Input(InputRecord),
    /// A packet.
    Packet(Packet<'a>),
    /// Statistics of an interface, usually at the end.
    Statistics {
        /// The interface, counted as in [`Packet::interface`].
        interface: u32,
        /// How many packets it saw.
        received: Option<u64>,
        /// How many of them are missing from the file.
        dropped: Option<u64>,
    },
}

/// A record with ranges of the buffer, which does not borrow the reader.
enum Found {
    Header(Box<TraceHeader>),
    Snapshot(Box<ShardSnapshot>),
    Input(InputRecord),
    Packet(PacketBlock, usize),
    Statistics { interface: u32, received: Option<u64>, dropped: Option<u64> },
}

impl TraceReader {
    /// A reader at the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.before += self.done as u64;
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Marks the end of the file.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// The kind of file, once enough bytes have been pushed to tell.
    #[must_use]
    pub const fn kind(&self) -> Option<FileKind> {
        match self.state {
            State::Pcap(_) => Some(FileKind::Pcap),
            State::PcapNg(_) => Some(FileKind::PcapNg),
            State::Beginning | State::Failed(_) => None,
        }
    }

    /// The next record; `None` if more bytes are needed or, after [`Self::end`], if there is none.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file. After [`ReadError::BadReplayData`] and [`ReadError::NewerFormat`] reading may go
    /// on: the packets are still good. Every other error is final, and repeated.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        match self.find() {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(self.record(found))),
            Err(error @ (ReadError::BadReplayData { .. } | ReadError::NewerFormat { .. })) => Err(error),
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn find(&mut self) -> Result<Option<Found>, ReadError> {
        loop {
            let at = self.before + self.done as u64;
            let rest = &self.buffer[self.done..];
            match &mut self.state {
                State::Failed(error) => return Err(error.clone()),
                State::Beginning => {
                    if rest.is_empty() && self.ended {
                        return Err(ReadError::Empty);
                    }
                    let Some(&first) = rest.first_chunk::<4>() else {
                        return if self.ended { Err(not_a_capture(rest)) } else { Ok(None) };
                    };
                    if u32::from_be_bytes(first) == block::SECTION_HEADER {
                        self.state = State::PcapNg(Section {
                            order: ByteOrder::Little,
                            first_interface: 0,
                            interfaces: Vec::new(),
                            assembly: Assembly::default(),
                        });
                    } else if Pcap::is_magic(first) {
                        let Some(header) = rest.get(..pcap::FILE_HEADER) else {
                            return incomplete(self.ended, at, pcap::FILE_HEADER - rest.len());
                        };
                        self.state = State::Pcap(Pcap::parse(header)?);
                        self.done += pcap::FILE_HEADER;
                    } else {
                        return Err(not_a_capture(rest));
                    }
                }
                State::Pcap(pcap) => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let Some(header) = rest.get(..pcap::RECORD_HEADER) else {
                        return incomplete(self.ended, at, pcap::RECORD_HEADER - rest.len());
                    };
                    let record = pcap.record(header, at)?;
                    let end = pcap::RECORD_HEADER + record.captured;
                    if rest.len() < end {
                        return incomplete(self.ended, at, end - rest.len());
                    }
                    let body_at = self.done;
                    self.done += end;
                    let packet = PacketBlock {
                        unix_nanos: record.unix_nanos,
                        interface: 0,
                        link: pcap.link,
                        frame: pcap::RECORD_HEADER..end,
                        original_len: record.original_len,
                        direction: None,
                        dropped: 0,
                        comment: None,
                    };
                    return Ok(Some(Found::Packet(packet, body_at)));
                }
                State::PcapNg(section) => {
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let Some((kind, body, length)) = next_block(section, rest, at)? else {
                        return incomplete(self.ended, at, missing(section, rest));
                    };
                    let body_at = self.done + body.start;
                    let body = &rest[body];
                    self.done += length;
                    if kind == block::SECTION_HEADER {
                        continue;
                    }
                    match section.block(kind, body, at)? {
                        Block::Packet(packet) => return Ok(Some(Found::Packet(packet, body_at))),
                        Block::Custom(Custom::Header(header)) => return Ok(Some(Found::Header(header))),
                        Block::Custom(Custom::Input(input)) => return Ok(Some(Found::Input(input))),
                        Block::Snapshot(snapshot) => return Ok(Some(Found::Snapshot(snapshot))),
                        Block::Statistics { interface, received, dropped } => {
                            return Ok(Some(Found::Statistics { interface, received, dropped }));
                        }
                        Block::Skipped => {}
                    }
                }
            }
        }
    }

    fn record(&self, found: Found) -> Record<'_> {
        match found {
            Found::Header(header) => Record::Header(header),
            Found::Snapshot(snapshot) => Record::Snapshot(snapshot),
            Found::Input(input) => Record::Input(input),
            Found::Statistics { interface, received, dropped } => Record::Statistics { interface, received, dropped },
            Found::Packet(packet, body_at) => {
                let slice = |range: Range<usize>| &self.buffer[body_at + range.start..body_at + range.end];
                Record::Packet(Packet {
                    unix_nanos: packet.unix_nanos,
                    interface: packet.interface,
                    direction: packet.direction,
                    dropped: packet.dropped,
                    link: packet.link,
                    file_offset: self.before + (body_at + packet.frame.start) as u64,
                    frame: slice(packet.frame),
                    original_len: packet.original_len,
                    comment: packet.comment.and_then(|range| str::from_utf8(slice(range)).ok()),
                })
            }
        }
    }
}

/// The block at the beginning of `rest`: its kind, where its body lies, and its length; `None` if `rest` is too short.
/// A section header resets `section`.
fn next_block(section: &mut Section, rest: &[u8], at: u64) -> Result<Option<(u32, Range<usize>, usize)>, ReadError> {
    let corrupt = |what| ReadError::Corrupt { at, what };
    if rest.len() < 12 {
        return Ok(None);
    }
    // The same in both byte orders.
    if ByteOrder::Big.u32(rest, 0) == Some(block::SECTION_HEADER) {
        let order = [ByteOrder::Big, ByteOrder::Little]
            .into_iter()
            .find(|order| order.u32(rest, 8) == Some(block::BYTE_ORDER_MAGIC))
            .ok_or(corrupt("its section has no byte order"))?;
        let interfaces = u32::try_from(section.interfaces.len()).unwrap_or(u32::MAX);
        let first_interface = section.first_interface.saturating_add(interfaces);
        *section = Section { order, first_interface, interfaces: Vec::new(), assembly: Assembly::default() };
    }
    let order = section.order;
    let (Some(kind), Some(length)) = (order.u32(rest, 0), order.u32(rest, 4)) else { return Ok(None) };
    if length < 12 || length % 4 != 0 {
        return Err(corrupt("its length is impossible"));
    }
    if length > block::MAX_BLOCK {
        return Err(corrupt("it claims to be longer than 16 MiB"));
    }
    let length = to_usize(length);
    if rest.len() < length {
        return Ok(None);
    }
    if order.u32(rest, length - 4) != order.u32(rest, 4) {
        return Err(corrupt("its two lengths differ"));
    }
    Ok(Some((kind, 8..length - 4, length)))
}

/// How many bytes the block at the beginning of `rest` lacks at least.
fn missing(section: &Section, rest: &[u8]) -> usize {
    section.order.u32(rest, 4).map_or(12, to_usize).max(12).saturating_sub(rest.len())
}

fn incomplete(ended: bool, at: u64, missing: usize) -> Result<Option<Found>, ReadError> {
    if ended { Err(ReadError::Truncated { at, missing: missing as u64 }) } else { Ok(None) }
}

fn not_a_capture(rest: &[u8]) -> ReadError {
    match rest {
        [0x1f, 0x8b, ..] => ReadError::Compressed("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ReadError::Compressed("zstd"),
        [0xfd, b'7', b'z', b'X', ..] => ReadError::Compressed("xz"),
        [b'B', b'Z', b'h', ..] => ReadError::Compressed("bzip2"),
        [b'P', b'K', 3, 4, ..] => ReadError::Compressed("zip"),
        _ => ReadError::NotACapture { first: rest[..rest.len().min(4)].to_vec() },
    }
}
