//! Reads responses and checks their form.

use std::net::SocketAddr;

use super::{kind, request::XorAddress, wire};

/// A response whose form was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) transaction: [u8; 12],
    success: bool,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Response {
    /// Reads a response. Checks length, cookie, class and padding, that errors and only errors have an ERROR-CODE, and that a
    /// FINGERPRINT is last and right.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let message_type = u16::from_be_bytes([bytes[0], bytes[1]]);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) + 20, bytes.len(), "length");
        // An RFC 3489 response has no cookie: its transaction ID is longer. It contains only the client's address.
        let is_classic = bytes.starts_with(&[1, 1]) && bytes[20..22] == [0, 1];
        assert!(is_classic || bytes[4..8] == [0x21, 0x12, 0xA4, 0x42], "magic cookie");
        let success = match message_type & 0xFEF0 {
            _ if message_type & 0x0110 == 0x0100 => true,
            _ if message_type & 0x0110 == 0x0110 => false,
            // A Data indication with an ICMP error.
            0x0010 if message_type == 0x0017 => true,
            _ => panic!("{message_type:#06x} is no response"),
        };
        let mut attributes = Vec::new();
        let mut at = 20;
        while at < bytes.len() {
            let attribute = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let len = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            let (value, end) = (at + 4, at + 4 + len.next_multiple_of(4));
            assert!(bytes[value + len..end].iter().all(|byte| *byte == 0), "padding");
            if attribute == kind::FINGERPRINT {
                assert_eq!(end, bytes.len(), "FINGERPRINT is the last");
                assert_eq!(bytes[value..], wire::fingerprint(&bytes[..at]), "FINGERPRINT");
            }
            attributes.push((attribute, bytes[value..value + len].to_vec()));
            at = end;
        }
        let response = Self {
            bytes: bytes.to_vec(),
            method: message_type & 0x3EEF,
            transaction: bytes[8..20].try_into().unwrap(),
            success,
            attributes,
        };
        assert_eq!(response.error_code().is_none(), success, "ERROR-CODE in errors and nowhere else");
        response
    }

    /// Success, or the error code.
    pub(crate) fn outcome(&self) -> Result<(), u16> {
        match self.error_code() {
            None => Ok(()),
            Some(code) => Err(code),
        }
    }

    pub(crate) fn error_code(&self) -> Option<u16> {
        let value = self.attribute(kind::ERROR_CODE)?;
        let &[0, 0, class, number, ref reason @ ..] = value else { panic!("no ERROR-CODE: {value:02x?}") };
        assert!((3..=6).contains(&class) && number < 100);
        assert!(str::from_utf8(reason).unwrap().chars().count() < 128, "reason phrase");
        Some(u16::from(class) * 100 + u16::from(number))
    }

    /// The attribute types, in order.
    pub(crate) fn kinds(&self) -> Vec<u16> {
        self.attributes.iter().map(|(kind, _)| *kind).collect()
    }

    pub(crate) fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.as_slice())
    }

    /// All addresses in attributes of this type.
    pub(crate) fn addresses(&self, wanted: u16) -> Vec<SocketAddr> {
        let matching = self.attributes.iter().filter(|(kind, _)| *kind == wanted);
        matching.map(|(_, value)| XorAddress::decode(value, self.transaction)).collect()
    }

    /// The relayed transport addresses.
    pub(crate) fn relayed(&self) -> Vec<SocketAddr> {
        self.addresses(kind::XOR_RELAYED_ADDRESS)
    }

    /// LIFETIME, in seconds.
    pub(crate) fn lifetime(&self) -> Option<u32> {
        self.attribute(kind::LIFETIME).map(|value| u32::from_be_bytes(value.try_into().unwrap()))
    }

    pub(crate) fn nonce(&self) -> Option<&[u8]> {
        self.attribute(kind::NONCE)
    }

    /// The family and the code of ADDRESS-ERROR-CODE.
    pub(crate) fn address_error(&self) -> Option<(u8, u16)> {
        let value = self.attribute(kind::ADDRESS_ERROR_CODE)?;
        let &[family, 0, class, number, ..] = value else { panic!("no ADDRESS-ERROR-CODE: {value:02x?}") };
        Some((family, u16::from(class) * 100 + u16::from(number)))
    }

    /// The attribute types in UNKNOWN-ATTRIBUTES.
    pub(crate) fn unknown_attributes(&self) -> Vec<u16> {
        let value = self.attribute(kind::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value.chunks(2).map(|kind| u16::from_be_bytes(kind.try_into().unwrap())).collect()
    }

    /// Whether there is a MESSAGE-INTEGRITY. Checks that it was made with `key` and that only FINGERPRINT follows.
    pub(crate) fn is_signed_with(&self, key: &[u8]) -> bool {
        self.is_signed(kind::MESSAGE_INTEGRITY, |signed| wire::hmac_sha1(key, signed))
    }

    /// Like [`Self::is_signed_with`], for MESSAGE-INTEGRITY-SHA256.
    pub(crate) fn is_signed_with_sha256(&self, key: &[u8]) -> bool {
        self.is_signed(kind::MESSAGE_INTEGRITY_SHA256, |signed| wire::hmac_sha256(key, signed))
    }

    fn is_signed<const LEN: usize>(&self, integrity: u16, hmac: impl Fn(&[u8]) -> [u8; LEN]) -> bool {
        let Some(position) = self.attributes.iter().position(|(kind, _)| *kind == integrity) else {
            return false;
        };
        let behind = &self.attributes[position + 1..];
        assert!(behind.iter().all(|(kind, _)| *kind == kind::FINGERPRINT), "behind MESSAGE-INTEGRITY");
        // The signed part ends before MESSAGE-INTEGRITY, but the length in its header includes MESSAGE-INTEGRITY.
        let len = 4 + LEN;
        let end = self.bytes.len() - len - behind.len() * 8;
        let mut signed = self.bytes[..end + len].to_vec();
        wire::set_length(&mut signed);
        assert_eq!(signed[end + 4..], hmac(&signed[..end]), "MESSAGE-INTEGRITY");
        true
    }
}
