//! Datagrams under way, and the probes in them.

use std::net::SocketAddr;

use turn_client::encode_channel_data;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// Application data whose way is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) probe: u64,
    /// Whether it is on its way back.
    pub(super) is_answer: bool,
}

impl Payload {
    /// What probes begin with. No STUN message and no header does.
    const MAGIC: &[u8] = b"\xFFprobe:";
    const LEN: usize = Self::MAGIC.len() + 9;

    /// As application data, `length` bytes of it if that is enough.
    pub(super) fn write(self, length: usize) -> Vec<u8> {
        let mut bytes = [Self::MAGIC, &[u8::from(self.is_answer)], &self.probe.to_be_bytes()].concat();
        bytes.resize(length.max(Self::LEN), b'.');
        bytes
    }

    /// The probe in `bytes`, wherever it is in them.
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(Self::MAGIC.len()).position(|window| window == Self::MAGIC)?;
        let rest = bytes.get(at + Self::MAGIC.len()..)?;
        let (is_answer, rest) = rest.split_first()?;
        Some(Self { probe: u64::from_be_bytes(*rest.first_chunk()?), is_answer: *is_answer == 1 })
    }
}

/// A datagram in a few words.
pub(super) fn describe(packet: &Packet) -> String {
    let Packet { from, to, bytes } = packet;
    let probe = Payload::find(bytes).map(|payload| {
        let direction = if payload.is_answer { "answer to probe" } else { "probe" };
        format!(" with {direction} {}", payload.probe)
    });
    let begin = bytes.get(..4).map_or_else(|| format!("{bytes:02x?}"), |head| format!("{head:02x?}"));
    format!("{from} -> {to}: {} bytes, {begin}{}", bytes.len(), probe.unwrap_or_default())
}

/// ChannelData.
pub(super) fn in_channel(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_channel_data(channel, payload, &mut bytes);
    bytes
}
