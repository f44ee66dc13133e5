//! RFC 8656, section 11: Send and Data indications.

use std::net::SocketAddr;

use relay_server::{AllocationPort, DropReason, Encapsulation, Event, Forward, Via};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, RELAY_V4, Relay, Request, XorAddress, allocate, allocate_dual_stack, bind, delete, kind,
    method, permit,
};

const SEND: u16 = method::SEND | method::INDICATION;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer() -> SocketAddr {
    socket("203.0.113.1:9")
}

fn send_to(peer: SocketAddr, data: &[u8]) -> Request {
    Request::new(SEND).with_peer(peer).with(kind::DATA, data)
}

/// A client with an allocation and a permission for [`peer`].
fn permitted() -> (Relay, Client, AllocationPort) {
    permitted_by(Relay::new())
}

fn permitted_by(mut relay: Relay) -> (Relay, Client, AllocationPort) {
    let mut client = Client::new("198.51.100.7:50000");
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    relay.granted(&mut client, &permit(&[peer()]));
    relay.take_events();
    (relay, client, port)
}

/// The address that the data of `request` leaves from, its destination, and the datagram; or why it is dropped.
fn send(relay: &mut Relay, client: &mut Client, request: &Request) -> Result<(Via, SocketAddr, Vec<u8>), DropReason> {
    let datagram = client.unsigned(request);
    match relay.receive(client, &datagram) {
        Some(forward) => {
            assert_eq!(relay.take_events(), [], "a relayed packet is no event");
            Ok((forward.from, forward.to, forward.to_vec(&datagram)))
        }
        None => {
            assert_eq!(relay.take_sent(), None, "silently");
            let [reason] = relay.take_drops()[..] else { panic!("one reason") };
            Err(reason)
        }
    }
}

/// The peer and the data in a Data indication, read byte by byte.
fn read_data(forward: &Forward, datagram: &[u8]) -> (SocketAddr, Vec<u8>) {
    let bytes = forward.to_vec(datagram);
    assert_eq!(bytes[..2], [0x00, 0x17]);
    assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len() - 20);
    assert_eq!(bytes[4..8], [0x21, 0x12, 0xA4, 0x42]);
    let transaction = bytes[8..20].try_into().unwrap();
    let attribute = |at: usize| {
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (kind, length) = (number(at), usize::from(number(at + 2)));
        (kind, &bytes[at + 4..at + 4 + length], at + 4 + length.next_multiple_of(4))
    };
    let (address, value, next) = attribute(20);
    let (data, payload, end) = attribute(next);
    assert_eq!((address, data, end), (kind::XOR_PEER_ADDRESS, kind::DATA, bytes.len()));
    assert!(bytes[next + 4 + payload.len()..].iter().all(|byte| *byte == 0), "padding is zero");
    (XorAddress::decode(value, transaction), payload.to_vec())
}

#[test]
fn the_data_of_a_send_goes_from_the_relayed_address_to_the_peer() {
    let (mut relay, mut client, port) = permitted();
    for data in [&b""[..], b"a", b"abc", b"hello", &[7; 65_507 - 36]] {
        let expected = (Via::Relay(port), peer(), data.to_vec());
        assert_eq!(send(&mut relay, &mut client, &send_to(peer(), data)), Ok(expected));
    }
    // A permission is for an address, with all its ports.
    let other = socket("203.0.113.1:65535");
    assert_eq!(send(&mut relay, &mut client, &send_to(other, b"hello")).unwrap().1, other);
}

#[test]
fn a_send_without_a_valid_peer_or_data_is_dropped() {
    let (mut relay, mut client, _) = permitted();
    for request in [
        Request::new(SEND),
        Request::new(SEND).with_peer(peer()),
        Request::new(SEND).with(kind::DATA, b"data"),
        Request::new(SEND).with(kind::DATA, b"data").with(kind::XOR_PEER_ADDRESS, &[0, 1, 0, 9, 1, 2, 3]),
        Request::new(SEND).with(kind::DATA, b"data").with(kind::XOR_PEER_ADDRESS, &[0, 3, 0, 9, 1, 2, 3, 4]),
    ] {
        assert_eq!(send(&mut relay, &mut client, &request), Err(DropReason::IncompleteSend), "{request:?}");
    }
}

#[test]
fn a_send_with_an_unknown_required_attribute_is_dropped() {
    let (mut relay, mut client, port) = permitted();
    let unknown = send_to(peer(), b"data").with(0x7F00, b"");
    assert_eq!(send(&mut relay, &mut client, &unknown), Err(DropReason::UnknownAttribute));
    let optional = send_to(peer(), b"data").with(kind::SOFTWARE, b"test");
    assert_eq!(send(&mut relay, &mut client, &optional), Ok((Via::Relay(port), peer(), b"data".to_vec())));
}

#[test]
fn a_send_to_a_peer_without_permission_is_dropped() {
    let (mut relay, mut client, _) = permitted();
    assert_eq!(
        send(&mut relay, &mut client, &send_to(socket("203.0.113.2:9"), b"data")),
        Err(DropReason::NoPermission)
    );
    let other_family = send_to(socket("[2001:db8::9]:9"), b"data");
    assert_eq!(send(&mut relay, &mut client, &other_family), Err(DropReason::PeerFamilyMismatch));
    let mut stranger = Client::new("198.51.100.7:50001");
    assert_eq!(send(&mut relay, &mut stranger, &send_to(peer(), b"data")), Err(DropReason::NoAllocation));
}

#[test]
fn a_send_does_not_refresh_the_permission() {
    let (mut relay, mut client, _) = permitted();
    relay.advance_secs(299);
    assert!(send(&mut relay, &mut client, &send_to(peer(), b"data")).is_ok());
    relay.advance_secs(1);
    relay.take_events();
    assert_eq!(send(&mut relay, &mut client, &send_to(peer(), b"data")), Err(DropReason::NoPermission));
}

#[test]
fn a_send_to_a_forbidden_port_is_dropped() {
    let (mut relay, mut client, _) = permitted();
    let itself = SocketAddr::new(RELAY_V4.into(), LISTEN_PORT);
    relay.granted(&mut client, &permit(&[itself]));
    relay.take_events();
    for forbidden in [itself, socket("203.0.113.1:0")] {
        let refused = send(&mut relay, &mut client, &send_to(forbidden, b"data"));
        assert_eq!(refused, Err(DropReason::PeerForbidden), "{forbidden}");
    }
}

#[test]
fn a_send_is_relayed_beside_a_channel_to_the_same_peer() {
    let (mut relay, mut client, port) = permitted();
    relay.granted(&mut client, &bind(0x4000, peer()));
    relay.take_events();
    assert_eq!(
        send(&mut relay, &mut client, &send_to(peer(), b"data")),
        Ok((Via::Relay(port), peer(), b"data".to_vec()))
    );
}

#[test]
fn a_wrong_fingerprint_drops_a_send() {
    let (mut relay, mut client, _) = permitted();
    let request = send_to(peer(), b"data").with_fingerprint();
    assert!(send(&mut relay, &mut client, &request).is_ok());
    let mut datagram = client.unsigned(&request);
    *datagram.last_mut().unwrap() ^= 1;
    assert_eq!(relay.receive(&client, &datagram), None);
    assert_eq!(relay.take_drops(), [DropReason::MalformedStun]);
}

#[test]
fn lengths_that_lie_drop_a_send() {
    let (mut relay, mut client, _) = permitted();
    let good = client.unsigned(&send_to(peer(), b"data"));
    let data_length = good.len() - 6;
    for (at, value) in [(data_length, 1), (data_length + 1, 5), (3, 0), (23, 200)] {
        let mut lies = good.clone();
        lies[at] = value;
        assert_eq!(relay.receive(&client, &lies), None, "byte {at}");
        assert_eq!(relay.take_drops(), [DropReason::MalformedStun]);
    }
}

#[test]
fn dont_fragment_that_cannot_be_honoured_is_an_unknown_attribute() {
    let (mut relay, mut client, _) = permitted_by(Relay::with(|config| config.dont_fragment = false));
    let request = send_to(peer(), b"data").with(kind::DONT_FRAGMENT, b"");
    assert_eq!(send(&mut relay, &mut client, &request), Err(DropReason::UnknownAttribute));
}

#[test]
fn dont_fragment_sets_the_df_bit() {
    let (mut relay, mut client, port) = permitted();
    for (request, encapsulation) in [
        (send_to(peer(), b"data"), Encapsulation::Bare),
        (send_to(peer(), b"data").with(kind::DONT_FRAGMENT, b""), Encapsulation::Unfragmented),
        (
            Request::new(SEND).with(kind::DONT_FRAGMENT, b"").with_peer(peer()).with(kind::DATA, b"data"),
            Encapsulation::Unfragmented,
        ),
    ] {
        let datagram = client.unsigned(&request);
        let forward = relay.receive(&client, &datagram).unwrap();
        assert_eq!((forward.from, forward.to, forward.encapsulation), (Via::Relay(port), peer(), encapsulation));
        assert_eq!(forward.to_vec(&datagram), b"data");
    }
    // An address of the relay without an allocation here: another shard may have it.
    let elsewhere = SocketAddr::new(RELAY_V4.into(), port.get() ^ 1);
    relay.granted(&mut client, &permit(&[elsewhere]));
    let datagram = client.unsigned(&send_to(elsewhere, b"data").with(kind::DONT_FRAGMENT, b""));
    assert_eq!(relay.receive(&client, &datagram).unwrap().encapsulation, Encapsulation::Unfragmented);
}

#[test]
fn dont_fragment_is_ignored_where_one_side_is_in_ipv6() {
    let (v4, v6) = (peer(), socket("[2001:db8::9]:9"));
    for (from, to) in [("[2001:db8::7]:50000", v4), ("[2001:db8::7]:50000", v6), ("198.51.100.7:50000", v6)] {
        for dont_fragment in [true, false] {
            let mut relay = Relay::with(|config| config.dont_fragment = dont_fragment);
            let mut client = Client::new(from);
            relay.granted(&mut client, &allocate_dual_stack());
            relay.granted(&mut client, &permit(&[to]));
            let datagram = client.unsigned(&send_to(to, b"data").with(kind::DONT_FRAGMENT, b""));
            let forward = relay.receive(&client, &datagram).unwrap();
            assert_eq!((forward.to, forward.encapsulation), (to, Encapsulation::Bare));
        }
    }
}

#[test]
fn a_datagram_from_a_permitted_peer_arrives_in_a_data_indication() {
    let (mut relay, client, port) = permitted();
    let mut transactions = Vec::new();
    for from in [peer(), socket("203.0.113.1:65535")] {
        for data in [&b""[..], b"a", b"abc", b"hello", &[7; 1200]] {
            let forward = relay.receive_from_peer(port, from, data).unwrap();
            assert_eq!((forward.from, forward.to), (Via::Listener(client.server), client.socket));
            assert_eq!(read_data(&forward, data), (from, data.to_vec()));
            let Encapsulation::Data { transaction, .. } = forward.encapsulation else { panic!("not Data") };
            assert!(!transactions.contains(&transaction));
            transactions.push(transaction);
        }
    }
    assert_eq!(relay.take_events(), []);
}

#[test]
fn a_peer_over_ipv6_is_named_in_a_data_indication() {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    let port = AllocationPort::new(relay.granted(&mut client, &allocate_dual_stack()).relayed()[0].port());
    let peer = socket("[2001:db8::9]:9");
    relay.granted(&mut client, &permit(&[peer]));
    let forward = relay.receive_from_peer(port, peer, b"hello").unwrap();
    assert_eq!(read_data(&forward, b"hello"), (peer, b"hello".to_vec()));
}

#[test]
fn a_peer_with_a_channel_is_answered_in_the_channel() {
    let (mut relay, mut client, port) = permitted();
    relay.granted(&mut client, &bind(0x4000, peer()));
    let channel = |forward: Option<Forward>| forward.unwrap().channel().map(relay_server::ChannelNumber::get);
    assert_eq!(channel(relay.receive_from_peer(port, peer(), b"data")), Some(0x4000));
    // Another port of the same address has no channel.
    assert_eq!(channel(relay.receive_from_peer(port, socket("203.0.113.1:10"), b"data")), None);
}

#[test]
fn the_relays_own_listening_port_is_no_peer() {
    let (mut relay, mut client, port) = permitted();
    let itself = SocketAddr::new(RELAY_V4.into(), LISTEN_PORT);
    relay.granted(&mut client, &permit(&[itself]));
    relay.take_events();
    assert_eq!(relay.receive_from_peer(port, itself, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::PeerForbidden]);
}

#[test]
fn two_clients_of_one_relay_reach_each_other_by_indications() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (Client::new("198.51.100.7:50000"), Client::new("198.51.100.8:50000"));
    let (at_one, at_other) = (relay.allocate(&mut one), relay.allocate(&mut other));
    let to_other = one.unsigned(&send_to(at_other, b"hello"));
    assert_eq!(relay.receive(&one, &to_other), None, "not permitted");
    relay.granted(&mut one, &permit(&[at_other]));
    assert_eq!(relay.receive(&one, &to_other), None, "not permitted in return");
    relay.granted(&mut other, &permit(&[at_one]));
    let forward = relay.receive(&one, &to_other).unwrap();
    assert_eq!((forward.from, forward.to), (Via::Listener(other.server), other.socket));
    assert_eq!(read_data(&forward, &to_other), (at_one, b"hello".to_vec()));

    // One client binds a channel. The other goes on with indications.
    relay.granted(&mut other, &bind(0x4001, at_one));
    let forward = relay.receive(&one, &to_other).unwrap();
    assert_eq!(forward.to_vec(&to_other), [&[0x40, 0x01, 0, 5][..], b"hello"].concat());
    let data = crate::support::channel_data(0x4001, b"hello");
    let forward = relay.receive(&other, &data).unwrap();
    assert_eq!(forward.to, one.socket);
    assert_eq!(read_data(&forward, &data), (at_other, b"hello".to_vec()));
}

#[test]
fn without_indications_a_send_is_dropped_and_a_permission_changes_nothing() {
    let mut relay = Relay::with(|config| config.indications = false);
    let mut client = Client::new("198.51.100.7:50000");
    let stranger = Client::new("198.51.100.7:50001");
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    relay.take_events();
    relay.granted(&mut client, &permit(&[peer()]));
    relay.granted(&mut client, &bind(0x4000, socket("203.0.113.1:10")));
    assert!(!relay.take_events().iter().any(|event| matches!(event, Event::PermissionInstalled { .. })));
    let datagram = client.unsigned(&send_to(peer(), b"data"));
    for (from, is_told) in [(&client, true), (&stranger, false)] {
        assert_eq!(relay.receive(from, &datagram), None);
        let events = relay.take_events();
        assert_eq!(events.iter().any(|event| matches!(event, Event::IndicationsAreOff { .. })), is_told);
        assert!(matches!(events.last(), Some(Event::Dropped { reason: DropReason::SendIndication, .. })));
    }
    assert_eq!(relay.receive_from_peer(port, peer(), b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
    assert_eq!(relay.server.allocations().next().unwrap().permissions(), []);
}

#[test]
fn a_deleted_allocation_relays_no_more() {
    let (mut relay, mut client, port) = permitted();
    relay.granted(&mut client, &delete());
    relay.granted(&mut client, &allocate());
    relay.take_events();
    assert_eq!(send(&mut relay, &mut client, &send_to(peer(), b"data")), Err(DropReason::NoPermission));
    assert_eq!(relay.receive_from_peer(port, peer(), b"data"), None);
}
