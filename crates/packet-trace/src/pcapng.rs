//! Parses the body of each kind of pcapng block that matters here.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    Direction, FORMAT, InputRecord, LinkType, ReadError, ShardSnapshot, TraceHeader,
    block::{self, ByteOrder},
    options,
    snapshot::Assembly,
};

/// The content of our own custom blocks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Custom {
    Header(Box<TraceHeader>),
    Input(InputRecord),
}

/// Like [`Custom`], but borrowed, for writing.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CustomRef<'a> {
    Header(&'a TraceHeader),
    Input(&'a InputRecord),
}

/// The state of the present section.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) order: ByteOrder,
    /// How many interfaces the sections before this one have.
    pub(crate) first_interface: u32,
    pub(crate) interfaces: Vec<Interface>,
    /// The snapshot whose parts are being read.
    pub(crate) assembly: Assembly,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface {
    pub(crate) link: LinkType,
    resolution: u8,
    offset_seconds: i64,
    snap_len: u32,
    /// The time of the last packet, for simple packets, which have none.
    last_unix_nanos: u64,
}

/// A packet, with ranges of the block's body.
#[derive(Debug)]
pub(crate) struct PacketBlock {
    pub(crate) unix_nanos: u64,
    pub(crate) interface: u32,
    pub(crate) link: LinkType,
    pub(crate) frame: Range<usize>,
    pub(crate) original_len: u32,
    pub(crate) direction: Option<Direction>,
    pub(crate) dropped: u64,
    pub(crate) comment: Option<Range<usize>>,
}

pub(crate) enum Block {
    Packet(PacketBlock),
    Custom(Custom),
    Snapshot(Box<ShardSnapshot>),
    Statistics { interface: u32, received: Option<u64>, dropped: Option<u64> },
    Skipped,
}

impl Section {
    /// Parses the block of `kind` with this `body`, which begins at byte `at` of the file.
    pub(crate) fn block(&mut self, kind: u32, body: &[u8], at: u64) -> Result<Block, ReadError> {
        let corrupt = |what| ReadError::Corrupt { at, what };
        match kind {
            block::INTERFACE_DESCRIPTION => {
                let interface = Interface::parse(self.order, body).ok_or(corrupt("its interface has no link type"))?;
                self.interfaces.push(interface);
                Ok(Block::Skipped)
            }
            block::ENHANCED_PACKET => self.packet(body, false).map(Block::Packet).map_err(corrupt),
            block::PACKET => self.packet(body, true).map(Block::Packet).map_err(corrupt),
            block::SIMPLE_PACKET => self.simple_packet(body).map(Block::Packet).map_err(corrupt),
            block::INTERFACE_STATISTICS => Ok(self.statistics(body).unwrap_or(Block::Skipped)),
            block::CUSTOM => self.custom(body, at),
            _ => Ok(Block::Skipped),
        }
    }

    fn interface(&mut self, index: u32) -> Result<&mut Interface, &'static str> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get_mut(index))
            .ok_or("its packet names an interface that the file does not describe")
    }

    fn packet(&mut self, body: &[u8], obsolete: bool) -> Result<PacketBlock, &'static str> {
        const SHORT: &str = "it is too short for a packet";
        let order = self.order;
        let (interface, mut dropped) = if obsolete {
            // 0xffff stands for "unknown".
            let dropped = order.u16(body, 2).ok_or(SHORT)?;
            (u32::from(order.u16(body, 0).ok_or(SHORT)?), u64::from(if dropped == u16::MAX { 0 } else { dropped }))
        } else {
            (order.u32(body, 0).ok_or(SHORT)?, 0)
        };
        let ticks = u64::from(order.u32(body, 4).ok_or(SHORT)?) << 32 | u64::from(order.u32(body, 8).ok_or(SHORT)?);
        let captured = to_usize(order.u32(body, 12).ok_or(SHORT)?);
        let original_len = order.u32(body, 16).ok_or(SHORT)?;
        let end = 20_usize.checked_add(captured).filter(|&end| end <= body.len());
        let frame = 20..end.ok_or("its packet is longer than the block")?;

        let state = self.interface(interface)?;
        let unix_nanos = state.unix_nanos(ticks);
        state.last_unix_nanos = unix_nanos;
        let link = state.link;

        let (mut direction, mut comment, mut shard) = (None, None, None);
        let options_at = (20 + captured.next_multiple_of(4)).min(body.len());
        for (code, value) in options::iterate(order, &body[options_at..]) {
            match code {
                options::PACKET_FLAGS => {
                    direction = match order.u32(value, 0).unwrap_or(0) & 0b11 {
                        1 => Some(Direction::Inbound),
                        2 => Some(Direction::Outbound),
                        _ => None,
                    }
                }
                options::CUSTOM => shard = shard.or(options::shard(order, value)),
                options::PACKET_DROPPED if !obsolete => dropped = order.u64(value, 0).unwrap_or(0),
                options::COMMENT if comment.is_none() => {
                    // Both slices lie in `body`, the second after the first.
                    let start = value.as_ptr().addr() - body.as_ptr().addr();
                    comment = Some(start..start + value.len());
                }
                _ => {}
            }
        }
        let interface = self.first_interface.saturating_add(shard.unwrap_or(interface));
        Ok(PacketBlock { unix_nanos, interface, link, frame, original_len, direction, dropped, comment })
    }

    fn simple_packet(&mut self, body: &[u8]) -> Result<PacketBlock, &'static str> {
        let original_len = self.order.u32(body, 0).ok_or("it is too short for a packet")?;
        let state = self.interface(0)?;
        let (unix_nanos, link, snap_len) = (state.last_unix_nanos, state.link, state.snap_len);
        let captured = if snap_len == 0 { original_len } else { original_len.min(snap_len) };
        let frame = 4..body.len().min(to_usize(captured).saturating_add(4));
        let interface = self.first_interface;
        Ok(PacketBlock { unix_nanos, interface, link, frame, original_len, direction: None, dropped: 0, comment: None })
    }

    fn statistics(&self, body: &[u8]) -> Option<Block> {
        let interface = self.first_interface.saturating_add(self.order.u32(body, 0)?);
        let (mut received, mut dropped) = (None, None);
        for (code, value) in options::iterate(self.order, body.get(12..)?) {
            match code {
                options::STATISTICS_RECEIVED => received = self.order.u64(value, 0),
                options::STATISTICS_DROPPED => dropped = self.order.u64(value, 0),
                _ => {}
            }
        }
        Some(Block::Statistics { interface, received, dropped })
    }

    fn custom(&mut self, body: &[u8], at: u64) -> Result<Block, ReadError> {
        if self.order.u32(body, 0) != Some(block::ENTERPRISE) {
            return Ok(Block::Skipped);
        }
        let data = body.get(4..).unwrap_or_default();
        if let Some(part) = data.strip_prefix(block::SNAPSHOT_MAGIC) {
            return Ok(self.assembly.take(part, at)?.map_or(Block::Skipped, Block::Snapshot));
        }
        let Some(json) = data.strip_prefix(block::CUSTOM_MAGIC) else { return Ok(Block::Skipped) };
        let json = json.trim_ascii_end();
        let padding = json.iter().rev().take_while(|&&byte| byte == 0).count();
        let json = &json[..json.len() - padding];
        let bad = |error: serde_json::Error| ReadError::BadReplayData { at, what: error.to_string() };

        // Check the format first, so that a newer header is not reported as malformed.
        let value: serde_json::Value = serde_json::from_slice(json).map_err(bad)?;
        let found = value.get("header").and_then(|header| header.get("format")).and_then(serde_json::Value::as_u64);
        if let Some(found) = found
            && found > u64::from(FORMAT)
        {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(ReadError::NewerFormat { found, supported: FORMAT });
        }
        serde_json::from_value(value).map(Block::Custom).map_err(bad)
    }
}

impl Interface {
    fn parse(order: ByteOrder, body: &[u8]) -> Option<Self> {
        let mut interface = Self {
            link: LinkType(order.u16(body, 0)?),
            resolution: 6,
            offset_seconds: 0,
            snap_len: order.u32(body, 4).unwrap_or(0),
            last_unix_nanos: 0,
        };
        for (code, value) in options::iterate(order, body.get(8..).unwrap_or_default()) {
            match code {
                options::INTERFACE_RESOLUTION => interface.resolution = value.first().copied().unwrap_or(6),
                options::INTERFACE_OFFSET => {
                    interface.offset_seconds = order.u64(value, 0).unwrap_or(0).cast_signed();
                }
                _ => {}
            }
        }
        Some(interface)
    }

    fn unix_nanos(&self, ticks: u64) -> u64 {
        const NANOS_PER_SECOND: u128 = 1_000_000_000;
        let exponent = u32::from(self.resolution & 0x7f);
        let ticks = u128::from(ticks);
        let nanos = if self.resolution & 0x80 != 0 {
            (ticks * NANOS_PER_SECOND).checked_shr(exponent).unwrap_or(0)
        } else if exponent <= 9 {
            ticks * 10_u128.pow(9 - exponent)
        } else {
            10_u128.checked_pow(exponent - 9).map_or(0, |divisor| ticks / divisor)
        };
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let offset = self.offset_seconds.unsigned_abs().saturating_mul(1_000_000_000);
        if self.offset_seconds < 0 { nanos.saturating_sub(offset) } else { nanos.saturating_add(offset) }
    }
}

/// Lossless on every platform that this runs on (32-bit and wider).
pub(crate) fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
