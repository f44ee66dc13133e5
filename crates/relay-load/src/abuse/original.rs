//! Valid messages of clients, and helpers to take them apart and to sign them again.

use hmac::{Hmac, Mac, digest::KeyInit};
use sha1::Sha1;
use sha2::Sha256;
use stun_msg::{AttributeType, IntegrityKey, PasswordAlgorithm};

/// The length of a STUN header, and the position of its length field.
pub(super) const HEADER: usize = 20;
pub(super) const LENGTH: usize = 2;

/// A message to mutate.
#[derive(Clone)]
pub(super) struct Original {
    /// The message without its integrity attribute.
    pub(super) unsigned: Vec<u8>,
    pub(super) signed: Vec<u8>,
    /// The key. A mutated message gets far into a server only if it is signed after the mutation.
    pub(super) key: Option<IntegrityKey>,
}

impl Original {
    /// An unsigned message.
    pub(super) fn plain(bytes: Vec<u8>) -> Self {
        Self { unsigned: bytes.clone(), signed: bytes, key: None }
    }

    /// A request that may be signed with MESSAGE-INTEGRITY.
    pub(super) fn request(bytes: Vec<u8>, username: &str, password: &str) -> Self {
        let integrity = find(&bytes, AttributeType::MESSAGE_INTEGRITY).map(|(start, _)| start);
        let key = realm(&bytes).map(|realm| IntegrityKey::long_term(PasswordAlgorithm::Md5, username, realm, password));
        match (integrity, key) {
            (Some(start), Some(key)) => Self { unsigned: bytes[..start].to_vec(), signed: bytes, key: Some(key) },
            _ => Self::plain(bytes),
        }
    }

    /// The same request, signed with SHA-256 for the challenge `response`
    /// ([RFC 8489, section 9.2.4](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4)). `None` if the request is unsigned or the
    /// challenge does not offer SHA-256.
    pub(super) fn with_sha256(&self, response: &[u8], username: &str, password: &str) -> Option<Self> {
        self.key.as_ref()?;
        let key = IntegrityKey::long_term(PasswordAlgorithm::Sha256, username, realm(response)?, password);
        let (nonce, offer) =
            (find(response, AttributeType::NONCE)?, find(response, AttributeType::PASSWORD_ALGORITHMS)?);
        let mut unsigned = self.unsigned[..HEADER].to_vec();
        for place in attributes(&self.unsigned) {
            if type_of(&self.unsigned, place) != AttributeType::NONCE.number() {
                unsigned.extend(&self.unsigned[place.0..place.1]);
            }
        }
        for (start, end) in [nonce, offer] {
            unsigned.extend(&response[start..end]);
        }
        // The algorithm number of SHA-256 is 2. It has no parameters.
        unsigned.extend(AttributeType::PASSWORD_ALGORITHM.number().to_be_bytes().into_iter().chain([0, 4, 0, 2, 0, 0]));
        tell_length(&mut unsigned);
        let mut signed = unsigned.clone();
        sign(&mut signed, &key);
        Some(Self { unsigned, signed, key: Some(key) })
    }
}

fn find(message: &[u8], wanted: AttributeType) -> Option<(usize, usize)> {
    attributes(message).into_iter().find(|place| type_of(message, *place) == wanted.number())
}

fn realm(message: &[u8]) -> Option<&str> {
    let (start, _) = find(message, AttributeType::REALM)?;
    let length = u16::from_be_bytes([*message.get(start + 2)?, *message.get(start + 3)?]);
    std::str::from_utf8(message.get(start + 4..start + 4 + usize::from(length))?).ok()
}

/// Where each attribute of a STUN message begins and ends, with padding.
pub(super) fn attributes(message: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    if message.first().is_none_or(|first| *first >= 0x40) {
        return found;
    }
    let mut start = HEADER;
    while let Some([_, _, high, low]) = message.get(start..start + 4) {
        let end = start + 4 + usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
        if end > message.len() {
            break;
        }
        found.push((start, end));
        start = end;
    }
    found
}

fn type_of(message: &[u8], (start, _): (usize, usize)) -> u16 {
    message.get(start..start + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Appends a valid MESSAGE-INTEGRITY ([RFC 8489, section 14.5](https://www.rfc-editor.org/rfc/rfc8489#section-14.5)), or with a
/// SHA-256 key a MESSAGE-INTEGRITY-SHA256, whatever else is wrong with the message.
pub(super) fn sign(message: &mut Vec<u8>, key: &IntegrityKey) {
    match key.algorithm() {
        PasswordAlgorithm::Md5 => append::<Hmac<Sha1>>(message, key, AttributeType::MESSAGE_INTEGRITY, 20),
        PasswordAlgorithm::Sha256 => append::<Hmac<Sha256>>(message, key, AttributeType::MESSAGE_INTEGRITY_SHA256, 32),
    }
}

fn append<M: Mac + KeyInit>(message: &mut Vec<u8>, key: &IntegrityKey, kind: AttributeType, length: u8) {
    let all = (message.len() + 4 + usize::from(length)).saturating_sub(HEADER);
    overwrite(message, LENGTH, u16::try_from(all).unwrap_or(u16::MAX));
    let Ok(mac) = <M as KeyInit>::new_from_slice(key.as_bytes()) else { return };
    let mac = mac.chain_update(&*message).finalize().into_bytes();
    message.extend(kind.number().to_be_bytes().into_iter().chain([0, length]).chain(mac));
}

/// Writes the message's length into the header.
pub(super) fn tell_length(message: &mut [u8]) {
    let length = u16::try_from(message.len().saturating_sub(HEADER)).unwrap_or(u16::MAX);
    overwrite(message, LENGTH, length);
}

pub(super) fn overwrite(message: &mut [u8], at: usize, value: u16) {
    if let Some(bytes) = message.get_mut(at..at + 2) {
        bytes.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "user";
    const PASSWORD: &str = "password";

    fn attribute(kind: AttributeType, value: &[u8; 8]) -> Vec<u8> {
        [&kind.number().to_be_bytes()[..], &[0, 8], value].concat()
    }

    fn message(parts: &[Vec<u8>]) -> Vec<u8> {
        let header = [&[0x00, 0x04, 0, 0, 0x21, 0x12, 0xA4, 0x42], &[7; 12][..]].concat();
        let mut message = [header, parts.concat()].concat();
        tell_length(&mut message);
        message
    }

    fn is_right(bytes: &[u8], algorithm: PasswordAlgorithm) -> bool {
        let key = IntegrityKey::long_term(algorithm, USER, "a realm.", PASSWORD);
        stun_msg::Message::parse(bytes).is_ok_and(|message| message.verify_integrity(&key).is_ok())
    }

    #[test]
    fn a_request_is_signed_again_with_either_algorithm() {
        let [realm, nonce, other] = [
            (AttributeType::REALM, b"a realm."),
            (AttributeType::NONCE, b"a nonce."),
            (AttributeType::NONCE, b"another."),
        ]
        .map(|(kind, value)| attribute(kind, value));
        let mut request = message(&[realm.clone(), nonce]);
        assert!(Original::request(request.clone(), USER, PASSWORD).key.is_none());
        sign(&mut request, &IntegrityKey::long_term(PasswordAlgorithm::Md5, USER, "a realm.", PASSWORD));
        assert!(is_right(&request, PasswordAlgorithm::Md5));
        let original = Original::request(request.clone(), USER, PASSWORD);
        let mut again = original.unsigned.clone();
        sign(&mut again, original.key.as_ref().unwrap());
        assert_eq!((again, original.signed.clone()), (request.clone(), request));

        let offer = attribute(AttributeType::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
        assert!(original.with_sha256(&message(&[realm.clone(), other.clone()]), USER, PASSWORD).is_none());
        let second = original.with_sha256(&message(&[realm, other.clone(), offer]), USER, PASSWORD).unwrap();
        assert!(is_right(&second.signed, PasswordAlgorithm::Sha256));
        assert!(!is_right(&second.signed, PasswordAlgorithm::Md5));
        let (start, end) = find(&second.signed, AttributeType::NONCE).unwrap();
        assert_eq!(second.signed[start..end], other);
    }
}
