//! Datagrams, and the probes in them.

use std::net::SocketAddr;

use turn_client::encode_channel_data;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// The payload of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) probe: u64,
    /// Whether it is the answer to a probe.
    pub(super) is_answer: bool,
}

impl Payload {
    /// The first bytes of probes. No STUN message or header begins with them.
    const MAGIC: &[u8] = b"\xFFprobe:";
    const LEN: usize = Self::MAGIC.len() + 9;

    /// The payload as bytes, padded to `length` if that is longer.
    pub(super) fn write(self, length: usize) -> Vec<u8> {
        let mut bytes = [Self::MAGIC, &[u8::from(self.is_answer)], &self.probe.to_be_bytes()].concat();
        bytes.resize(length.max(Self::LEN), b'.');
        bytes
    }

    /// Finds a probe anywhere in `bytes`.
    pub(super) fn find(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(Self::MAGIC.len()).position(|window| window == Self::MAGIC)?;
        let rest = bytes.get(at + Self::MAGIC.len()..)?;
        let (is_answer, rest) = rest.split_first()?;
        Some(Self { probe: u64::from_be_bytes(*rest.first_chunk()?), is_answer: *is_answer == 1 })
    }
}

/// A short description of a datagram.
pub(super) fn describe(packet: &Packet) -> String {
    let Packet { from, to, bytes } = packet;
    let probe = Payload::find(bytes).map(|payload| {
        let direction = if payload.is_answer { "answer to probe" } else { "probe" };
        format!(" with {direction} {}", payload.probe)
    });
    let begin = bytes.get(..4).map_or_else(|| format!("{bytes:02x?}"), |head| format!("{head:02x?}"));
    format!("{from} -> {to}: {} bytes, {begin}{}", bytes.len(), probe.unwrap_or_default())
}

/// A ChannelData message.
pub(super) fn in_channel(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_channel_data(channel, payload, &mut bytes);
    bytes
}
