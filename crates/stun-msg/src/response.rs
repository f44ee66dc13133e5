use std::{
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    time::Duration,
};

use stun_types::{
    attribute::{AttributeWrite, RawAttribute, XorMappedAddress, pad_attribute_len},
    message::{Message as StunMessage, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec},
};
use turn_types::attribute::{Lifetime, ReservationToken, XorRelayedAddress};

use crate::{
    AttributeType, ErrorCode, FamilyCode, IntegrityKey, PasswordAlgorithm, Transaction,
    attribute::ATTRIBUTE_HEADER_LEN, header::HEADER_LEN, integrity,
};

/// The [greatest length](https://www.rfc-editor.org/rfc/rfc8489#section-14.9) of REALM and NONCE in bytes; more are cut off.
const MAX_TEXT_LEN: usize = 763;
/// The greatest length of a reason phrase in characters.
const MAX_REASON_CHARS: usize = 127;

/// A response to a request: make it with one of the constructors, then encode it with [`Self::finish`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Response<'a> {
    transaction: Transaction,
    body: Body<'a>,
}

/// The attributes of an [Allocate success response](https://www.rfc-editor.org/rfc/rfc8656#section-7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateSuccess {
    /// XOR-RELAYED-ADDRESS, IPv4.
    pub relayed_v4: Option<SocketAddrV4>,
    /// XOR-RELAYED-ADDRESS, IPv6; it comes after the IPv4 one.
    pub relayed_v6: Option<SocketAddrV6>,
    /// XOR-MAPPED-ADDRESS: the client's address as the server sees it.
    pub mapped: SocketAddr,
    /// LIFETIME: sent in whole seconds, at most `u32::MAX`.
    pub lifetime: Duration,
    /// RESERVATION-TOKEN.
    pub reservation_token: Option<[u8; 8]>,
    /// ADDRESS-ERROR-CODE: the family that could not be granted.
    pub address_error: Option<AddressError>,
}

/// An [ADDRESS-ERROR-CODE](https://www.rfc-editor.org/rfc/rfc8656#section-18.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// Which family could not be granted.
    pub family: FamilyCode,
    /// Why: 440 or 508.
    pub code: ErrorCode,
}

#[derive(Clone, Debug)]
enum Body<'a> {
    Binding { mapped: SocketAddr },
    Allocate(AllocateSuccess),
    Refresh { lifetime: Duration },
    Empty,
    Error(ErrorBody<'a>),
}

#[derive(Clone, Debug)]
struct ErrorBody<'a> {
    code: ErrorCode,
    reason: &'a str,
    /// REALM and NONCE.
    challenge: Option<(&'a [u8], &'a [u8])>,
    /// Whether PASSWORD-ALGORITHMS follows the NONCE.
    offers_algorithms: bool,
    unknown: &'a [AttributeType],
    max_len: usize,
}

impl<'a> Response<'a> {
    /// A [Binding](https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1.1) success: the client's own address.
    pub const fn binding_success(transaction: Transaction, mapped: SocketAddr) -> Self {
        Self { transaction, body: Body::Binding { mapped } }
    }

    /// An [Allocate](https://www.rfc-editor.org/rfc/rfc8656#section-7.3) success.
    pub const fn allocate_success(transaction: Transaction, success: AllocateSuccess) -> Self {
        Self { transaction, body: Body::Allocate(success) }
    }

    /// A [Refresh](https://www.rfc-editor.org/rfc/rfc8656#section-8.2) success; `lifetime` is zero after a deletion.
    pub const fn refresh_success(transaction: Transaction, lifetime: Duration) -> Self {
        Self { transaction, body: Body::Refresh { lifetime } }
    }

    /// A [CreatePermission](https://www.rfc-editor.org/rfc/rfc8656#section-10.2) success.
    pub const fn create_permission_success(transaction: Transaction) -> Self {
        Self { transaction, body: Body::Empty }
    }

    /// A [ChannelBind](https://www.rfc-editor.org/rfc/rfc8656#section-12.2) success.
    pub const fn channel_bind_success(transaction: Transaction) -> Self {
        Self { transaction, body: Body::Empty }
    }

    /// An [error](https://www.rfc-editor.org/rfc/rfc8489#section-6.3.1.1) with the recommended reason phrase.
    pub const fn error(transaction: Transaction, code: ErrorCode) -> Self {
        let body = Body::Error(ErrorBody {
            code,
            reason: code.reason(),
            challenge: None,
            offers_algorithms: false,
            unknown: &[],
            max_len: usize::MAX,
        });
        Self { transaction, body }
    }

    /// Adds REALM and NONCE to an error, as [401 and 438](https://www.rfc-editor.org/rfc/rfc8489#section-9.2.4) need
    /// them. Each is cut to 763 bytes, the realm to whole characters. Successes ignore this.
    pub fn challenge(mut self, realm: &'a str, nonce: &'a [u8]) -> Self {
        if let Body::Error(error) = &mut self.body {
            let realm = &realm[..realm.floor_char_boundary(MAX_TEXT_LEN)];
            let nonce = &nonce[..nonce.len().min(MAX_TEXT_LEN)];
            error.challenge = Some((realm.as_bytes(), nonce));
        }
        self
    }

    /// Adds [PASSWORD-ALGORITHMS](https://www.rfc-editor.org/rfc/rfc8489#section-14.11) to a challenge:
    /// [`PasswordAlgorithm::OFFER`](crate::PasswordAlgorithm::OFFER). Its nonce must have the nonce cookie. Successes ignore this.
    pub const fn offer_password_algorithms(mut self) -> Self {
        if let Body::Error(error) = &mut self.body {
            error.offers_algorithms = true;
        }
        self
    }

    /// Adds [UNKNOWN-ATTRIBUTES](https://www.rfc-editor.org/rfc/rfc8489#section-14.13) to an error. Successes ignore this.
    pub const fn unknown_attributes(mut self, attributes: &'a [AttributeType]) -> Self {
        if let Body::Error(error) = &mut self.body {
            error.unknown = attributes;
        }
        self
    }

    /// Replaces the recommended reason phrase with one of at most
    /// [127 characters](https://www.rfc-editor.org/rfc/rfc8489#section-14.8); more are cut off. Successes ignore this.
    pub fn reason(mut self, reason: &'a str) -> Self {
        if let Body::Error(error) = &mut self.body {
            let end = reason.char_indices().nth(MAX_REASON_CHARS).map_or(reason.len(), |(end, _)| end);
            error.reason = &reason[..end];
        }
        self
    }

    /// Leaves out the reason phrase of an error if the message would otherwise exceed `max_len` bytes, so that the response to an
    /// unauthenticated client is not much larger than the request. Nothing else is left out. Successes ignore this.
    pub const fn max_len(mut self, max_len: usize) -> Self {
        if let Body::Error(error) = &mut self.body {
            error.max_len = max_len;
        }
        self
    }

    /// Encodes the message, with MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 if there is a `key`, and FINGERPRINT if the request had one.
    #[must_use]
    pub fn finish(self, key: Option<&IntegrityKey>) -> Vec<u8> {
        let class = if matches!(self.body, Body::Error(_)) { MessageClass::Error } else { MessageClass::Success };
        let method = stun_types::message::Method::new(self.transaction.method.number());
        let mut writer = Writer {
            transaction: self.transaction,
            message: StunMessage::builder(
                MessageType::from_class_method(class, method),
                self.transaction.id.into(),
                MessageWriteVec::with_capacity(128),
            ),
        };
        match self.body {
            Body::Binding { mapped } => writer.mapped(mapped),
            Body::Allocate(success) => writer.allocate(&success),
            Body::Refresh { lifetime } => writer.lifetime(lifetime),
            Body::Empty => {}
            Body::Error(error) => writer.error(&error, key),
        }
        writer.finish(key)
    }
}

struct Writer {
    transaction: Transaction,
    message: MessageWriteVec,
}

impl Writer {
    fn push(&mut self, attribute: &dyn AttributeWrite) {
        self.message.push_attribute_unchecked(attribute);
    }

    fn push_raw(&mut self, kind: AttributeType, value: &[u8]) {
        self.push(&RawAttribute::new(kind.number().into(), value));
    }

    fn mapped(&mut self, mapped: SocketAddr) {
        self.push(&XorMappedAddress::new(mapped, self.transaction.id.into()));
    }

    fn lifetime(&mut self, lifetime: Duration) {
        self.push(&Lifetime::new(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)));
    }

    fn allocate(&mut self, success: &AllocateSuccess) {
        let relayed = [success.relayed_v4.map(SocketAddr::V4), success.relayed_v6.map(SocketAddr::V6)];
        for address in relayed.into_iter().flatten() {
            self.push(&XorRelayedAddress::new(address, self.transaction.id.into()));
        }
        self.mapped(success.mapped);
        self.lifetime(success.lifetime);
        if let Some(token) = success.reservation_token {
            self.push(&ReservationToken::new(u64::from_be_bytes(token)));
        }
        if let Some(AddressError { family, code }) = success.address_error {
            self.push_raw(AttributeType::ADDRESS_ERROR_CODE, &error_value(family.0, code, code.reason()));
        }
    }

    fn error(&mut self, error: &ErrorBody<'_>, key: Option<&IntegrityKey>) {
        let padded = |value: &[u8]| ATTRIBUTE_HEADER_LEN + pad_attribute_len(value.len());
        let unknown: Vec<u8> = error.unknown.iter().flat_map(|kind| kind.number().to_be_bytes()).collect();
        let reason = error.reason;

        let mut len = HEADER_LEN + padded(&error_value(0, error.code, reason)) + self.protection_len(key);
        if let Some((realm, nonce)) = error.challenge {
            len += padded(realm) + padded(nonce);
            if error.offers_algorithms {
                len += padded(&PasswordAlgorithm::OFFER);
            }
        }
        if !unknown.is_empty() {
            len += padded(&unknown);
        }

        let reason = if len > error.max_len { "" } else { reason };
        self.push_raw(AttributeType::ERROR_CODE, &error_value(0, error.code, reason));
        if let Some((realm, nonce)) = error.challenge {
            self.push_raw(AttributeType::REALM, realm);
            self.push_raw(AttributeType::NONCE, nonce);
            if error.offers_algorithms {
                self.push_raw(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER);
            }
        }
        if !unknown.is_empty() {
            self.push_raw(AttributeType::UNKNOWN_ATTRIBUTES, &unknown);
        }
    }

    /// The length in bytes of the attributes that [`Self::finish`] adds.
    fn protection_len(&self, key: Option<&IntegrityKey>) -> usize {
        let integrity = match key {
            Some(key) if key.signs_with_sha256() => ATTRIBUTE_HEADER_LEN + 32,
            Some(_) => ATTRIBUTE_HEADER_LEN + 20,
            None => 0,
        };
        let fingerprint = if self.transaction.fingerprint { ATTRIBUTE_HEADER_LEN + 4 } else { 0 };
        integrity + fingerprint
    }

    /// Adds an HMAC of everything before it. The length in the header includes the HMAC.
    fn sign<const LEN: usize>(&mut self, kind: AttributeType, hmac: impl FnOnce(&[u8]) -> [u8; LEN]) {
        let signed = self.message.len();
        self.push_raw(kind, &[0; LEN]);
        let hmac = hmac(&self.message[..signed]);
        self.message[signed + ATTRIBUTE_HEADER_LEN..].copy_from_slice(&hmac);
    }

    fn finish(mut self, key: Option<&IntegrityKey>) -> Vec<u8> {
        match key {
            Some(key) if key.signs_with_sha256() => {
                self.sign(AttributeType::MESSAGE_INTEGRITY_SHA256, |signed| {
                    integrity::sign_sha256(key.as_bytes(), &[signed])
                });
            }
            Some(key) => {
                self.sign(AttributeType::MESSAGE_INTEGRITY, |signed| integrity::sign_sha1(key.as_bytes(), &[signed]));
            }
            None => {}
        }
        if self.transaction.fingerprint {
            // An error only for a second FINGERPRINT.
            let added = self.message.add_fingerprint();
            debug_assert!(added.is_ok());
        }
        self.message.finish()
    }
}

/// The value of an ERROR-CODE, or, if `family` is not zero, of an ADDRESS-ERROR-CODE.
fn error_value(family: u8, code: ErrorCode, reason: &str) -> Vec<u8> {
    // The code is at most 699.
    let [class, number] = [code.number() / 100, code.number() % 100].map(|part| part.to_be_bytes()[1]);
    [&[family, 0, class, number], reason.as_bytes()].concat()
}

#[cfg(test)]
mod algorithm_tests;
#[cfg(test)]
mod tests;
