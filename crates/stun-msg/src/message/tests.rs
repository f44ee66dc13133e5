use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::PasswordAlgorithm;
use crate::testing::{self, ALLOCATE, BINDING, TRANSACTION_ID, VECTORS, push, push_fingerprint, push_integrity, unhex};

const KEY: &[u8] = b"0123456789abcdef";

#[test]
fn the_header_is_read() {
    let bytes = testing::message(ALLOCATE, &[]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.class(), Class::Request);
    assert_eq!(message.method(), Method::ALLOCATE);
    assert_eq!(message.transaction_id(), TransactionId(TRANSACTION_ID));
    assert_eq!(message.as_bytes(), bytes);
    let expected = Transaction { method: Method::ALLOCATE, id: TransactionId(TRANSACTION_ID), fingerprint: false };
    assert_eq!(message.transaction(), expected);
    assert!(!message.has_integrity() && !message.has_fingerprint() && !message.has_userhash());
    assert!(message.username().is_none() && message.realm().is_none() && message.nonce().is_none());
}

/// The bits of class and method are interleaved: <https://www.rfc-editor.org/rfc/rfc8489#section-5>.
#[test]
fn every_message_type_is_class_and_method() {
    for number in 0..0x1000_u16 {
        let method_bits = number & 0xF | (number & 0x70) << 1 | (number & 0xF80) << 2;
        for (class, class_bits) in
            [(Class::Request, 0), (Class::Indication, 0x10), (Class::Success, 0x100), (Class::Error, 0x110)]
        {
            let bytes = testing::message(method_bits | class_bits, &[]);
            let message = Message::parse(&bytes).unwrap();
            assert_eq!((message.class(), message.method()), (class, Method::new(number)));
        }
    }
}

#[test]
fn padding_is_ignored() {
    let mut bytes = testing::message(BINDING, &[(0x0006, b"me")]);
    bytes[26..].copy_from_slice(&[0xAA, 0x55]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some(b"me".as_slice()));
}

/// CVE-2026-40613: a server read numbers at unaligned addresses, which some processors refuse.
#[test]
fn a_message_is_read_alike_wherever_it_lies_in_memory() {
    let mut bytes = testing::message(ALLOCATE, &[(0x8022, b"odd"), (0x0019, &[17, 0, 0, 0]), (0x0006, b"user")]);
    push_fingerprint(&mut bytes);
    for offset in 0..16 {
        let mut memory = vec![0xFF; offset];
        memory.extend(&bytes);
        let message = Message::parse(&memory[offset..]).unwrap();
        assert_eq!((message.username(), message.has_fingerprint()), (Some(b"user".as_slice()), true));
        assert!(message.request().is_ok());
    }
}

#[test]
fn missing_padding_is_an_overrun() {
    // One byte of value without its three bytes of padding. The header's length must be a multiple of four, so the second attribute
    // lacks the padding.
    let mut bytes = testing::message(BINDING, &[(0x8022, b"")]);
    push(&mut bytes, 0x0006, b"");
    bytes[27] = 1;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::AttributeOverrun { offset: 24 });
}

#[test]
fn attributes_that_overrun_the_message_are_refused() {
    for claimed in [5_u16, 8, 0x7FFF, 0xFFFC, 0xFFFD, 0xFFFF] {
        let mut bytes = testing::message(BINDING, &[(0x0006, b"user")]);
        bytes[22..24].copy_from_slice(&claimed.to_be_bytes());
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::AttributeOverrun { offset: 20 }, "{claimed}");
    }
}

#[test]
fn of_username_realm_and_nonce_the_first_counts() {
    let bytes =
        testing::message(BINDING, &[(6, b"one"), (0x14, b"a"), (0x15, b"x"), (6, b"two"), (0x14, b"b"), (0x15, b"y")]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some(b"one".as_slice()));
    assert_eq!(message.realm(), Some(b"a".as_slice()));
    assert_eq!(message.nonce(), Some(b"x".as_slice()));
}

#[test]
fn nothing_counts_behind_message_integrity() {
    let mut bytes = testing::message(ALLOCATE, &[(0x0019, &[17, 0, 0, 0])]);
    push_integrity(&mut bytes, KEY);
    let alone = bytes.clone();
    for (kind, value) in [
        (0x0006, b"eve".as_slice()),
        (0x0014, b"realm"),
        (0x0015, b"nonce"),
        (0x000D, &[0, 0, 0, 0]),
        (0x001E, &[0; 32]),
        // Unknown and comprehension-required, but ignored here.
        (0x0024, &[0, 0, 0, 0]),
        // A second one.
        (0x0008, &[0; 20]),
    ] {
        push(&mut bytes, kind, value);
    }
    push_fingerprint(&mut bytes);

    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.verify(KEY), Ok(()));
    assert!(message.has_fingerprint() && !message.has_userhash());
    assert_eq!((message.username(), message.realm(), message.nonce()), (None, None, None));
    assert_eq!(message.request(), Message::parse(&alone).unwrap().request());
}

#[test]
fn the_fingerprint_counts_behind_ignored_attributes() {
    let mut bytes = testing::message(BINDING, &[]);
    push_integrity(&mut bytes, KEY);
    push(&mut bytes, 0x8022, b"late");
    push_fingerprint(&mut bytes);
    assert!(Message::parse(&bytes).unwrap().has_fingerprint());
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::FingerprintMismatch);
}

#[test]
fn nothing_follows_the_fingerprint() {
    for (kind, value) in [(0x8022, b"late".as_slice()), (0x0008, &[0; 20]), (0x8028, &[0; 4])] {
        let mut bytes = testing::message(BINDING, &[]);
        push_fingerprint(&mut bytes);
        let covered = bytes.len();
        push(&mut bytes, kind, value);
        // The FINGERPRINT itself matches: it was made with the length up to its own end.
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::FingerprintNotLast);
        bytes.truncate(covered);
    }
}

#[test]
fn sha256_counts_behind_message_integrity_and_wins() {
    let mut bytes = testing::message(BINDING, &[]);
    push_integrity(&mut bytes, KEY);
    let sha1_only = bytes.clone();
    push(&mut bytes, 0x001C, &[0; 32]);
    assert_eq!(Message::parse(&sha1_only).unwrap().verify(KEY), Ok(()));
    assert_eq!(Message::parse(&bytes).unwrap().verify(KEY), Err(IntegrityError::Mismatch));
}

/// Otherwise an attacker could take a message with SHA-256 and append a SHA-1 HMAC made with any key.
#[test]
fn message_integrity_does_not_count_behind_sha256() {
    let mut bytes = testing::message(BINDING, &[]);
    push(&mut bytes, 0x001C, &[0; 32]);
    push_integrity(&mut bytes, KEY);
    assert_eq!(Message::parse(&bytes).unwrap().verify(KEY), Err(IntegrityError::Mismatch));
}

#[test]
fn without_integrity_there_is_nothing_to_verify() {
    let bytes = testing::message(BINDING, &[]);
    let key = IntegrityKey::long_term(PasswordAlgorithm::Md5, "user", "realm", "pass");
    assert_eq!(Message::parse(&bytes).unwrap().verify_integrity(&key), Err(IntegrityError::Missing));
}

#[test]
fn protecting_attributes_have_one_length() {
    for (attribute, right) in [
        (AttributeType::MESSAGE_INTEGRITY, 20),
        (AttributeType::MESSAGE_INTEGRITY_SHA256, 32),
        (AttributeType::FINGERPRINT, 4),
    ] {
        for actual in (0..=64).filter(|len| *len != right) {
            let bytes = testing::message(BINDING, &[(attribute.number(), &vec![0; actual])]);
            let expected = ParseError::AttributeLength { attribute, actual };
            assert_eq!(Message::parse(&bytes).unwrap_err(), expected);
        }
    }
}

#[test]
fn the_largest_message_is_read() {
    let mut bytes = testing::message(BINDING, &[(0x8022, &vec![0; 0xFFF0 - 4])]);
    push_fingerprint(&mut bytes);
    push(&mut bytes, 0x8022, b"");
    assert_eq!(bytes.len(), 20 + 0xFFFC);
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::FingerprintNotLast);
    bytes.truncate(bytes.len() - 4);
    bytes[2..4].copy_from_slice(&0xFFF8_u16.to_be_bytes());
    assert!(Message::parse(&bytes).unwrap().has_fingerprint());
}

/// Calls every method of a parsed message.
fn ask_everything(message: &Message<'_>) {
    let _ = message.request();
    let _ = message.verify(KEY);
    let _ = (message.username(), message.realm(), message.nonce(), message.transaction());
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::parse(&bytes) {
            ask_everything(&message);
        }
    }

    #[test]
    fn any_body_behind_a_right_header_is_read_or_refused(
        message_type in 0_u16..0x4000,
        body in prop::collection::vec(any::<[u8; 4]>(), 0..50),
    ) {
        let mut bytes = testing::message(message_type, &[]);
        bytes.extend(body.concat());
        let length = u16::try_from(bytes.len() - 20).unwrap();
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        if let Ok(message) = Message::parse(&bytes) {
            ask_everything(&message);
        }
    }

    #[test]
    fn changed_vectors_are_read_or_refused(
        vector in prop::sample::select(VECTORS.as_slice()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = unhex(vector);
        for (index, value) in changes {
            *index.get_mut(&mut bytes) = value;
        }
        if let Ok(message) = Message::parse(&bytes) {
            ask_everything(&message);
        }
    }

    #[test]
    fn any_attributes_are_read_in_order(
        attributes in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..20)), 0..10),
    ) {
        let protecting = [0x0008, 0x001C, 0x8028];
        prop_assume!(attributes.iter().all(|(kind, _)| !protecting.contains(kind)));
        let borrowed: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let mut bytes = testing::message(BINDING, &borrowed);
        push_integrity(&mut bytes, KEY);
        push_fingerprint(&mut bytes);

        let message = Message::parse(&bytes).unwrap();
        let read: Vec<_> = message.attributes().map(|attribute| (attribute.kind.number(), attribute.value)).collect();
        prop_assert_eq!(read, borrowed);
        prop_assert_eq!(message.verify(KEY), Ok(()));
    }
}
