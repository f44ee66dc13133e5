//! Messages for tests, made and checked byte by byte, without this crate's own code or stun-types.

use sha1::{Digest, Sha1};

pub(crate) const BINDING: u16 = 0x0001;
pub(crate) const ALLOCATE: u16 = 0x0003;
pub(crate) const REFRESH: u16 = 0x0004;
pub(crate) const CREATE_PERMISSION: u16 = 0x0008;
pub(crate) const CHANNEL_BIND: u16 = 0x0009;

pub(crate) const TRANSACTION_ID: [u8; 12] = *b"transaction!";

/// The test vectors, as printed in the RFCs.
pub(crate) const VECTORS: [&str; 5] = [
    include_str!("../tests/vectors/rfc5769-2.1-request.hex"),
    include_str!("../tests/vectors/rfc5769-2.2-ipv4-response.hex"),
    include_str!("../tests/vectors/rfc5769-2.3-ipv6-response.hex"),
    include_str!("../tests/vectors/rfc5769-2.4-long-term-request.hex"),
    include_str!("../tests/vectors/rfc8489-b.1-sha256-request.hex"),
];

/// Reads hexadecimal digits; white space and lines that begin with `#` do not count.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: String = lines.flat_map(str::chars).filter(|digit| !digit.is_whitespace()).collect();
    hex::decode(digits).unwrap()
}

/// A message of this type; values are padded with zeros.
pub(crate) fn message(message_type: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(message_type.to_be_bytes());
    bytes.extend([0, 0, 0x21, 0x12, 0xA4, 0x42]);
    bytes.extend(TRANSACTION_ID);
    for (kind, value) in attributes {
        push(&mut bytes, *kind, value);
    }
    bytes
}

/// Appends an attribute and counts it in the header.
pub(crate) fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0);
    }
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a MESSAGE-INTEGRITY.
pub(crate) fn push_integrity(bytes: &mut Vec<u8>, key: &[u8]) {
    let signed = bytes.len();
    push(bytes, 0x0008, &[0; 20]);
    let hmac = hmac_sha1(key, &bytes[..signed]);
    bytes[signed + 4..].copy_from_slice(&hmac);
}

/// Appends a FINGERPRINT.
pub(crate) fn push_fingerprint(bytes: &mut Vec<u8>) {
    let covered = bytes.len();
    push(bytes, 0x8028, &[0; 4]);
    let fingerprint = crc32(&bytes[..covered]) ^ 0x5354_554E;
    bytes[covered + 4..].copy_from_slice(&fingerprint.to_be_bytes());
}

/// HMAC-SHA1 by the definition in RFC 2104.
pub(crate) fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha1::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha1::new().chain_update(block.map(|byte| byte ^ 0x5C)).chain_update(inner).finalize().into()
}

/// CRC-32 of ITU V.42, bit by bit.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xEDB8_8320 };
        }
    }
    !crc
}

/// The attributes of a message, read without any checks: type, value, padding.
pub(crate) fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>, Vec<u8>)> {
    let mut attributes = Vec::new();
    let mut rest = &bytes[20..];
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let padded = len.div_ceil(4) * 4;
        attributes.push((u16::from_be_bytes([*t0, *t1]), after[..len].to_vec(), after[len..padded].to_vec()));
        rest = &after[padded..];
    }
    attributes
}
