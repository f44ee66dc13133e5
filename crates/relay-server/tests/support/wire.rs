//! Attributes in the format of RFC 8489, section 14.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;
use stun_types::attribute::Fingerprint;

use super::kind;

/// Appends an attribute and updates the header's length. Padding is not zero, as receivers must ignore it.
pub(crate) fn append(message: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    message.extend(attribute.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0xEE);
    set_length(message);
}

/// Appends a MESSAGE-INTEGRITY.
pub(crate) fn append_integrity(message: &mut Vec<u8>, key: &[u8]) {
    append(message, kind::MESSAGE_INTEGRITY, &[0; 20]);
    let end = message.len() - 24;
    let hmac = hmac_sha1(key, &message[..end]);
    message[end + 4..].copy_from_slice(&hmac);
}

/// Appends a MESSAGE-INTEGRITY-SHA256.
pub(crate) fn append_integrity_sha256(message: &mut Vec<u8>, key: &[u8]) {
    append(message, kind::MESSAGE_INTEGRITY_SHA256, &[0; 32]);
    let end = message.len() - 36;
    let hmac = hmac_sha256(key, &message[..end]);
    message[end + 4..].copy_from_slice(&hmac);
}

/// Appends a FINGERPRINT.
pub(crate) fn append_fingerprint(message: &mut Vec<u8>) {
    append(message, kind::FINGERPRINT, &[0; 4]);
    let end = message.len() - 8;
    let value = fingerprint(&message[..end]);
    message[end + 4..].copy_from_slice(&value);
}

/// The FINGERPRINT of `covered`: its CRC-32 and a constant, RFC 8489, section 14.7.
pub(crate) fn fingerprint(covered: &[u8]) -> [u8; 4] {
    let crc = u32::from_be_bytes(Fingerprint::compute(&[covered]));
    (crc ^ 0x5354_554E).to_be_bytes()
}

pub(crate) fn set_length(message: &mut [u8]) {
    let length = u16::try_from(message.len() - 20).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

pub(crate) fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}
