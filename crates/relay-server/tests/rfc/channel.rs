//! RFC 8656, section 12: channels.

use std::net::SocketAddr;

use relay_server::{AllocationPort, Event, Output};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, LISTEN_PORT, RELAY_V4, RELAY_V6, Relay, Request, allocate, allocate_dual_stack, bind, channel_data, delete,
    kind, method, permit, refresh,
};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number], 9))
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client with an allocation for one hour.
fn allocated(relay: &mut Relay) -> Client {
    let mut client = client();
    relay.granted(&mut client, &allocate().with_lifetime(3600));
    client
}

fn relays(relay: &mut Relay, client: &Client, channel: u16) -> Option<SocketAddr> {
    relay.receive(client, &channel_data(channel, b"data")).map(|forward| forward.to)
}

#[test]
fn a_missing_number_or_peer_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    let request = Request::new(method::CHANNEL_BIND);
    for request in [
        request.clone(),
        request.clone().with(kind::CHANNEL_NUMBER, &[0x40, 0, 0, 0]),
        request.clone().with_peer(peer(1)),
        request.clone().with(kind::CHANNEL_NUMBER, &[0x40, 0]).with_peer(peer(1)),
        request.with(kind::CHANNEL_NUMBER, &[0x40, 0, 0, 0]).with(kind::XOR_PEER_ADDRESS, &[0, 1, 0, 9]),
    ] {
        assert_eq!(relay.outcome(&mut client, &request), Err(400));
    }
    assert_eq!(relays(&mut relay, &client, 0x4000), None);
}

#[test]
fn a_number_out_of_range_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    for number in [0, 1, 0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(relay.outcome(&mut client, &bind(number, peer(1))), Err(400), "{number:#06x}");
    }
    for (number, last) in [(0x4000, 1), (0x4FFF, 2), (0x5000, 3), (0x7FFF, 4)] {
        assert_eq!(relay.outcome(&mut client, &bind(number, peer(last))), Ok(()), "{number:#06x}");
        assert_eq!(relays(&mut relay, &client, number), Some(peer(last)));
    }
}

#[test]
fn a_number_bound_to_another_peer_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    for other in [peer(2), socket("203.0.113.1:10")] {
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, other)), Err(400));
    }
    assert_eq!(relays(&mut relay, &client, 0x4000), Some(peer(1)));
}

#[test]
fn a_peer_bound_to_another_number_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    assert_eq!(relay.outcome(&mut client, &bind(0x4001, peer(1))), Err(400));
    assert_eq!(relays(&mut relay, &client, 0x4001), None);
    assert_eq!(
        relay.outcome(&mut client, &bind(0x4001, socket("203.0.113.1:10"))),
        Ok(()),
        "another port is another peer"
    );
}

#[test]
fn rebinding_the_same_pair_refreshes_it() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    for _ in 0..5 {
        relay.granted(&mut client, &bind(0x4000, peer(1)));
        relay.advance_secs(599);
        assert_eq!(relays(&mut relay, &client, 0x4000), Some(peer(1)));
    }
    relay.advance_secs(1);
    assert_eq!(relays(&mut relay, &client, 0x4000), None);
}

#[test]
fn a_binding_lasts_600_s() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    relay.advance_secs(599);
    assert_eq!(relays(&mut relay, &client, 0x4000), Some(peer(1)));
    assert_eq!(relay.flows.len(), 2);
    relay.advance_secs(1);
    assert_eq!(relays(&mut relay, &client, 0x4000), None);
    assert_eq!(relay.flows.len(), 0);
}

#[test]
fn a_lapsed_pair_is_reserved_for_300_s() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    relay.advance_secs(600);
    for _ in 0..2 {
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer(2))), Err(400));
        assert_eq!(relay.outcome(&mut client, &bind(0x4001, peer(1))), Err(400));
        relay.advance_secs(299);
    }
    relay.take_events();
    relay.advance_secs(1);
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer(2))), Ok(()));
    assert_eq!(relay.outcome(&mut client, &bind(0x4001, peer(1))), Ok(()));
}

#[test]
fn a_lapsed_pair_may_rebind_at_once() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    for lapsed in [0, 299] {
        relay.advance_secs(600 + lapsed);
        assert_eq!(relays(&mut relay, &client, 0x4000), None);
        relay.take_events();
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer(1))), Ok(()));
        assert!(relay.events.iter().any(|event| matches!(event, Event::ChannelBound { renewal: true, .. })));
        assert_eq!(relays(&mut relay, &client, 0x4000), Some(peer(1)));
        assert_eq!(relay.flows.len(), 2);
    }
}

#[test]
fn another_family_is_refused_with_443() {
    let mut relay = Relay::new();
    let (mut v4, mut v6) = (allocated(&mut relay), Client::new("198.51.100.7:50001"));
    relay.granted(&mut v6, &allocate().with_family(2));
    let (peer_v4, peer_v6) = (peer(1), socket("[2001:db8::9]:9"));
    for (client, own, other) in [(&mut v4, peer_v4, peer_v6), (&mut v6, peer_v6, peer_v4)] {
        assert_eq!(relay.outcome(client, &bind(0x4000, other)), Err(443));
        assert_eq!(relay.outcome(client, &bind(0x4000, own)), Ok(()));
    }
    let mut dual = Client::new("198.51.100.7:50002");
    relay.granted(&mut dual, &allocate_dual_stack());
    assert_eq!(relay.outcome(&mut dual, &bind(0x4000, peer_v4)), Ok(()));
    assert_eq!(relay.outcome(&mut dual, &bind(0x4001, peer_v6)), Ok(()));
}

#[test]
fn a_forbidden_peer_is_refused_with_403() {
    let local = "10.0.0.1".parse().unwrap();
    let mut relay = Relay::with(|config| config.own_addresses.push(local));
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    let own = [RELAY_V4.into(), RELAY_V6.into(), local].map(|address| SocketAddr::new(address, LISTEN_PORT));
    let forbidden = [
        "0.0.0.0:9",
        "224.0.0.1:9",
        "239.255.255.255:9",
        "255.255.255.255:9",
        "203.0.113.1:0",
        "[::]:9",
        "[ff02::1]:9",
        "[2001:db8::9]:0",
        "[::ffff:203.0.113.1]:9",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:9",
        "[2002:c633:6407::1]:9",
    ];
    for forbidden in forbidden.map(socket).into_iter().chain(own) {
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, forbidden)), Err(403), "{forbidden}");
    }
    let allowed = ["10.0.0.1:9", "192.0.2.1:9", "203.0.113.1:3478", "[2001:db8::1]:9", "[2001:1::]:9", "127.0.0.1:9"];
    for (number, allowed) in (0x4000..).zip(allowed) {
        assert_eq!(relay.outcome(&mut client, &bind(number, socket(allowed))), Ok(()), "{allowed}");
    }
}

#[test]
fn a_link_local_peer_is_refused_with_403() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    for peer in ["[fe80::1]:9", "[febf:ffff::1]:9"].map(socket) {
        assert_eq!(relay.outcome(&mut client, &bind(0x4000, peer)), Err(403), "{peer}");
        assert_eq!(relay.outcome(&mut client, &permit(&[peer])), Err(403), "{peer}");
    }
    for (number, peer) in (0x4000..).zip(["[fe7f::1]:9", "[fec0::1]:9"].map(socket)) {
        assert_eq!(relay.outcome(&mut client, &bind(number, peer)), Ok(()), "{peer}");
    }
}

#[test]
fn the_listening_port_at_an_address_that_came_later_is_refused_with_403() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    let later = SocketAddr::new("203.0.113.200".parse().unwrap(), LISTEN_PORT);
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, later)), Ok(()));
    relay.own_addresses(|addresses| addresses.own.push(later.ip()));
    // A channel bound before cannot be refreshed either.
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, later)), Err(403));
    assert_eq!(relay.outcome(&mut client, &bind(0x4001, SocketAddr::new(later.ip(), 9))), Ok(()));
    relay.own_addresses(|_| ());
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, later)), Ok(()));
}

#[test]
fn the_same_number_in_two_allocations_is_two_channels() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (allocated(&mut relay), Client::new("198.51.100.7:50001"));
    let port = AllocationPort::new(relay.allocate(&mut other).port());
    relay.granted(&mut one, &bind(0x4000, peer(1)));
    relay.granted(&mut one, &bind(0x4001, peer(2)));
    relay.granted(&mut other, &bind(0x4000, peer(2)));
    relay.granted(&mut other, &bind(0x4001, peer(1)));
    assert_eq!(relays(&mut relay, &one, 0x4000), Some(peer(1)));
    assert_eq!(relays(&mut relay, &other, 0x4000), Some(peer(2)));
    assert_eq!(relay.receive_from_peer(port, peer(1), b"data").unwrap().channel().unwrap().get(), 0x4001);
    relay.granted(&mut other, &delete());
    assert_eq!(relays(&mut relay, &one, 0x4000), Some(peer(1)));
    assert_eq!(relay.flows.len(), 4);
}

#[test]
fn a_faster_data_path_hears_of_a_channel_and_of_its_end_before_the_client_does() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    for (request, concerns_flows) in [(bind(0x4000, peer(1)), installs as fn(&Output) -> bool), (delete(), removes)] {
        relay.recorded = Some(Vec::new());
        relay.granted(&mut client, &request);
        let recorded = relay.recorded.take().unwrap();
        let last_flow = recorded.iter().rposition(concerns_flows).expect("a flow");
        let response = recorded.iter().position(|output| matches!(output, Output::Transmit { .. })).unwrap();
        assert!(last_flow < response, "{recorded:?}");
    }
}

fn installs(output: &Output) -> bool {
    matches!(output, Output::InstallFlow(_))
}

fn removes(output: &Output) -> bool {
    matches!(output, Output::RemoveFlow(_))
}

#[test]
fn channels_end_with_their_allocation() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    relay.granted(&mut client, &delete());
    assert_eq!(relay.flows.len(), 0);
    relay.granted(&mut client, &allocate());
    assert_eq!(relays(&mut relay, &client, 0x4000), None);
    assert_eq!(
        relay.outcome(&mut client, &bind(0x4000, peer(2))),
        Ok(()),
        "the new allocation knows nothing of the old"
    );
}

#[test]
fn channels_that_lapse_while_nobody_looks_leave_no_flow() {
    // The machine was suspended, so channel and allocation expire in the same call.
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &bind(0x4000, peer(1)));
    relay.jump_to(relay.now + std::time::Duration::from_secs(3600));
    assert_eq!((relay.server.allocation_count(), relay.flows.len()), (0, 0));
}

#[test]
fn reserved_bytes_of_the_number_are_ignored() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    let request = Request::new(method::CHANNEL_BIND).with(kind::CHANNEL_NUMBER, &[0x40, 0x07, 0xFF, 0xFF]);
    assert_eq!(relay.outcome(&mut client, &request.with_peer(peer(1))), Ok(()));
    assert_eq!(relays(&mut relay, &client, 0x4007), Some(peer(1)));
}

#[test]
fn success_is_empty_but_for_integrity() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    assert_eq!(relay.granted(&mut client, &bind(0x4000, peer(1))).kinds(), [kind::MESSAGE_INTEGRITY]);
}

#[test]
fn all_allocations_together_hold_as_many_channels_as_there_may_be() {
    let mut relay = Relay::with(|config| config.limits.channels = 3);
    let mut clients = [client(), Client::new("198.51.100.8:40000")];
    clients.iter_mut().for_each(|client| _ = relay.allocate(client));
    for number in 1..3 {
        relay.granted(&mut clients[0], &bind(0x4000 + u16::from(number), peer(number)));
    }
    relay.granted(&mut clients[1], &bind(0x4001, peer(1)));
    for client in &mut clients {
        let refused = relay.ask(client, &bind(0x4003, peer(3)));
        assert_eq!(refused.error_code(), Some(508));
        assert!(relays(&mut relay, client, 0x4001).is_some(), "others relay on");
    }
    relay.granted(&mut clients[0], &bind(0x4002, peer(2)));
    relay.granted(&mut clients[0], &delete());
    relay.granted(&mut clients[1], &bind(0x4003, peer(3)));
}

#[test]
fn an_allocation_holds_4096_channels_and_no_more() {
    let mut relay = Relay::new();
    let mut client = allocated(&mut relay);
    relay.granted(&mut client, &refresh());
    for (number, port) in (0x4000..0x5000).zip(1..) {
        assert_eq!(relay.outcome(&mut client, &bind(number, SocketAddr::from(([203, 0, 113, 1], port)))), Ok(()));
    }
    assert_eq!(relay.outcome(&mut client, &bind(0x5000, peer(2))), Err(508));
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, SocketAddr::from(([203, 0, 113, 1], 1)))), Ok(()));
    assert_eq!(relay.flows.len(), 2 * 4096);
}
