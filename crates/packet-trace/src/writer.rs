use std::borrow::Cow;

use stun_msg::{ClassicBinding, Classified, ClassifyError, classify, redact_data};

use crate::{
    Datagram, Direction, Input, InputRecord, LinkType, ShardSnapshot, TraceHeader, block, ip, options,
    pcapng::CustomRef, snapshot,
};

/// Writes a relay's packets as pcapng.
///
/// Every method appends to the caller's buffer, which the caller writes to a file. Times are of the relay's
/// monotonic clock, in nanoseconds; [`TraceHeader::clock`] converts them to the Unix time of the file.
#[derive(Debug)]
pub struct TraceWriter {
    header: TraceHeader,
    limits: Limits,
    shards: Vec<Shard>,
    comment: Option<String>,
    packets: u64,
    bytes: u64,
    last_unix_nanos: u64,
}

/// How large a trace may become. Packets beyond the limits are counted as dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The file's length in bytes. Statistics of a few dozen bytes per shard may still follow.
    pub bytes: Option<u64>,
    /// The number of packets.
    pub packets: Option<u64>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recorded {
    /// It is in the buffer.
    Written,
    /// A limit is reached, so it was counted as dropped; nothing more will be written.
    LimitReached,
    /// It cannot exist as a UDP datagram: two address families or too long. It was counted as dropped.
    Impossible,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    seen: u64,
    dropped: u64,
    /// How many packets were dropped since the last one that was written.
    dropped_unreported: u64,
}

impl TraceWriter {
    /// Begins a file: appends the section header, `header` and the interfaces ([`format_of`](crate::format_of)) to `out`.
    pub fn new(header: TraceHeader, limits: Limits, out: &mut Vec<u8>) -> Self {
        let at = out.len();
        block::write(block::SECTION_HEADER, out, |out| {
            out.extend_from_slice(&block::BYTE_ORDER_MAGIC.to_le_bytes());
            out.extend_from_slice(&[1, 0, 0, 0]);
            out.extend_from_slice(&u64::MAX.to_le_bytes());
            let comment =
                "Recorded inside a TURN relay. Open it in the relay's playground to see and replay every decision.";
            options::write(options::COMMENT, comment.as_bytes(), out);
            options::write(options::SECTION_APPLICATION, header.software.as_bytes(), out);
            options::write_end(out);
        });
        custom(&CustomRef::Header(&header), out);
        let interfaces = if has_one_interface(&header) { 1 } else { header.shards.len() };
        for interface in 0..interfaces {
            let name = if interfaces < header.shards.len() { "relay".to_owned() } else { format!("shard {interface}") };
            block::write(block::INTERFACE_DESCRIPTION, out, |out| {
                out.extend_from_slice(&LinkType::RAW.0.to_le_bytes());
                out.extend_from_slice(&[0; 6]);
                options::write(options::INTERFACE_NAME, name.as_bytes(), out);
                options::write(options::INTERFACE_RESOLUTION, &[9], out);
                options::write_end(out);
            });
        }
        Self {
            shards: vec![Shard::default(); header.shards.len()],
            last_unix_nanos: header.clock.unix_nanos,
            header,
            limits,
            comment: None,
            packets: 0,
            bytes: (out.len() - at) as u64,
        }
    }

    /// The header of the file.
    #[must_use]
    pub const fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// Adds `comment` to the next packet. Wireshark shows it.
    pub fn comment(&mut self, comment: &str) {
        self.comment = Some(comment.to_owned());
    }

    /// Appends a packet that `shard` received or sent at the monotonic time `nanos`.
    ///
    /// Cuts application data to [`TraceHeader::payload_limit`]. IP, UDP and ChannelData headers are always whole, and so are STUN
    /// messages on the listening port, except the DATA of indications. If other attributes follow DATA, zeros replace the data, and the
    /// FINGERPRINT is updated. A `shard` that is not in the header is counted as impossible.
    pub fn packet(
        &mut self,
        shard: u32,
        nanos: u64,
        direction: Direction,
        datagram: Datagram<'_>,
        out: &mut Vec<u8>,
    ) -> Recorded {
        let Some(listen_port) = self.shard_mut(shard).map(|(state, listen_port)| {
            state.seen += 1;
            listen_port
        }) else {
            return Recorded::Impossible;
        };
        if self.is_full() {
            self.dropped(shard, 1);
            return Recorded::LimitReached;
        }
        let (payload, captured) = limited(self.header.payload_limit, listen_port, direction, datagram);
        let datagram = Datagram { payload: &payload, ..datagram };
        let mut headers = Vec::with_capacity(48);
        if !ip::build_headers(datagram, &mut headers) {
            self.dropped(shard, 1);
            return Recorded::Impossible;
        }

        let dropped = self.shard_mut(shard).map_or(0, |(state, _)| std::mem::take(&mut state.dropped_unreported));
        let comment = self.comment.take();
        let has_one_interface = has_one_interface(&self.header);
        let interface = if has_one_interface { 0 } else { shard };
        let unix_nanos = self.header.clock.to_unix(nanos);
        let at = out.len();
        block::write(block::ENHANCED_PACKET, out, |out| {
            out.extend_from_slice(&interface.to_le_bytes());
            write_time(unix_nanos, out);
            out.extend_from_slice(&length(headers.len() + captured));
            out.extend_from_slice(&length(headers.len() + datagram.payload.len()));
            let frame_at = out.len();
            out.extend_from_slice(&headers);
            out.extend_from_slice(&datagram.payload[..captured]);
            block::pad(frame_at, out);
            let flags: u32 = match direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            };
            options::write(options::PACKET_FLAGS, &flags.to_le_bytes(), out);
            if has_one_interface {
                options::write_shard(shard, out);
            }
            if dropped > 0 {
                options::write(options::PACKET_DROPPED, &dropped.to_le_bytes(), out);
            }
            if let Some(comment) = &comment {
                options::write(options::COMMENT, comment.as_bytes(), out);
            }
            options::write_end(out);
        });
        self.count(at, out, unix_nanos);
        self.packets += 1;
        Recorded::Written
    }

    /// Appends an input other than a packet that `shard` got at the monotonic time `nanos`.
    pub fn input(&mut self, shard: u32, nanos: u64, input: Input, out: &mut Vec<u8>) -> Recorded {
        if self.is_full() {
            return Recorded::LimitReached;
        }
        let unix_nanos = self.header.clock.to_unix(nanos);
        let at = out.len();
        custom(&CustomRef::Input(&InputRecord { shard, unix_nanos, input }), out);
        self.count(at, out, unix_nanos);
        Recorded::Written
    }

    /// Appends the state of a shard at the monotonic time `nanos`, which becomes the snapshot's time. Call it once for each shard,
    /// before its packets and inputs.
    pub fn snapshot(&mut self, nanos: u64, mut snapshot: ShardSnapshot, out: &mut Vec<u8>) -> Recorded {
        if self.is_full() {
            return Recorded::LimitReached;
        }
        snapshot.unix_nanos = self.header.clock.to_unix(nanos);
        let at = out.len();
        snapshot::write(&snapshot, out);
        self.count(at, out, snapshot.unix_nanos);
        Recorded::Written
    }

    /// Counts `packets` of `shard` as dropped that were not passed to the writer.
    pub fn dropped(&mut self, shard: u32, packets: u64) {
        if let Some((state, _)) = self.shard_mut(shard) {
            state.dropped += packets;
            state.dropped_unreported += packets;
        }
    }

    /// Whether a limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.limits.bytes.is_some_and(|limit| self.bytes >= limit)
            || self.limits.packets.is_some_and(|limit| self.packets >= limit)
    }

    /// How many packets were written.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// How many packets are missing so far.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.shards.iter().map(|shard| shard.dropped).sum()
    }

    /// The length of the file so far, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the file: appends for each interface how many packets it had and how many of them are missing.
    pub fn finish(self, out: &mut Vec<u8>) {
        let shards = if has_one_interface(&self.header) {
            let total = |of: fn(&Shard) -> u64| self.shards.iter().map(of).sum::<u64>();
            let (seen, dropped) = (total(|shard| shard.seen), total(|shard| shard.dropped));
            vec![Shard { seen, dropped, dropped_unreported: 0 }]
        } else {
            self.shards
        };
        for (index, shard) in shards.iter().enumerate() {
            block::write(block::INTERFACE_STATISTICS, out, |out| {
                out.extend_from_slice(&length(index));
                write_time(self.last_unix_nanos, out);
                options::write(options::STATISTICS_RECEIVED, &shard.seen.to_le_bytes(), out);
                options::write(options::STATISTICS_DROPPED, &shard.dropped.to_le_bytes(), out);
                options::write_end(out);
            });
        }
    }

    fn shard_mut(&mut self, shard: u32) -> Option<(&mut Shard, u16)> {
        let shard = usize::try_from(shard).ok()?;
        let listen_port = self.header.shards.get(shard)?.config.listen_port;
        Some((self.shards.get_mut(shard)?, listen_port))
    }

    fn count(&mut self, at: usize, out: &[u8], unix_nanos: u64) {
        self.bytes += (out.len() - at) as u64;
        self.last_unix_nanos = self.last_unix_nanos.max(unix_nanos);
    }
}

/// Whether all shards have one interface.
const fn has_one_interface(header: &TraceHeader) -> bool {
    header.format > 1
}

/// The payload to record for a datagram, of the same length, and how many bytes of it to write. The rest is application data.
fn limited(
    limit: Option<u32>,
    listen_port: u16,
    direction: Direction,
    datagram: Datagram<'_>,
) -> (Cow<'_, [u8]>, usize) {
    /// The header lengths of ChannelData and STUN in bytes.
    const HEADERS: (usize, usize) = (4, 20);
    let payload = datagram.payload;
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return (payload.into(), payload.len());
    };
    let local_port = match direction {
        Direction::Inbound => datagram.destination.port(),
        Direction::Outbound => datagram.source.port(),
    };
    let keep = match (classify(payload), payload.first()) {
        _ if local_port != listen_port => limit,
        (Ok(Classified::ChannelData(_)) | Err(ClassifyError::TruncatedChannelData { .. }), _) => {
            limit.saturating_add(HEADERS.0)
        }
        // A reader fills the cut part with zeros. That must not turn a payload that only begins like STUN into STUN.
        (Err(ClassifyError::Neither), Some(..=0x3f)) if ClassicBinding::parse(payload).is_none() => {
            limit.max(HEADERS.1)
        }
        (Err(ClassifyError::Neither), Some(0x40..)) => limit,
        _ => {
            let mut message = payload.to_vec();
            let keep = redact_data(&mut message, limit);
            return (message.into(), keep);
        }
    };
    (payload.into(), keep.min(payload.len()))
}

fn custom(content: &CustomRef<'_>, out: &mut Vec<u8>) {
    block::write(block::CUSTOM, out, |out| {
        out.extend_from_slice(&block::ENTERPRISE.to_le_bytes());
        out.extend_from_slice(block::CUSTOM_MAGIC);
        // Writing to a `Vec` cannot fail, nor can serialising these structures: all their keys are strings.
        let _infallible = serde_json::to_writer(out, content);
    });
}

/// Appends a time in nanoseconds as two words, the higher one first.
fn write_time(unix_nanos: u64, out: &mut Vec<u8>) {
    let bytes = unix_nanos.to_le_bytes();
    out.extend_from_slice(&bytes[4..]);
    out.extend_from_slice(&bytes[..4]);
}

/// A small length as a word: of a datagram with its headers, or of the list of shards.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
