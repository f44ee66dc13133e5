use std::net::{Ipv4Addr, Ipv6Addr};

use md5::{Digest, Md5};
use proptest::prelude::*;
use stun_types::message::{IntegrityAlgorithm, LongTermKeyCredentials, MessageIntegrityCredentials};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    Message, Method, PasswordAlgorithm, TransactionId,
    testing::{self, TRANSACTION_ID, attributes, crc32, hmac_sha1},
};

pub(super) const fn transaction(method: Method, fingerprint: bool) -> Transaction {
    Transaction { method, id: TransactionId(TRANSACTION_ID), fingerprint }
}

const ALL_CODES: [ErrorCode; 13] = [
    ErrorCode::BAD_REQUEST,
    ErrorCode::UNAUTHENTICATED,
    ErrorCode::FORBIDDEN,
    ErrorCode::UNKNOWN_ATTRIBUTE,
    ErrorCode::ALLOCATION_MISMATCH,
    ErrorCode::STALE_NONCE,
    ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
    ErrorCode::WRONG_CREDENTIALS,
    ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
    ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
    ErrorCode::ALLOCATION_QUOTA_REACHED,
    ErrorCode::SERVER_ERROR,
    ErrorCode::INSUFFICIENT_CAPACITY,
];

fn full_success() -> AllocateSuccess {
    AllocateSuccess {
        relayed_v4: Some("192.0.2.15:50000".parse().unwrap()),
        relayed_v6: Some("[2001:db8::15]:50000".parse().unwrap()),
        mapped: "198.51.100.7:7000".parse().unwrap(),
        lifetime: Duration::from_secs(600),
        reservation_token: Some(*b"reserved"),
        address_error: Some(AddressError { family: FamilyCode::V6, code: ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED }),
    }
}

/// One of every kind.
fn responses(fingerprint: bool) -> Vec<Response<'static>> {
    let mut responses = vec![
        Response::binding_success(transaction(Method::BINDING, fingerprint), "192.0.2.1:32853".parse().unwrap()),
        Response::binding_success(transaction(Method::BINDING, fingerprint), "[2001:db8::1]:32853".parse().unwrap()),
        Response::allocate_success(transaction(Method::ALLOCATE, fingerprint), full_success()),
        Response::refresh_success(transaction(Method::REFRESH, fingerprint), Duration::from_secs(1)),
        Response::create_permission_success(transaction(Method::CREATE_PERMISSION, fingerprint)),
        Response::channel_bind_success(transaction(Method::CHANNEL_BIND, fingerprint)),
    ];
    let refused = transaction(Method::ALLOCATE, fingerprint);
    responses.extend(ALL_CODES.map(|code| Response::error(refused, code)));
    responses.extend(
        ["a", "ab", "abc", "firezone"]
            .map(|realm| Response::error(refused, ErrorCode::STALE_NONCE).challenge(realm, b"12345")),
    );
    const UNKNOWN: [AttributeType; 3] = [AttributeType::new(3), AttributeType::new(0x1B), AttributeType::new(0x7FFF)];
    responses.extend(
        (0..=3)
            .map(|count| Response::error(refused, ErrorCode::UNKNOWN_ATTRIBUTE).unknown_attributes(&UNKNOWN[..count])),
    );
    responses
}

/// Types and values, in order.
pub(super) fn read(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    attributes(bytes).into_iter().map(|(kind, value, _)| (kind, value)).collect()
}

fn key() -> (IntegrityKey, [u8; 16]) {
    (IntegrityKey::long_term(PasswordAlgorithm::Md5, "user", "realm", "pass"), Md5::digest("user:realm:pass").into())
}

#[test]
fn successes_have_their_attributes() {
    let mapped =
        Response::binding_success(transaction(Method::BINDING, false), "0.0.0.0:0".parse().unwrap()).finish(None);
    assert_eq!(mapped[..2], [0x01, 0x01]);
    assert_eq!(read(&mapped), [(0x0020, vec![0, 1, 0x21, 0x12, 0x21, 0x12, 0xA4, 0x42])]);

    let allocate = Response::allocate_success(transaction(Method::ALLOCATE, false), full_success()).finish(None);
    assert_eq!(allocate[..2], [0x01, 0x03]);
    let expected: Vec<(u16, Vec<u8>)> = vec![
        (0x0016, testing::unhex("0001 e242 e112a64d")),
        (0x0016, testing::unhex("0002 e242 0113a9fa 7472616e 73616374 696f6e34")),
        (0x0020, testing::unhex("0001 3a4a e721c045")),
        (0x000D, vec![0, 0, 0x02, 0x58]),
        (0x0022, b"reserved".to_vec()),
        (0x8001, [&[2, 0, 4, 40], b"Address Family not Supported".as_slice()].concat()),
    ];
    assert_eq!(read(&allocate), expected);

    let refresh = Response::refresh_success(transaction(Method::REFRESH, false), Duration::ZERO).finish(None);
    assert_eq!(refresh[..2], [0x01, 0x04]);
    assert_eq!(read(&refresh), [(0x000D, vec![0; 4])]);

    let permission = Response::create_permission_success(transaction(Method::CREATE_PERMISSION, false)).finish(None);
    assert_eq!((&permission[..2], read(&permission)), ([0x01, 0x08].as_slice(), vec![]));
    let bind = Response::channel_bind_success(transaction(Method::CHANNEL_BIND, false)).finish(None);
    assert_eq!((&bind[..2], read(&bind)), ([0x01, 0x09].as_slice(), vec![]));
}

#[test]
fn what_an_allocate_success_does_not_have_is_left_out() {
    let bare = AllocateSuccess { relayed_v6: None, reservation_token: None, address_error: None, ..full_success() };
    let bytes = Response::allocate_success(transaction(Method::ALLOCATE, false), bare).finish(None);
    let kinds: Vec<_> = read(&bytes).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [0x0016, 0x0020, 0x000D]);
}

#[test]
fn a_lifetime_is_whole_seconds_of_32_bits() {
    for (lifetime, seconds) in [
        (Duration::from_millis(1999), 1_u32),
        (Duration::from_secs(u32::MAX.into()), u32::MAX),
        (Duration::from_secs(u64::from(u32::MAX) + 1), u32::MAX),
        (Duration::MAX, u32::MAX),
    ] {
        let bytes = Response::refresh_success(transaction(Method::REFRESH, false), lifetime).finish(None);
        assert_eq!(read(&bytes), [(0x000D, seconds.to_be_bytes().to_vec())]);
    }
}

#[test]
fn errors_have_code_and_reason() {
    for code in ALL_CODES {
        let bytes = Response::error(transaction(Method::CHANNEL_BIND, false), code).finish(None);
        assert_eq!(bytes[..2], [0x01, 0x19]);
        let [class, number] = [code.number() / 100, code.number() % 100].map(|part| u8::try_from(part).unwrap());
        let value = [&[0, 0, class, number], code.reason().as_bytes()].concat();
        assert_eq!(read(&bytes), [(0x0009, value)]);
        assert!(!code.reason().is_empty());
    }
}

#[test]
fn a_reason_of_ones_own_has_at_most_127_characters() {
    let transaction = transaction(Method::ALLOCATE, false);
    for (reason, told) in [
        ("Bad Request: no CHANNEL-NUMBER".to_owned(), "Bad Request: no CHANNEL-NUMBER".to_owned()),
        (String::new(), String::new()),
        ("\u{1F980}".repeat(127), "\u{1F980}".repeat(127)),
        ("\u{1F980}".repeat(128), "\u{1F980}".repeat(127)),
    ] {
        let response = Response::error(transaction, ErrorCode::BAD_REQUEST).reason(&reason);
        let bytes = response.clone().finish(None);
        assert_eq!(read(&bytes), [(0x0009, [&[0, 0, 4, 0], told.as_bytes()].concat())]);
        // The limit leaves it out like any other reason phrase.
        assert_eq!(read(&response.max_len(28).finish(None)), [(0x0009, vec![0, 0, 4, 0])]);
    }
}

#[test]
fn a_code_without_a_name_has_no_reason() {
    let code = ErrorCode::new(699).unwrap();
    let bytes = Response::error(transaction(Method::BINDING, false), code).finish(None);
    assert_eq!(read(&bytes), [(0x0009, vec![0, 0, 6, 99])]);
}

#[test]
fn a_challenge_has_realm_and_nonce() {
    let response = Response::error(transaction(Method::ALLOCATE, false), ErrorCode::STALE_NONCE);
    let bytes = response.challenge("firezone", b"0123456789ab").finish(None);
    let kinds: Vec<_> = read(&bytes);
    assert_eq!(kinds[1..], [(0x0014, b"firezone".to_vec()), (0x0015, b"0123456789ab".to_vec())]);
}

#[test]
fn unknown_attributes_are_listed() {
    let unknown = [0x0003, 0x001B, 0x7FFF].map(AttributeType::new);
    let response = Response::error(transaction(Method::BINDING, false), ErrorCode::UNKNOWN_ATTRIBUTE);
    let bytes = response.unknown_attributes(&unknown).finish(None);
    assert_eq!(read(&bytes)[1..], [(0x000A, vec![0x00, 0x03, 0x00, 0x1B, 0x7F, 0xFF])]);
}

/// A datagram can name 16,379 attributes, and all of them must be listed.
#[test]
fn the_longest_list_of_unknown_attributes_fits() {
    let unknown: Vec<_> = (0..16_379).map(AttributeType::new).collect();
    let response = Response::error(transaction(Method::ALLOCATE, true), ErrorCode::UNKNOWN_ATTRIBUTE);
    let bytes = response.unknown_attributes(&unknown).challenge("firezone", &[b'a'; 128]).finish(Some(&key().0));
    assert!(Message::parse(&bytes).is_ok());
    assert_eq!(read(&bytes)[3].1.len(), 2 * unknown.len());
}

/// The goal: the response to the smallest unauthenticated Allocate request, 28 bytes, is at most twice as large.
#[test]
fn a_challenge_fits_twice_the_smallest_allocate() {
    let request = testing::message(testing::ALLOCATE, &[(0x0019, &[17, 0, 0, 0])]);
    assert_eq!(request.len(), 28);
    let message = Message::parse(&request).unwrap();
    let challenge =
        Response::error(message.transaction(), ErrorCode::UNAUTHENTICATED).challenge("firezone", &[b'n'; 12]);
    let bytes = challenge.max_len(2 * request.len()).finish(None);
    assert_eq!(bytes.len(), 2 * request.len());
    assert_eq!(read(&bytes)[0].1, [0, 0, 4, 1]);
}

#[test]
fn the_reason_is_left_out_only_if_it_does_not_fit() {
    for fingerprint in [false, true] {
        for key in [None, Some(key().0)] {
            let response = || {
                let transaction = transaction(Method::ALLOCATE, fingerprint);
                Response::error(transaction, ErrorCode::UNAUTHENTICATED).challenge("firezone", &[b'n'; 12])
            };
            let whole = response().finish(key.as_ref());
            assert_eq!(response().max_len(whole.len()).finish(key.as_ref()), whole);
            let short = response().max_len(whole.len() - 1).finish(key.as_ref());
            assert_eq!(short.len(), whole.len() - "Unauthenticated".len().next_multiple_of(4));
            assert_eq!(response().max_len(0).finish(key.as_ref()), short);
        }
    }
}

#[test]
fn overlong_realms_and_nonces_are_cut() {
    let long = "x".repeat(100_000);
    let response = Response::error(transaction(Method::ALLOCATE, false), ErrorCode::UNAUTHENTICATED);
    let bytes = response.challenge(&long, long.as_bytes()).finish(None);
    let read = read(&bytes);
    assert_eq!((read[1].1.len(), read[2].1.len()), (763, 763));

    let realm = "\u{FFFD}".repeat(1000);
    let response = Response::error(transaction(Method::ALLOCATE, false), ErrorCode::UNAUTHENTICATED);
    let bytes = response.challenge(&realm, b"nonce").finish(None);
    assert_eq!(attributes(&bytes)[1].1, "\u{FFFD}".repeat(254).as_bytes());
}

#[test]
fn successes_ignore_what_belongs_to_errors() {
    for response in responses(true) {
        if matches!(response.body, Body::Error(_)) {
            continue;
        }
        let plain = response.clone().finish(None);
        let unknown = [AttributeType::new(3)];
        assert_eq!(
            response.challenge("realm", b"nonce").reason("why").unknown_attributes(&unknown).max_len(0).finish(None),
            plain
        );
    }
}

#[test]
fn padding_is_zero() {
    for response in responses(true) {
        let bytes = response.finish(Some(&key().0));
        assert!(bytes.len().is_multiple_of(4));
        for (kind, _, padding) in attributes(&bytes) {
            assert!(padding.iter().all(|byte| *byte == 0), "{kind:#06x}");
        }
    }
}

#[test]
fn responses_carry_method_and_transaction() {
    for response in responses(false) {
        let (expected, is_error) = (response.transaction, matches!(response.body, Body::Error(_)));
        let bytes = response.finish(None);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.transaction(), expected);
        assert_eq!(message.class(), if is_error { crate::Class::Error } else { crate::Class::Success });
    }
}

#[test]
fn without_a_key_there_is_no_integrity() {
    for response in responses(true) {
        assert!(read(&response.finish(None)).iter().all(|(kind, _)| *kind != 0x0008));
    }
}

/// Checked by an HMAC implemented in the tests, and by stun-types.
#[test]
fn the_integrity_is_right_and_comes_last() {
    let (key, raw) = key();
    let long_term = LongTermKeyCredentials::new("user".to_owned(), "pass".to_owned(), "realm".to_owned());
    for response in responses(false) {
        let bytes = response.finish(Some(&key));
        let signed = bytes.len() - 24;
        assert_eq!(bytes[signed..signed + 4], [0x00, 0x08, 0x00, 0x14]);
        assert_eq!(bytes[signed + 4..], hmac_sha1(&raw, &bytes[..signed]));

        let theirs = StunMessage::from_bytes(&bytes).unwrap();
        let credentials = MessageIntegrityCredentials::LongTerm(long_term.clone());
        assert_eq!(theirs.validate_integrity(&credentials).unwrap(), IntegrityAlgorithm::Sha1);
    }
}

#[test]
fn the_fingerprint_is_right_and_comes_last() {
    let (key, raw) = key();
    for response in responses(true) {
        let bytes = response.finish(Some(&key));
        let covered = bytes.len() - 8;
        assert_eq!(bytes[covered..covered + 4], [0x80, 0x28, 0x00, 0x04]);
        assert_eq!(bytes[covered + 4..], (crc32(&bytes[..covered]) ^ 0x5354_554E).to_be_bytes());

        // MESSAGE-INTEGRITY was made when the length did not count FINGERPRINT yet.
        let signed = covered - 24;
        let mut unfinished = bytes[..signed].to_vec();
        let length = u16::try_from(covered - 20).unwrap();
        unfinished[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(bytes[signed + 4..covered], hmac_sha1(&raw, &unfinished));
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn addresses_make_the_round_trip(v4: [u8; 4], v6: [u8; 16], port: u16, id: [u8; 12]) {
        let transaction = Transaction { method: Method::ALLOCATE, id: TransactionId(id), fingerprint: true };
        let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
        let success = AllocateSuccess {
            relayed_v4: Some(SocketAddrV4::new(v4, port)),
            relayed_v6: Some(SocketAddrV6::new(v6, port, 0, 0)),
            mapped: SocketAddr::new(v6.into(), port),
            ..full_success()
        };
        let bytes = Response::allocate_success(transaction, success).finish(None);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.transaction(), transaction);

        let mask: Vec<u8> = [0x21, 0x12, 0xA4, 0x42].into_iter().chain(id).collect();
        let xor = |ip: &[u8]| ip.iter().zip(&mask).map(|(byte, mask)| byte ^ mask).collect::<Vec<u8>>();
        let [high, low] = (port ^ 0x2112).to_be_bytes();
        let values: Vec<_> = read(&bytes).into_iter().take(3).map(|(_, value)| value).collect();
        let v6_value = [&[0, 2, high, low], xor(&v6.octets()).as_slice()].concat();
        prop_assert_eq!(values, [[&[0, 1, high, low], xor(&v4.octets()).as_slice()].concat(), v6_value.clone(), v6_value]);
    }

    #[test]
    fn errors_make_the_round_trip(
        number in 300_u16..700,
        realm in "[a-z]{1,40}",
        nonce in prop::collection::vec(any::<u8>(), 0..40),
        unknown in prop::collection::vec(any::<u16>(), 0..20),
        max_len in 0..200_usize,
        fingerprint: bool,
        sign in prop::option::of(prop::sample::select(vec![PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256])),
        offer: bool,
    ) {
        let unknown: Vec<_> = unknown.into_iter().map(AttributeType::new).collect();
        let key = sign.map(|algorithm| IntegrityKey::long_term(algorithm, "user", "realm", "pass"));
        let response = Response::error(transaction(Method::REFRESH, fingerprint), ErrorCode::new(number).unwrap());
        let response = response.challenge(&realm, &nonce).unknown_attributes(&unknown).max_len(max_len);
        let bytes = if offer { response.offer_password_algorithms() } else { response }.finish(key.as_ref());
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.realm(), Some(realm.as_bytes()));
        prop_assert_eq!(message.nonce(), Some(nonce.as_slice()));
        prop_assert_eq!(message.has_integrity(), sign.is_some());
        prop_assert_eq!(message.has_fingerprint(), fingerprint);
        if let Some(key) = key {
            prop_assert_eq!(message.verify_integrity(&key), Ok(()));
        }
    }
}
