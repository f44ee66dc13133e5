use crate::{
    AttributeType, Class, IntegrityError, IntegrityKey, Method, ParseError, RequestedAlgorithm, Transaction,
    TransactionId,
    attribute::{Attributes, RawAttribute},
    fingerprint,
    header::{self, HEADER_LEN},
    integrity,
};

/// A STUN message with a valid structure and, if it has one, a valid FINGERPRINT.
///
/// Attributes after MESSAGE-INTEGRITY, other than MESSAGE-INTEGRITY-SHA256 and FINGERPRINT, are
/// [ignored](https://www.rfc-editor.org/rfc/rfc8489#section-14.5): no method returns them.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    transaction_id: TransactionId,
    /// Where the attributes that count end: at the first MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 or FINGERPRINT.
    end: usize,
    username: Option<&'a [u8]>,
    realm: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    userhash: bool,
    integrity: Option<Protection<'a>>,
    integrity_sha256: Option<Protection<'a>>,
    fingerprint: bool,
}

/// A MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256.
#[derive(Clone, Copy, Debug)]
struct Protection<'a> {
    offset: usize,
    hmac: &'a [u8],
}

impl<'a> Message<'a> {
    /// Parses exactly one STUN message.
    ///
    /// # Errors
    ///
    /// When the header is wrong, attributes overrun it, or a FINGERPRINT does not match or is not at the end.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        header::check(bytes)?;
        let kind = u16::from_be_bytes([bytes[0], bytes[1]]);
        let mut id = [0; 12];
        id.copy_from_slice(&bytes[8..HEADER_LEN]);

        let mut message = Self {
            bytes,
            class: class(kind),
            method: method(kind),
            transaction_id: TransactionId(id),
            end: bytes.len(),
            username: None,
            realm: None,
            nonce: None,
            userhash: false,
            integrity: None,
            integrity_sha256: None,
            fingerprint: false,
        };
        for attribute in Attributes::new(bytes, HEADER_LEN) {
            message.take(attribute.map_err(|offset| ParseError::AttributeOverrun { offset })?)?;
        }
        Ok(message)
    }

    fn take(&mut self, attribute: RawAttribute<'a>) -> Result<(), ParseError> {
        let RawAttribute { kind, offset, value } = attribute;
        if self.fingerprint {
            return Err(ParseError::FingerprintNotLast);
        }
        let protected = self.integrity.is_some() || self.integrity_sha256.is_some();
        // The first of repeated attributes counts: https://www.rfc-editor.org/rfc/rfc8489#section-14
        match kind {
            AttributeType::MESSAGE_INTEGRITY if !protected => {
                check_len(kind, value, 20)?;
                self.integrity = Some(Protection { offset, hmac: value });
            }
            AttributeType::MESSAGE_INTEGRITY_SHA256 if self.integrity_sha256.is_none() => {
                // No TURN usage allows a truncated one: https://www.rfc-editor.org/rfc/rfc8489#section-14.6
                check_len(kind, value, 32)?;
                self.integrity_sha256 = Some(Protection { offset, hmac: value });
            }
            AttributeType::FINGERPRINT => {
                fingerprint::check(self.bytes, offset, value)?;
                self.fingerprint = true;
            }
            _ if protected => return Ok(()),
            AttributeType::USERNAME => _ = self.username.get_or_insert(value),
            AttributeType::REALM => _ = self.realm.get_or_insert(value),
            AttributeType::NONCE => _ = self.nonce.get_or_insert(value),
            AttributeType::USERHASH => self.userhash = true,
            _ => return Ok(()),
        }
        if matches!(
            kind,
            AttributeType::MESSAGE_INTEGRITY | AttributeType::MESSAGE_INTEGRITY_SHA256 | AttributeType::FINGERPRINT
        ) {
            self.end = self.end.min(offset);
        }
        Ok(())
    }

    /// The first four bytes of the header, with the length of a message that ends with an attribute at `offset` whose
    /// value has `len` bytes.
    fn header_up_to(&self, offset: usize, len: usize) -> [u8; 4] {
        // A message is at most 65,555 bytes long, header included, so its length fits.
        let [high, low] = u16::try_from(offset + 4 + len - HEADER_LEN).unwrap_or(u16::MAX).to_be_bytes();
        [self.bytes[0], self.bytes[1], high, low]
    }

    /// Request, indication, success or error.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The transaction ID.
    #[must_use]
    pub const fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    /// The fields that a response copies.
    #[must_use]
    pub const fn transaction(&self) -> Transaction {
        Transaction { method: self.method, id: self.transaction_id, fingerprint: self.fingerprint }
    }

    /// The bytes of the message.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value of the first USERNAME.
    #[must_use]
    pub const fn username(&self) -> Option<&'a [u8]> {
        self.username
    }

    /// The value of the first REALM.
    #[must_use]
    pub const fn realm(&self) -> Option<&'a [u8]> {
        self.realm
    }

    /// The value of the first NONCE.
    #[must_use]
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.nonce
    }

    /// Whether there is a USERHASH.
    #[must_use]
    pub const fn has_userhash(&self) -> bool {
        self.userhash
    }

    /// Whether there is a MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity.is_some() || self.integrity_sha256.is_some()
    }

    /// Whether there is a FINGERPRINT.
    #[must_use]
    pub const fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// Checks MESSAGE-INTEGRITY-SHA256, or MESSAGE-INTEGRITY if there is no other, in constant time.
    ///
    /// If the message has both, [MESSAGE-INTEGRITY-SHA256 counts](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4).
    ///
    /// # Errors
    ///
    /// When there is neither, or it was not made with `key`.
    pub fn verify_integrity(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        self.verify(key.as_bytes())
    }

    pub(crate) fn verify(&self, key: &[u8]) -> Result<(), IntegrityError> {
        let Protection { offset, hmac } = self.integrity_sha256.or(self.integrity).ok_or(IntegrityError::Missing)?;
        let header = self.header_up_to(offset, hmac.len());
        let parts: [&[u8]; 2] = [&header, &self.bytes[4..offset]];
        let matches = match self.integrity_sha256 {
            Some(_) => integrity::verify_sha256(key, &parts, hmac),
            None => integrity::verify_sha1(key, &parts, hmac),
        };
        if matches { Ok(()) } else { Err(IntegrityError::Mismatch) }
    }

    /// What PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS say, in a request after a challenge with
    /// [`PasswordAlgorithm::OFFER`](crate::PasswordAlgorithm::OFFER).
    #[must_use]
    pub fn requested_algorithm(&self) -> RequestedAlgorithm {
        let value = |kind| self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value);
        RequestedAlgorithm::of(value(AttributeType::PASSWORD_ALGORITHMS), value(AttributeType::PASSWORD_ALGORITHM))
    }

    /// The attributes that count, in order: those before MESSAGE-INTEGRITY(-SHA256) and FINGERPRINT.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = RawAttribute<'a>> + use<'a> {
        // `parse` has checked all of them, so there are no errors.
        Attributes::new(&self.bytes[..self.end], HEADER_LEN).filter_map(Result::ok)
    }
}

pub(crate) fn check_len(attribute: AttributeType, value: &[u8], expected: usize) -> Result<(), ParseError> {
    match value.len() {
        actual if actual == expected => Ok(()),
        actual => Err(ParseError::AttributeLength { attribute, actual }),
    }
}

/// The bits C1 and C0 of a [message type](https://www.rfc-editor.org/rfc/rfc8489#section-5).
const fn class(message_type: u16) -> Class {
    match (message_type & 0x0100 != 0, message_type & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    }
}

/// The bits M11 to M0 of a message type.
const fn method(message_type: u16) -> Method {
    Method::new(message_type & 0x000F | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2)
}

#[cfg(test)]
mod tests;
