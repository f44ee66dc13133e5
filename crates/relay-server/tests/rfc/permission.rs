//! RFC 8656, sections 9 and 10: permissions.

use std::net::SocketAddr;

use relay_server::{AllocationPort, DropReason, Event, Limits};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{
    Client, RELAY_V4, Relay, Request, allocate, allocate_dual_stack, bind, delete, kind, method, permit, refresh,
};

fn client() -> Client {
    Client::new("198.51.100.7:50000")
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_datagram_from_a_stranger_is_dropped() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = socket("203.0.113.1:9");
    assert_eq!(relay.receive_from_peer(port, peer, b"data"), None);
    relay.granted(&mut client, &bind(0x4000, peer));
    assert!(relay.receive_from_peer(port, peer, b"data").is_some());
    relay.take_events();
    for stranger in ["203.0.113.2:9", "[::ffff:203.0.113.1]:9", "[2001:db8::9]:9"] {
        assert_eq!(relay.receive_from_peer(port, socket(stranger), b"data"), None);
        assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
    }
    assert_eq!(relay.take_sent(), None, "silently");
}

#[test]
fn a_peer_of_one_allocation_is_a_stranger_to_another() {
    let mut relay = Relay::new();
    let (mut one, mut other) = (client(), Client::new("198.51.100.7:50001"));
    relay.allocate(&mut one);
    let port = AllocationPort::new(relay.allocate(&mut other).port());
    let peer = socket("203.0.113.1:9");
    relay.granted(&mut one, &bind(0x4000, peer));
    relay.granted(&mut one, &permit(&[peer]));
    relay.take_events();
    assert_eq!(relay.receive_from_peer(port, peer, b"data"), None);
    assert_eq!(relay.take_drops(), [DropReason::UnknownPeer]);
}

#[test]
fn without_a_peer_address_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    assert_eq!(relay.outcome(&mut client, &permit(&[])), Err(400));
}

#[test]
fn an_invalid_peer_address_is_refused_with_400() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    let peer = socket("203.0.113.1:9");
    for invalid in
        [&[][..], &[0, 1, 0, 9], &[0, 1, 0, 9, 1, 2, 3], &[0, 2, 0, 9, 1, 2, 3, 4], &[0, 7, 0, 9, 1, 2, 3, 4]]
    {
        let request = Request::new(method::CREATE_PERMISSION).with(kind::XOR_PEER_ADDRESS, invalid);
        assert_eq!(relay.outcome(&mut client, &request), Err(400), "{invalid:?}");
        assert_eq!(relay.outcome(&mut client, &request.with_peer(peer)), Err(400), "before a valid one");
        let request = permit(&[peer]).with(kind::XOR_PEER_ADDRESS, invalid);
        assert_eq!(relay.outcome(&mut client, &request), Err(400), "after a valid one");
    }
}

#[test]
fn another_family_is_refused_with_443() {
    let mut relay = Relay::new();
    let (mut v4, mut v6) = (client(), Client::new("198.51.100.7:50001"));
    relay.granted(&mut v4, &allocate());
    relay.granted(&mut v6, &allocate().with_family(2));
    let (peer_v4, peer_v6) = (socket("203.0.113.1:9"), socket("[2001:db8::9]:9"));
    for (client, own, other) in [(&mut v4, peer_v4, peer_v6), (&mut v6, peer_v6, peer_v4)] {
        assert_eq!(relay.outcome(client, &permit(&[own])), Ok(()));
        assert_eq!(relay.outcome(client, &permit(&[other])), Err(443));
        assert_eq!(relay.outcome(client, &permit(&[own, other])), Err(443));
    }
    let mut dual = Client::new("198.51.100.7:50002");
    relay.granted(&mut dual, &allocate_dual_stack());
    assert_eq!(relay.outcome(&mut dual, &permit(&[peer_v4, peer_v6])), Ok(()));
}

#[test]
fn a_forbidden_peer_is_refused_with_403() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.granted(&mut client, &allocate_dual_stack());
    let peer = socket("203.0.113.1:9");
    for forbidden in [
        "0.0.0.0:9",
        "224.0.0.1:9",
        "239.255.255.255:9",
        "255.255.255.255:9",
        "[::]:9",
        "[ff02::1]:9",
        "[::ffff:203.0.113.1]:9",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:9",
        "[2002:c633:6407::1]:9",
    ] {
        assert_eq!(relay.outcome(&mut client, &permit(&[socket(forbidden)])), Err(403), "{forbidden}");
        assert_eq!(relay.outcome(&mut client, &permit(&[peer, socket(forbidden)])), Err(403), "{forbidden}");
    }
}

#[test]
fn several_peers_are_accepted_and_their_ports_ignored() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let relay_itself = SocketAddr::new(RELAY_V4.into(), 3478);
    let peers = [socket("203.0.113.1:9"), socket("203.0.113.2:0"), socket("203.0.113.1:65535"), relay_itself];
    assert_eq!(relay.outcome(&mut client, &permit(&peers)), Ok(()));
}

#[test]
fn success_is_empty_but_for_integrity() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.allocate(&mut client);
    let response = relay.granted(&mut client, &permit(&[socket("203.0.113.1:9")]));
    assert_eq!(response.kinds(), [kind::MESSAGE_INTEGRITY]);
}

/// Whether a datagram from `peer` is relayed to the client.
fn arrives(relay: &mut Relay, port: AllocationPort, peer: &str) -> bool {
    relay.receive_from_peer(port, socket(peer), b"data").is_some()
}

#[test]
fn a_permission_lasts_300_s_and_is_refreshed_by_either_request() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = "203.0.113.1:9";
    let requests =
        [permit(&[socket("203.0.113.1:0")]), bind(0x4000, socket("203.0.113.1:10")), permit(&[socket(peer)])];
    for (index, request) in requests.iter().enumerate() {
        relay.granted(&mut client, request);
        let renewals: Vec<_> = relay
            .take_events()
            .into_iter()
            .filter_map(|event| match event {
                Event::PermissionInstalled { renewal, .. } => Some(renewal),
                _ => None,
            })
            .collect();
        assert_eq!(renewals, [index > 0]);
        relay.advance_secs(299);
        assert!(arrives(&mut relay, port, peer));
        relay.granted(&mut client, &refresh());
    }
    relay.advance_secs(1);
    assert!(relay.take_events().iter().any(|event| matches!(event, Event::PermissionExpired { .. })));
    assert!(!arrives(&mut relay, port, peer));
}

#[test]
fn a_channel_relays_for_its_600_s_whatever_became_of_the_permission() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    relay.granted(&mut client, &bind(0x4000, socket("203.0.113.1:9")));
    relay.granted(&mut client, &refresh());
    relay.advance_secs(599);
    assert!(arrives(&mut relay, port, "203.0.113.1:9"));
    assert!(!arrives(&mut relay, port, "203.0.113.1:10"), "the permission itself is over");
}

#[test]
fn of_several_peers_all_are_permitted_or_none() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peers = ["203.0.113.1:9", "203.0.113.2:9", "203.0.113.3:9"];
    for (forbidden, code) in [("224.0.0.1:9", 403), ("[2001:db8::9]:9", 443)] {
        let all: Vec<_> = peers.iter().copied().chain([forbidden]).map(socket).collect();
        assert_eq!(relay.outcome(&mut client, &permit(&all)), Err(code));
        assert!(peers.iter().all(|peer| !arrives(&mut relay, port, peer)));
    }
    assert_eq!(relay.outcome(&mut client, &permit(&peers.map(socket))), Ok(()));
    assert!(peers.iter().all(|peer| arrives(&mut relay, port, peer)));
}

#[test]
fn an_allocation_holds_4096_permissions_and_no_more() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.allocate(&mut client).port());
    let peer = |number: u16| {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([203, 0, high, low], 9))
    };
    let limit = Limits::default().permissions_per_allocation;
    let all: Vec<_> = (0..limit).map(peer).collect();
    for some in all.chunks(1000) {
        relay.granted(&mut client, &permit(some));
    }
    let one_more = peer(limit);
    assert_eq!(relay.outcome(&mut client, &permit(&[one_more])), Err(508));
    assert_eq!(relay.outcome(&mut client, &permit(&[all[7], one_more])), Err(508));
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, one_more)), Err(508));
    assert!(!arrives(&mut relay, port, &one_more.to_string()));
    assert_eq!(relay.outcome(&mut client, &permit(&[all[7]])), Ok(()));
    assert_eq!(relay.outcome(&mut client, &bind(0x4000, all[7])), Ok(()));
    assert!(arrives(&mut relay, port, &all[7].to_string()));
}

#[test]
fn all_allocations_together_hold_as_many_permissions_as_there_may_be() {
    let mut relay = Relay::with(|config| config.limits.permissions = 3);
    let mut clients = [Client::new("198.51.100.7:40000"), Client::new("198.51.100.8:40000")];
    clients.iter_mut().for_each(|client| _ = relay.allocate(client));
    let peer = |last: u8| SocketAddr::from(([203, 0, 113, last], 9));
    relay.granted(&mut clients[0], &permit(&[peer(1), peer(2)]));
    assert_eq!(relay.outcome(&mut clients[1], &permit(&[peer(1), peer(2)])), Err(508), "all of them or none");
    relay.granted(&mut clients[1], &bind(0x4000, peer(1)));
    for client in &mut clients {
        assert_eq!(relay.outcome(client, &bind(0x4001, peer(3))), Err(508));
    }
    relay.granted(&mut clients[0], &permit(&[peer(1), peer(2)]));
    relay.granted(&mut clients[0], &delete());
    relay.granted(&mut clients[1], &permit(&[peer(2), peer(3)]));
}

#[test]
fn permissions_end_with_their_family_and_their_allocation() {
    let mut relay = Relay::new();
    let mut client = client();
    let port = AllocationPort::new(relay.granted(&mut client, &allocate_dual_stack()).relayed()[0].port());
    let peers = ["203.0.113.1:9", "[2001:db8::9]:9"];
    relay.granted(&mut client, &permit(&peers.map(socket)));
    assert!(peers.iter().all(|peer| arrives(&mut relay, port, peer)));
    relay.granted(&mut client, &delete().with_family(2));
    assert_eq!(peers.map(|peer| arrives(&mut relay, port, peer)), [true, false]);
    relay.granted(&mut client, &delete());
    assert!(!arrives(&mut relay, port, peers[0]));
    assert_eq!(relay.server.poll_timeout(), None, "nothing is left of them");
}
