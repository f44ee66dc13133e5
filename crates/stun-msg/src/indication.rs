//! Send and Data indications: application data without a channel.

mod icmp;
mod usual;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
};

use self::usual::Usual;
use crate::{
    AttributeType, ParseError, TransactionId,
    attribute::{ATTRIBUTE_HEADER_LEN, Attributes, RawAttribute},
    fingerprint,
    header::{HEADER_LEN, MAGIC_COOKIE},
    message::check_len,
};

pub use self::icmp::Icmp;

/// The message type of a Send indication: method 0x006, class indication.
const SEND: [u8; 2] = [0x00, 0x16];
/// The message type of a Data indication: method 0x007, class indication.
const DATA: [u8; 2] = [0x00, 0x17];

/// The mask that an IPv4 address is XOR-ed with.
const COOKIE: u32 = u32::from_be_bytes(MAGIC_COOKIE);
/// The mask that a port is XOR-ed with.
const COOKIE_PORT: u16 = u16::from_be_bytes([MAGIC_COOKIE[0], MAGIC_COOKIE[1]]);

const FAMILY_V4: u8 = 0x01;
const FAMILY_V6: u8 = 0x02;

/// A [Send indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.2): what to send to which peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendIndication {
    /// The value of XOR-PEER-ADDRESS.
    pub peer: SocketAddr,
    /// The bytes of the datagram that are the value of DATA, without padding.
    pub payload: Range<usize>,
    /// Whether it has DONT-FRAGMENT.
    pub dont_fragment: bool,
}

/// Why a Send indication cannot be used. An indication never gets a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SendError {
    /// It is not a valid STUN message.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// It has an unknown comprehension-required attribute.
    #[error("unknown attribute {0}")]
    UnknownAttribute(AttributeType),
    /// XOR-PEER-ADDRESS is missing or malformed.
    #[error("no valid XOR-PEER-ADDRESS")]
    NoPeer,
    /// DATA is missing.
    #[error("no DATA")]
    NoData,
}

impl SendIndication {
    /// Whether `datagram` is a Send indication by its message type. Nothing else is checked.
    #[inline]
    #[must_use]
    pub fn is_send(datagram: &[u8]) -> bool {
        datagram.starts_with(&SEND)
    }

    /// Parses exactly one Send indication that [`classify`](fn@crate::classify) took for STUN, in one pass over its attributes. Checks
    /// FINGERPRINT if there is one. Allocates no memory.
    ///
    /// The first of repeated attributes counts. Attributes after MESSAGE-INTEGRITY are ignored.
    ///
    /// # Errors
    ///
    /// When the message is not valid, or lacks an attribute.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, SendError> {
        let Some(Usual { peer, payload, fingerprint }) = Usual::of(datagram) else {
            return Self::parse_any(datagram);
        };
        if fingerprint {
            fingerprint::check_last(datagram)?;
        }
        Ok(Self { peer, payload, dont_fragment: false })
    }

    /// Parses any attributes in any order.
    #[inline(never)]
    fn parse_any(datagram: &[u8]) -> Result<Self, SendError> {
        let Some((header, _)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(SendError::NoPeer);
        };
        let mut peer = None;
        let mut payload = None;
        let mut dont_fragment = false;
        let mut unknown = None;
        let (mut is_protected, mut has_sha256, mut has_fingerprint) = (false, false, false);
        for attribute in Attributes::new(datagram, HEADER_LEN) {
            let RawAttribute { kind, offset, value } =
                attribute.map_err(|offset| ParseError::AttributeOverrun { offset })?;
            if has_fingerprint {
                return Err(ParseError::FingerprintNotLast.into());
            }
            match kind {
                AttributeType::FINGERPRINT => {
                    fingerprint::check(datagram, offset, value)?;
                    has_fingerprint = true;
                }
                AttributeType::MESSAGE_INTEGRITY if !is_protected => {
                    check_len(kind, value, 20)?;
                    is_protected = true;
                }
                AttributeType::MESSAGE_INTEGRITY_SHA256 if !has_sha256 => {
                    check_len(kind, value, 32)?;
                    (is_protected, has_sha256) = (true, true);
                }
                _ if is_protected => {}
                AttributeType::XOR_PEER_ADDRESS if peer.is_none() => {
                    peer = Some(xor_address(value, header).ok_or(SendError::NoPeer)?);
                }
                AttributeType::DATA => {
                    let start = offset + ATTRIBUTE_HEADER_LEN;
                    payload.get_or_insert(start..start + value.len());
                }
                AttributeType::DONT_FRAGMENT => dont_fragment = true,
                kind if kind.is_unknown_and_required() => _ = unknown.get_or_insert(kind),
                _ => {}
            }
        }
        if let Some(unknown) = unknown {
            return Err(SendError::UnknownAttribute(unknown));
        }
        Ok(Self { peer: peer.ok_or(SendError::NoPeer)?, payload: payload.ok_or(SendError::NoData)?, dont_fragment })
    }
}

/// Reads an [XOR-ed address](https://www.rfc-editor.org/rfc/rfc8489#section-14.2) of a message with this header.
fn xor_address(value: &[u8], header: &[u8; HEADER_LEN]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let mask = &header[4..];
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let ip = match family {
        FAMILY_V4 => IpAddr::V4(Ipv4Addr::from(xored::<4>(address, mask)?)),
        FAMILY_V6 => IpAddr::V6(Ipv6Addr::from(xored::<16>(address, mask)?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn xored<const N: usize>(address: &[u8], mask: &[u8]) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = address.try_into().ok()?;
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    Some(bytes)
}

/// The bytes before the application data of a [Data indication](https://www.rfc-editor.org/rfc/rfc8656#section-11.3): the message
/// header, XOR-PEER-ADDRESS, and the header of DATA, the last attribute.
///
/// [`Self::padding`] zeros follow the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl DataHeader {
    /// The length for an IPv6 peer, the longest.
    pub const MAX_LEN: usize = Self::len_for(16);

    const fn len_for(address_len: usize) -> usize {
        HEADER_LEN + ATTRIBUTE_HEADER_LEN + 4 + address_len + ATTRIBUTE_HEADER_LEN
    }

    /// The header in front of `len` bytes of data from `peer`.
    #[inline]
    #[must_use]
    pub fn new(id: TransactionId, peer: SocketAddr, len: u16) -> Self {
        let mut bytes = [0; Self::MAX_LEN];
        bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
        bytes[8..HEADER_LEN].copy_from_slice(&id.0);
        // Reserved, family, port.
        let port = (peer.port() ^ COOKIE_PORT).to_be_bytes();
        let address_len = match peer.ip() {
            IpAddr::V4(ip) => {
                bytes[24..28].copy_from_slice(&[0, FAMILY_V4, port[0], port[1]]);
                bytes[28..32].copy_from_slice(&(ip.to_bits() ^ COOKIE).to_be_bytes());
                4
            }
            IpAddr::V6(ip) => {
                bytes[24..28].copy_from_slice(&[0, FAMILY_V6, port[0], port[1]]);
                let address = ip.to_bits() ^ v6_mask(&bytes);
                bytes[28..44].copy_from_slice(&address.to_be_bytes());
                16
            }
        };
        bytes[20..24].copy_from_slice(&attribute_header(AttributeType::XOR_PEER_ADDRESS, 4 + address_len));
        let data = HEADER_LEN + ATTRIBUTE_HEADER_LEN + 4 + usize::from(address_len);
        bytes[data..data + ATTRIBUTE_HEADER_LEN].copy_from_slice(&attribute_header(AttributeType::DATA, len));
        // A datagram is at most 65,507 bytes long. More would not be sent: the length does not matter then.
        let total = data + ATTRIBUTE_HEADER_LEN - HEADER_LEN + usize::from(len).next_multiple_of(4);
        let [high, low] = u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes();
        bytes[..4].copy_from_slice(&[DATA[0], DATA[1], high, low]);
        Self { bytes, len: if address_len == 4 { 36 } else { 48 } }
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many zeros follow `len` bytes of data: up to 3.
    #[inline]
    #[must_use]
    pub const fn padding(len: usize) -> usize {
        len.wrapping_neg() % 4
    }
}

/// Type and length of an attribute.
fn attribute_header(kind: AttributeType, len: u16) -> [u8; ATTRIBUTE_HEADER_LEN] {
    let ([k0, k1], [l0, l1]) = (kind.number().to_be_bytes(), len.to_be_bytes());
    [k0, k1, l0, l1]
}

/// The mask that an IPv6 address in this message is XOR-ed with: the magic cookie and the transaction ID.
fn v6_mask(message: &[u8]) -> u128 {
    message.get(4..HEADER_LEN).and_then(|mask| mask.try_into().ok()).map_or(0, u128::from_be_bytes)
}

#[cfg(test)]
mod tests;
