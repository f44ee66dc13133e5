use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use super::{COOKIE, COOKIE_PORT, FAMILY_V4, FAMILY_V6, v6_mask};
use crate::header::HEADER_LEN;

/// The header (type and length) of XOR-PEER-ADDRESS for each family.
const PEER_V4: [u8; 4] = [0x00, 0x12, 0, 8];
const PEER_V6: [u8; 4] = [0x00, 0x12, 0, 20];
/// The type of DATA.
const DATA: [u8; 2] = [0x00, 0x13];
/// The header (type and length) of FINGERPRINT.
const FINGERPRINT: [u8; 4] = [0x80, 0x28, 0, 4];

/// A Send indication with the usual attributes in the usual order: XOR-PEER-ADDRESS, DATA, and possibly FINGERPRINT.
///
/// Chromium and Firefox write this order, so each attribute is at a known offset. A message with other attributes may be
/// valid, too.
pub(super) struct Usual {
    pub(super) peer: SocketAddr,
    pub(super) payload: Range<usize>,
    /// Whether there is a FINGERPRINT, which has yet to be checked.
    pub(super) fingerprint: bool,
}

impl Usual {
    #[inline]
    pub(super) fn of(datagram: &[u8]) -> Option<Self> {
        let (start, attribute) = datagram.split_first_chunk::<{ HEADER_LEN + 8 }>()?;
        let &[.., t0, t1, l0, l1, _, family, p0, p1] = start;
        let port = u16::from_be_bytes([p0, p1]) ^ COOKIE_PORT;
        let (ip, rest) = match ([t0, t1, l0, l1], family) {
            (PEER_V4, FAMILY_V4) => {
                let (&ip, rest) = attribute.split_first_chunk()?;
                (IpAddr::V4((u32::from_be_bytes(ip) ^ COOKIE).into()), rest)
            }
            (PEER_V6, FAMILY_V6) => {
                let (&ip, rest) = attribute.split_first_chunk()?;
                (IpAddr::V6((u128::from_be_bytes(ip) ^ v6_mask(start)).into()), rest)
            }
            _ => return None,
        };
        let (&[t0, t1, l0, l1], rest) = rest.split_first_chunk()?;
        if [t0, t1] != DATA {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let padded = len.next_multiple_of(4);
        let start = datagram.len() - rest.len();
        let fingerprint = match rest.len().checked_sub(padded)? {
            0 => false,
            8 if rest[padded..].starts_with(&FINGERPRINT) => true,
            _ => return None,
        };
        Some(Self { peer: SocketAddr::new(ip, port), payload: start..start + len, fingerprint })
    }
}
