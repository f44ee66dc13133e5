//! RFC 8656, section 11.5: ICMP errors.

use std::net::SocketAddr;

use relay_server::{AllocationPort, DropReason, Event, Icmp, MAX_ICMP_PER_SECOND, PeerSocket};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Client, Relay, allocate_dual_stack, bind, delete, kind, permit};

const UNREACHABLE: Icmp = Icmp { icmp_type: 3, code: 3, error_data: 0 };

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer() -> SocketAddr {
    socket("203.0.113.1:9")
}

/// A client with an allocation of both families and a permission for each of `peers`.
fn permitted(peers: &[SocketAddr]) -> (Relay, Client, AllocationPort) {
    let mut relay = Relay::new();
    let mut client = Client::new("198.51.100.7:50000");
    let port = AllocationPort::new(relay.granted(&mut client, &allocate_dual_stack()).relayed()[0].port());
    if !peers.is_empty() {
        relay.granted(&mut client, &permit(peers));
    }
    relay.take_events();
    (relay, client, port)
}

/// The Data indication that the client gets when the kernel reports `icmp`, or why it gets none.
fn report(
    relay: &mut Relay,
    client: &Client,
    port: AllocationPort,
    peer: SocketAddr,
    icmp: Icmp,
) -> Result<(SocketAddr, Vec<u8>), DropReason> {
    relay.server.handle_icmp(relay.now, port, PeerSocket::new(peer), icmp);
    relay.drain();
    let Some(sent) = relay.take_sent() else {
        let [reason] = relay.take_drops()[..] else { panic!("one reason") };
        return Err(reason);
    };
    let [Event::IcmpTold { .. }] = relay.take_events()[..] else { panic!("one event") };
    assert_eq!((sent.from, sent.to), (client.server, client.socket));
    assert_eq!(sent.response.bytes[..2], [0x00, 0x17], "a Data indication");
    assert_eq!(sent.response.kinds(), [kind::XOR_PEER_ADDRESS, kind::ICMP]);
    let [peer] = sent.response.addresses(kind::XOR_PEER_ADDRESS)[..] else { panic!("one peer") };
    Ok((peer, sent.response.attribute(kind::ICMP).unwrap().to_vec()))
}

#[test]
fn an_error_is_told_in_a_data_indication() {
    let v6 = socket("[2001:db8::9]:9");
    let (mut relay, client, port) = permitted(&[peer(), v6]);
    for (peer, icmp) in [(peer(), (3, 1)), (peer(), (3, 3)), (peer(), (11, 0)), (v6, (1, 4)), (v6, (3, 0))] {
        // Only "too large" has error data.
        let icmp = Icmp { icmp_type: icmp.0, code: icmp.1, error_data: 7 };
        let value = vec![0, 0, icmp.icmp_type, icmp.code, 0, 0, 0, 0];
        assert_eq!(report(&mut relay, &client, port, peer, icmp), Ok((peer, value)));
    }
}

#[test]
fn a_datagram_that_was_too_large_comes_with_the_mtu() {
    let v6 = socket("[2001:db8::9]:9");
    let (mut relay, client, port) = permitted(&[peer(), v6]);
    for (peer, icmp_type, code) in [(peer(), 3, 4), (v6, 2, 0)] {
        let icmp = Icmp { icmp_type, code, error_data: 1_280 };
        let told = report(&mut relay, &client, port, peer, icmp);
        assert_eq!(told, Ok((peer, vec![0, 0, icmp_type, code, 0, 0, 5, 0])));
    }
}

#[test]
fn other_types_are_not_told() {
    let v6 = socket("[2001:db8::9]:9");
    let (mut relay, client, port) = permitted(&[peer(), v6]);
    let is_told = |is_v4: bool, icmp_type: u8| match is_v4 {
        true => matches!(icmp_type, 3 | 11),
        false => matches!(icmp_type, 1..=3),
    };
    for icmp_type in 0..=u8::MAX {
        for peer in [peer(), v6].into_iter().filter(|peer| !is_told(peer.is_ipv4(), icmp_type)) {
            let icmp = Icmp { icmp_type, ..UNREACHABLE };
            assert_eq!(report(&mut relay, &client, port, peer, icmp), Err(DropReason::UnknownIcmp), "{icmp:?}");
        }
    }
}

#[test]
fn a_peer_without_permission_is_not_told_of() {
    let (mut relay, mut client, port) = permitted(&[peer()]);
    // The port is not compared, and may be unknown.
    for told in [socket("203.0.113.1:10"), socket("203.0.113.1:0")] {
        assert!(report(&mut relay, &client, port, told, UNREACHABLE).is_ok());
    }
    let stranger = socket("203.0.113.2:9");
    assert_eq!(report(&mut relay, &client, port, stranger, UNREACHABLE), Err(DropReason::UnknownPeer));
    let no_port = AllocationPort::new(port.get() ^ 1);
    assert_eq!(report(&mut relay, &client, no_port, peer(), UNREACHABLE), Err(DropReason::UnknownPort));
    relay.advance_secs(300);
    relay.take_events();
    assert_eq!(report(&mut relay, &client, port, peer(), UNREACHABLE), Err(DropReason::UnknownPeer));
    relay.granted(&mut client, &permit(&[peer()]));
    relay.granted(&mut client, &delete());
    relay.take_events();
    assert_eq!(report(&mut relay, &client, port, peer(), UNREACHABLE), Err(DropReason::UnknownPort));
}

#[test]
fn the_peer_of_a_channel_is_told_of_for_as_long_as_the_channel_relays() {
    let (mut relay, mut client, port) = permitted(&[]);
    relay.granted(&mut client, &bind(0x4000, peer()));
    relay.advance_secs(300);
    relay.take_events();
    assert!(report(&mut relay, &client, port, peer(), UNREACHABLE).is_ok());
    let other_port = socket("203.0.113.1:10");
    assert_eq!(report(&mut relay, &client, port, other_port, UNREACHABLE), Err(DropReason::UnknownPeer));
}

#[test]
fn a_flood_of_errors_is_not_passed_on() {
    let (mut relay, client, port) = permitted(&[peer()]);
    let mut other = Client::new("198.51.100.8:50000");
    let other_port = AllocationPort::new(relay.allocate(&mut other).port());
    relay.granted(&mut other, &permit(&[peer()]));
    relay.take_events();
    for _ in 0..3 {
        for number in 0..3 * MAX_ICMP_PER_SECOND {
            let told = report(&mut relay, &client, port, peer(), UNREACHABLE);
            assert_eq!(told.err(), (number >= MAX_ICMP_PER_SECOND).then_some(DropReason::IcmpLimit));
        }
        assert!(report(&mut relay, &other, other_port, peer(), UNREACHABLE).is_ok(), "each client has its own");
        relay.advance_secs(1);
    }
}

#[test]
fn without_indications_nothing_is_told() {
    let mut relay = Relay::with(|config| config.indications = false);
    let mut client = Client::new("198.51.100.7:50000");
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    relay.granted(&mut client, &bind(0x4000, peer()));
    relay.take_events();
    relay.server.handle_icmp(relay.now, port, PeerSocket::new(peer()), UNREACHABLE);
    relay.drain();
    assert_eq!((relay.take_sent(), relay.take_events()), (None, vec![]));
}
