//! Builds Send and Data indications, field by field.

use std::net::{IpAddr, SocketAddr};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// The variable parts of a Send indication.
#[derive(Clone, Copy, Debug)]
pub struct SendStyle {
    pub transaction: [u8; 12],
    /// The value of padding bytes, which receivers ignore.
    pub padding: u8,
    pub fingerprint: bool,
}

impl Default for SendStyle {
    fn default() -> Self {
        Self { transaction: *b"twelve bytes", padding: 0, fingerprint: false }
    }
}

/// A Send indication with `data` for `peer`.
pub fn send_indication(peer: SocketAddr, data: &[u8], style: SendStyle) -> Vec<u8> {
    let attributes = [xor_peer_address(peer, &style.transaction), attribute(0x0013, data, style.padding)].concat();
    let mut message = message(0x0016, &style.transaction, &attributes);
    if style.fingerprint {
        let length = u16::try_from(message.len() - 20 + 8).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let value = crc32(&message) ^ 0x5354_554e;
        message.extend(attribute(0x8028, &value.to_be_bytes(), 0));
    }
    message
}

/// A Data indication with `data` from `peer`.
pub fn data_indication(peer: SocketAddr, data: &[u8], transaction: [u8; 12]) -> Vec<u8> {
    let attributes = [xor_peer_address(peer, &transaction), attribute(0x0013, data, 0)].concat();
    message(0x0017, &transaction, &attributes)
}

fn message(message_type: u16, transaction: &[u8; 12], attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap();
    [&message_type.to_be_bytes()[..], &length.to_be_bytes(), &COOKIE, transaction, attributes].concat()
}

fn attribute(attribute_type: u16, value: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    let mut bytes = [&attribute_type.to_be_bytes()[..], &length.to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), padding);
    bytes
}

fn xor_peer_address(peer: SocketAddr, transaction: &[u8; 12]) -> Vec<u8> {
    let mask = [&COOKIE[..], transaction].concat();
    let (family, octets) = match peer.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut value = vec![0, family];
    for bytes in [&peer.port().to_be_bytes()[..], &octets] {
        value.extend(bytes.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
    }
    attribute(0x0012, &value, 0)
}

/// The CRC-32 of FINGERPRINT, computed bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 })
    })
}
