use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::testing::{
    self, ALLOCATE, BINDING, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, TRANSACTION_ID, push_integrity,
};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

fn request(message_type: u16, attributes: &[(u16, &[u8])]) -> Result<Request, RequestError> {
    Message::parse(&testing::message(message_type, attributes)).unwrap().request()
}

fn allocate(attributes: &[(u16, &[u8])]) -> Allocate {
    match request(ALLOCATE, attributes) {
        Ok(Request::Allocate(allocate)) => allocate,
        other => panic!("{other:?}"),
    }
}

/// The value of an XOR-PEER-ADDRESS by <https://www.rfc-editor.org/rfc/rfc8489#section-14.2>.
fn xor_address(address: SocketAddr) -> Vec<u8> {
    let mask: Vec<u8> = COOKIE.into_iter().chain(TRANSACTION_ID).collect();
    let (family, ip) = match address {
        SocketAddr::V4(v4) => (1, v4.ip().octets().to_vec()),
        SocketAddr::V6(v6) => (2, v6.ip().octets().to_vec()),
    };
    let port = (address.port() ^ 0x2112).to_be_bytes();
    let ip = ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    [0, family].into_iter().chain(port).chain(ip).collect()
}

#[test]
fn a_bare_allocate_has_nothing() {
    assert_eq!(allocate(&[]), Allocate::default());
}

#[test]
fn an_allocate_has_every_attribute() {
    let expected = Allocate {
        requested_transport: Some(17),
        lifetime: Some(Duration::from_secs(3600)),
        dont_fragment: true,
        even_port: Some(true),
        reservation_token: Some(*b"12345678"),
        requested_family: Some(FamilyCode::V6),
        additional_family: Some(FamilyCode::V4),
    };
    let all = allocate(&[
        (0x0019, &[17, 0xFF, 0xFF, 0xFF]),
        (0x000D, &[0, 0, 0x0E, 0x10]),
        (0x001A, &[]),
        (0x0018, &[0xFF]),
        (0x0022, b"12345678"),
        (0x0017, &[2, 0xFF, 0xFF, 0xFF]),
        (0x8000, &[1, 0xFF, 0xFF, 0xFF]),
    ]);
    assert_eq!(all, expected);
}

#[test]
fn other_values_of_an_allocate_are_read() {
    assert_eq!(allocate(&[(0x0019, &[6, 0, 0, 0])]).requested_transport, Some(6));
    assert_eq!(allocate(&[(0x0018, &[0x7F])]).even_port, Some(false));
    assert_eq!(allocate(&[(0x0018, &[0x80])]).even_port, Some(true));
    assert_eq!(allocate(&[(0x000D, &[0xFF; 4])]).lifetime, Some(Duration::from_secs(u32::MAX.into())));
    assert_eq!(allocate(&[(0x000D, &[0; 4])]).lifetime, Some(Duration::ZERO));
}

#[test]
fn unknown_families_survive() {
    for family in 0..=u8::MAX {
        let allocate = allocate(&[(0x0017, &[family, 0, 0, 0]), (0x8000, &[family, 0, 0, 0])]);
        assert_eq!(allocate.requested_family, Some(FamilyCode(family)));
        assert_eq!(allocate.additional_family, Some(FamilyCode(family)));
    }
}

#[test]
fn a_refresh_has_its_attributes() {
    let refresh = request(REFRESH, &[(0x000D, &[0, 0, 0, 9]), (0x0017, &[1, 0, 0, 0])]);
    let expected = Refresh { lifetime: Some(Duration::from_secs(9)), requested_family: Some(FamilyCode::V4) };
    assert_eq!(refresh, Ok(Request::Refresh(expected)));
    assert_eq!(request(REFRESH, &[]), Ok(Request::Refresh(Refresh::default())));
}

#[test]
fn a_channel_bind_has_its_attributes() {
    let peer: SocketAddr = "203.0.113.9:4321".parse().unwrap();
    let bind = request(CHANNEL_BIND, &[(0x000C, &[0x40, 0x01, 0xFF, 0xFF]), (0x0012, &xor_address(peer))]);
    assert_eq!(bind, Ok(Request::ChannelBind(ChannelBind { channel: Some(0x4001), peer: Some(peer) })));
    assert_eq!(request(CHANNEL_BIND, &[]), Ok(Request::ChannelBind(ChannelBind::default())));
}

#[test]
fn a_create_permission_has_all_its_peers() {
    let peers: Vec<SocketAddr> =
        ["203.0.113.9:0", "[2001:db8::1]:65535", "203.0.113.9:0"].map(|peer| peer.parse().unwrap()).to_vec();
    let values: Vec<_> = peers.iter().map(|peer| xor_address(*peer)).collect();
    let attributes: Vec<_> = values.iter().map(|value| (0x0012, value.as_slice())).collect();
    assert_eq!(request(CREATE_PERMISSION, &attributes), Ok(Request::CreatePermission(CreatePermission { peers })));
    assert_eq!(request(CREATE_PERMISSION, &[]), Ok(Request::CreatePermission(CreatePermission::default())));
}

#[test]
fn the_first_occurrence_counts() {
    let twice = allocate(&[
        (0x0019, &[17, 0, 0, 0]),
        (0x000D, &[0, 0, 0, 1]),
        (0x0018, &[0x80]),
        (0x0022, b"12345678"),
        (0x0017, &[1, 0, 0, 0]),
        (0x8000, &[2, 0, 0, 0]),
        // Even where the second one is malformed.
        (0x0019, &[6]),
        (0x000D, &[0, 0, 0, 2]),
        (0x0018, &[0x00]),
        (0x0022, b"abcdefgh"),
        (0x0017, &[2, 0, 0, 0]),
        (0x8000, &[1, 0, 0, 0]),
    ]);
    let expected = Allocate {
        requested_transport: Some(17),
        lifetime: Some(Duration::from_secs(1)),
        dont_fragment: false,
        even_port: Some(true),
        reservation_token: Some(*b"12345678"),
        requested_family: Some(FamilyCode::V4),
        additional_family: Some(FamilyCode::V6),
    };
    assert_eq!(twice, expected);
}

#[test]
fn wrong_lengths_are_malformed() {
    let lengths = [
        (ALLOCATE, AttributeType::REQUESTED_TRANSPORT, 4),
        (ALLOCATE, AttributeType::LIFETIME, 4),
        (ALLOCATE, AttributeType::DONT_FRAGMENT, 0),
        (ALLOCATE, AttributeType::EVEN_PORT, 1),
        (ALLOCATE, AttributeType::RESERVATION_TOKEN, 8),
        (ALLOCATE, AttributeType::REQUESTED_ADDRESS_FAMILY, 4),
        (ALLOCATE, AttributeType::ADDITIONAL_ADDRESS_FAMILY, 4),
        (REFRESH, AttributeType::LIFETIME, 4),
        (REFRESH, AttributeType::REQUESTED_ADDRESS_FAMILY, 4),
        (CHANNEL_BIND, AttributeType::CHANNEL_NUMBER, 4),
    ];
    for (message_type, attribute, right) in lengths {
        for len in (0..40).filter(|len| *len != right) {
            let value = vec![1; len];
            let result = request(message_type, &[(attribute.number(), &value)]);
            assert_eq!(result, Err(RequestError::Malformed { attribute }), "{len} bytes");
        }
    }
}

#[test]
fn peers_of_a_wrong_length_or_family_are_malformed() {
    let attribute = AttributeType::XOR_PEER_ADDRESS;
    for message_type in [CHANNEL_BIND, CREATE_PERMISSION] {
        for len in 0..40 {
            for family in [0, 1, 2, 3, 0xFF] {
                let mut value = vec![0; len];
                if let Some(byte) = value.get_mut(1) {
                    *byte = family;
                }
                let right = (len, family) == (8, 1) || (len, family) == (20, 2);
                let result = request(message_type, &[(attribute.number(), &value)]);
                assert_eq!(result.is_ok(), right, "{len} bytes, family {family}");
                if !right {
                    assert_eq!(result, Err(RequestError::Malformed { attribute }));
                }
            }
        }
    }
}

#[test]
fn unknown_required_attributes_are_listed_once_each() {
    // MOBILITY-TICKET, ACCESS-TOKEN, CHANGE-REQUEST, USE-CANDIDATE; 0x8030 is optional and MOBILITY-TICKET comes twice.
    let attributes: Vec<_> =
        [0x8030, 0x001B, 0x0003, 0x001B, 0x0025, 0x7FFF, 0x8000].map(|kind| (kind, [2, 0, 0, 0].as_slice())).to_vec();
    let expected = [0x0003, 0x001B, 0x0025, 0x7FFF].map(AttributeType::new).to_vec();
    for message_type in [BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND] {
        assert_eq!(request(message_type, &attributes), Err(RequestError::UnknownAttributes(expected.clone())));
    }
}

#[test]
fn unknown_attributes_come_before_malformed_ones() {
    let expected = Err(RequestError::UnknownAttributes(vec![AttributeType::new(0x0002)]));
    assert_eq!(request(ALLOCATE, &[(0x000D, &[]), (0x0002, &[])]), expected);
}

/// A request may have any attribute that RFC 8489 and RFC 8656 define, even if it means nothing there, and any optional one.
#[test]
fn known_but_unexpected_attributes_are_ignored() {
    let known = [
        0x0001, 0x0006, 0x0009, 0x000A, 0x000C, 0x000D, 0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0017, 0x0018, 0x0019,
        0x001A, 0x001D, 0x001E, 0x0020, 0x0022, 0x8000, 0x8001, 0x8002, 0x8003, 0x8004, 0x8022, 0x8023, 0x8029, 0xFFFF,
    ];
    let attributes: Vec<_> = known.map(|kind| (kind, b"?".as_slice())).to_vec();
    assert_eq!(request(BINDING, &attributes), Ok(Request::Binding));
}

#[test]
fn a_plain_binding_request_is_a_binding() {
    assert_eq!(request(BINDING, &[(0x8022, b"a browser")]), Ok(Request::Binding));
}

#[test]
fn indications_and_responses_are_no_requests() {
    for class_bits in [0x10, 0x100, 0x110] {
        assert_eq!(request(ALLOCATE | class_bits, &[]), Err(RequestError::NotARequest));
    }
}

#[test]
fn unknown_methods_are_told() {
    let known = [0x001, 0x003, 0x004, 0x008, 0x009];
    for number in (0..0x1000).filter(|number| !known.contains(number)) {
        let message_type = number & 0xF | (number & 0x70) << 1 | (number & 0xF80) << 2;
        assert_eq!(request(message_type, &[]), Err(RequestError::UnknownMethod(number)));
    }
}

proptest! {
    #![proptest_config(test_support::property::config())]

    #[test]
    fn peers_make_the_round_trip(v4: [u8; 4], v6: [u8; 16], port: u16, channel: u16, signed: bool) {
        for peer in [SocketAddr::new(Ipv4Addr::from(v4).into(), port), SocketAddr::new(Ipv6Addr::from(v6).into(), port)] {
            let [high, low] = channel.to_be_bytes();
            let value = xor_address(peer);
            let mut bytes = testing::message(CHANNEL_BIND, &[(0x0012, &value), (0x000C, &[high, low, 0, 0])]);
            if signed {
                push_integrity(&mut bytes, b"key");
            }
            let expected = ChannelBind { channel: Some(channel), peer: Some(peer) };
            prop_assert_eq!(Message::parse(&bytes).unwrap().request(), Ok(Request::ChannelBind(expected)));
        }
    }

    /// Attributes with random values of about the right length: what the codec accepts is plausible.
    #[test]
    fn any_attribute_values_are_read_or_refused(
        message_type in prop::sample::select([BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND].as_slice()),
        attributes in prop::collection::vec(
            (
                prop::sample::select([0xC, 0xD, 0x12, 0x17, 0x18, 0x19, 0x1A, 0x22, 0x24, 0x8000].as_slice()),
                prop::collection::vec(any::<u8>(), 0..24),
            ),
            0..8,
        ),
    ) {
        let borrowed: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let has_unknown = attributes.iter().any(|(kind, _)| *kind == 0x24);
        match request(message_type, &borrowed) {
            Ok(_) => prop_assert!(!has_unknown),
            Err(RequestError::UnknownAttributes(list)) => {
                prop_assert!(has_unknown);
                prop_assert_eq!(list, [AttributeType::new(0x24)]);
            }
            Err(RequestError::Malformed { attribute }) => {
                prop_assert!(attributes.iter().any(|(kind, _)| *kind == attribute.number()));
            }
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
