use proptest::prelude::*;
use stun_types::{attribute::AttributeFromRaw as _, message::Message as StunMessage};
use turn_types::attribute::{Data, XorPeerAddress};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{Class, Classified, Message, Method, classify, testing};

const SEND_TYPE: u16 = 0x0016;
const PEER: u16 = 0x0012;
const DATA_TYPE: u16 = 0x0013;
const DONT_FRAGMENT: u16 = 0x001A;
const FINGERPRINT: u16 = 0x8028;

/// 198.51.100.9:7000, XOR-ed by hand.
const PEER_V4: [u8; 8] = [0, 1, 0x1B ^ 0x21, 0x58 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xA4, 9 ^ 0x42];

fn peer() -> SocketAddr {
    "198.51.100.9:7000".parse().unwrap()
}

fn send(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    testing::message(SEND_TYPE, attributes)
}

/// Adds a FINGERPRINT, computed bit by bit.
fn with_fingerprint(mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len() - 20 + 8).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
    let mut crc = u32::MAX;
    for byte in &message {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    message.extend(FINGERPRINT.to_be_bytes());
    message.extend([0, 4]);
    message.extend((!crc ^ 0x5354_554E).to_be_bytes());
    message
}

fn payload(datagram: &[u8]) -> Result<&[u8], SendError> {
    SendIndication::parse(datagram).map(|send| &datagram[send.payload])
}

#[test]
fn the_data_and_the_peer_are_found_in_any_order() {
    let attributes = [(PEER, &PEER_V4[..]), (DATA_TYPE, b"hello"), (DONT_FRAGMENT, b""), (0x8022, b"software")];
    for first in 0..attributes.len() {
        let mut attributes = attributes;
        attributes.rotate_left(first);
        let datagram = send(&attributes);
        assert!(SendIndication::is_send(&datagram));
        assert_eq!(classify(&datagram), Ok(Classified::Stun));
        let parsed = SendIndication::parse(&datagram).unwrap();
        assert_eq!((parsed.peer, parsed.dont_fragment), (peer(), true));
        assert_eq!(&datagram[parsed.payload], b"hello");
    }
}

#[test]
fn the_type_is_that_of_the_method_and_class() {
    let datagram = send(&[(PEER, &PEER_V4), (DATA_TYPE, b"")]);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::SEND));
    assert!(!SendIndication::is_send(&testing::message(testing::ALLOCATE, &[])));
    assert_eq!(payload(&datagram), Ok(&b""[..]));
}

#[test]
fn what_is_missing_or_unknown_is_told() {
    let no_address: &[u8] = &[0, 3, 0, 0, 1, 2, 3, 4];
    for (attributes, expected) in [
        (&[(DATA_TYPE, &b"data"[..])][..], SendError::NoPeer),
        (&[(PEER, &PEER_V4)], SendError::NoData),
        (&[], SendError::NoPeer),
        (&[(PEER, no_address), (DATA_TYPE, b"data")], SendError::NoPeer),
        (&[(PEER, &PEER_V4[..7]), (DATA_TYPE, b"data")], SendError::NoPeer),
        (&[(PEER, b""), (DATA_TYPE, b"data")], SendError::NoPeer),
        (
            &[(PEER, &PEER_V4), (0x7F00, b""), (DATA_TYPE, b"data")],
            SendError::UnknownAttribute(AttributeType::new(0x7F00)),
        ),
    ] {
        assert_eq!(SendIndication::parse(&send(attributes)), Err(expected), "{attributes:?}");
    }
}

#[test]
fn of_what_occurs_twice_the_first_counts_and_nothing_behind_message_integrity() {
    let other: &[u8] = &[0, 1, 0, 0, 0, 0, 0, 0];
    let twice = send(&[(PEER, &PEER_V4), (DATA_TYPE, b"one"), (PEER, other), (DATA_TYPE, b"other")]);
    assert_eq!((SendIndication::parse(&twice).unwrap().peer, payload(&twice)), (peer(), Ok(&b"one"[..])));
    let behind = send(&[(PEER, &PEER_V4), (0x0008, &[0; 20]), (DATA_TYPE, b"data")]);
    assert_eq!(payload(&behind), Err(SendError::NoData));
}

#[test]
fn a_fingerprint_is_checked_and_must_be_the_last() {
    let plain = send(&[(PEER, &PEER_V4), (DATA_TYPE, b"hello")]);
    let good = with_fingerprint(plain.clone());
    assert_eq!(payload(&good), Ok(&b"hello"[..]));
    for at in 20..good.len() {
        let mut wrong = good.clone();
        wrong[at] ^= 1;
        // The type of FINGERPRINT itself says what the rest is: another attribute is ignored.
        let is_type = (good.len() - 8..good.len() - 6).contains(&at);
        assert_eq!(payload(&wrong).is_err(), !is_type, "byte {at}");
    }
    let mut not_last = with_fingerprint(plain);
    not_last.extend([0x80, 0x22, 0, 0]);
    let length = u16::try_from(not_last.len() - 20).unwrap();
    not_last[2..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(payload(&not_last), Err(ParseError::FingerprintNotLast.into()));
}

#[test]
fn lengths_that_lie_are_refused() {
    let good = send(&[(PEER, &PEER_V4), (DATA_TYPE, b"data")]);
    let length_of_data = 20 + 12 + 3;
    for length in 5..=u8::MAX {
        let mut lies = good.clone();
        lies[length_of_data] = length;
        assert_eq!(payload(&lies), Err(ParseError::AttributeOverrun { offset: 32 }.into()));
    }
    assert_eq!(payload(&good[..10]), Err(SendError::NoPeer));
}

/// Send indications with and without the usual order of attributes, which [`Usual`] parses.
#[test]
fn the_usual_shape_is_known_at_a_glance() {
    let usual = send(&[(PEER, &PEER_V4), (DATA_TYPE, b"hello")]);
    let v6 = [&[0, 2, 0, 0][..], &[7; 16]].concat();
    for (datagram, is_usual) in [
        (usual.clone(), true),
        (with_fingerprint(usual), true),
        (with_fingerprint(send(&[(PEER, &v6), (DATA_TYPE, b"")])), true),
        (send(&[(DATA_TYPE, b"hello"), (PEER, &PEER_V4)]), false),
        (send(&[(PEER, &PEER_V4), (DATA_TYPE, b"hello"), (DONT_FRAGMENT, b"")]), false),
        (send(&[(PEER, &PEER_V4), (DATA_TYPE, b"hello"), (0x8022, b"soft")]), false),
        (send(&[(PEER, &v6[..8]), (DATA_TYPE, b"hello")]), false),
    ] {
        assert_eq!(Usual::of(&datagram).is_some(), is_usual, "{datagram:?}");
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    /// With any change to the datagram.
    #[test]
    fn at_a_glance_nothing_else_is_seen(
        is_v6: bool,
        data in prop::collection::vec(any::<u8>(), 0..40),
        has_fingerprint: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in 0_usize..12,
    ) {
        let v6 = [&[0, 2, 0, 0][..], &[7; 16]].concat();
        let plain = send(&[(PEER, if is_v6 { &v6[..] } else { &PEER_V4 }), (DATA_TYPE, &data)]);
        let mut datagram = if has_fingerprint { with_fingerprint(plain) } else { plain };
        datagram.truncate(datagram.len() - if cut < 8 { 0 } else { cut });
        for (at, byte) in changes {
            // The bytes before have been checked.
            let at = 8 + at.index(datagram.len() - 8);
            datagram[at] = byte;
        }
        prop_assert_eq!(SendIndication::parse(&datagram), SendIndication::parse_any(&datagram));
    }

    /// Reads what another codec writes.
    #[test]
    fn any_address_and_data_are_read(peer: SocketAddr, data in prop::collection::vec(any::<u8>(), 0..100)) {
        let id = TransactionId(testing::TRANSACTION_ID);
        let address = XorPeerAddress::new(peer, id.into());
        let value = stun_types::prelude::AttributeWrite::to_raw(&address).value.to_vec();
        let datagram = send(&[(PEER, &value), (DATA_TYPE, &data)]);
        let read = SendIndication::parse(&datagram).unwrap();
        prop_assert_eq!((read.peer.ip(), read.peer.port()), (peer.ip(), peer.port()));
        prop_assert_eq!(&datagram[read.payload], &data);
    }

    /// Another codec reads what this one writes.
    #[test]
    fn a_data_indication_is_read_by_others(id: [u8; 12], peer: SocketAddr, data in prop::collection::vec(any::<u8>(), 0..100)) {
        let header = DataHeader::new(TransactionId(id), peer, data.len().try_into().unwrap());
        let mut datagram = header.as_bytes().to_vec();
        datagram.extend(&data);
        datagram.resize(datagram.len() + DataHeader::padding(data.len()), 0);
        let message = Message::parse(&datagram).unwrap();
        prop_assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        prop_assert_eq!(message.transaction_id(), TransactionId(id));

        let theirs = StunMessage::from_bytes(&datagram).unwrap();
        let address = theirs.attribute::<XorPeerAddress>().unwrap().addr(TransactionId(id).into());
        prop_assert_eq!((address.ip(), address.port()), (peer.ip(), peer.port()));
        let raw = theirs.raw_attribute(0x0013.into()).unwrap();
        let read = Data::from_raw(raw).unwrap();
        prop_assert_eq!(read.data(), &data[..]);
    }

    #[test]
    fn any_bytes_are_refused_or_lie_within(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(send) = SendIndication::parse(&bytes) {
            prop_assert!(send.payload.end <= bytes.len());
        }
    }
}

#[test]
fn padding_reaches_a_multiple_of_four() {
    for len in 0..9 {
        assert_eq!((len + DataHeader::padding(len)) % 4, 0);
        assert!(DataHeader::padding(len) < 4);
    }
}

#[test]
fn a_protection_of_the_wrong_length_is_no_sound_message() {
    for (kind, length) in [(AttributeType::MESSAGE_INTEGRITY, 20), (AttributeType::MESSAGE_INTEGRITY_SHA256, 32)] {
        let protected = |length: usize| send(&[(PEER, &PEER_V4), (DATA_TYPE, b"a"), (kind.number(), &vec![0; length])]);
        assert_eq!(payload(&protected(length)), Ok(&b"a"[..]));
        let actual = length - 1;
        let error = ParseError::AttributeLength { attribute: kind, actual };
        assert_eq!(payload(&protected(actual)), Err(error.into()));
        assert_eq!(Message::parse(&protected(actual)).err(), Some(error));
    }
}
