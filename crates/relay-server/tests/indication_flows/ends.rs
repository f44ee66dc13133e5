//! The flows of indications end with the permission.

use std::net::SocketAddr;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use relay_server::{AllocationId, Output, PeerPolicy, PeerRule, RelayAddresses};

use crate::{
    CHANNEL, Call, V4, V6, faster, socket,
    support::{RELAY_V4, RELAY_V6, Relay, Request, bind, delete, permit, refresh},
};

/// A client that has sent data to three peers at two addresses, which are remembered.
fn talking() -> (Call, [SocketAddr; 3]) {
    talking_on(Relay::with(faster))
}

fn talking_on(relay: Relay) -> (Call, [SocketAddr; 3]) {
    let mut call = Call::of(relay);
    let peers = [V4, "203.0.113.1:10", V6].map(socket);
    assert!(peers.iter().all(|peer| call.send(*peer)));
    assert_eq!(call.flows(), call.indicated(&peers));
    call.told();
    (call, peers)
}

fn policy(rules: &[&str]) -> PeerPolicy {
    let addresses = RelayAddresses { v4: Some(RELAY_V4), v6: Some(RELAY_V6) };
    PeerPolicy::of_relay_at(&addresses, rules.iter().map(|rule| rule.parse::<PeerRule>().unwrap()))
}

fn reload(call: &mut Call, rules: &[&str]) {
    call.relay.server.handle_peer_policy(policy(rules).into());
    call.relay.drain();
}

/// Whether all flows that end are removed before the last response.
fn ends_before_the_answer(call: &mut Call, request: &Request) -> bool {
    call.told();
    call.ask(request);
    let recorded = call.relay.recorded.take().unwrap();
    let answer = recorded.iter().rposition(|output| matches!(output, Output::Transmit { .. })).unwrap();
    let last = recorded.iter().rposition(|output| matches!(output, Output::RemoveFlow(_))).expect("flows end");
    last < answer
}

#[test]
fn a_permission_that_lapses_takes_the_flows_of_its_address_along() {
    let (mut call, [one, other, far]) = talking();
    call.relay.advance_secs(200);
    call.ask(&permit(&[far]));
    call.relay.advance_secs(101);
    assert_eq!(call.flows(), call.indicated(&[far]));
    assert!(!call.send(one) && !call.hear(other));
    // A new permission does not restore the flows.
    call.ask(&permit(&[one]));
    assert_eq!(call.flows(), call.indicated(&[far]));
    assert!(call.hear(other));
    assert_eq!(call.flows(), call.indicated(&[other, far]));
}

#[test]
fn a_channel_keeps_its_own_flows_when_the_permission_lapses() {
    let (mut call, [one, ..]) = talking();
    call.ask(&bind(CHANNEL, one));
    call.relay.advance_secs(301);
    let flows = call.flows();
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert!(call.hear(one) && !call.send(one));
    call.relay.advance_secs(300);
    assert_eq!(call.flows(), []);
}

#[test]
fn where_channel_and_permission_lapse_at_once_nothing_is_left_however_late_it_is_noticed() {
    for late in [false, true] {
        let (mut call, [one, ..]) = talking();
        call.ask(&bind(CHANNEL, one));
        call.relay.advance_secs(300);
        call.ask(&permit(&[one]));
        assert!(call.send(one));
        assert_eq!(call.flows().len(), 3);
        match late {
            false => call.relay.advance_secs(300),
            true => call.relay.jump_to(call.relay.now + std::time::Duration::from_secs(3_000)),
        }
        assert_eq!(call.flows(), []);
    }
}

#[test]
fn a_rule_ends_what_it_denies_be_it_an_address_or_one_of_its_ports() {
    let (mut call, [one, other, far]) = talking_on(Relay::with(|config| {
        faster(config);
        config.peer_policy = policy(&[]).into();
    }));
    reload(&mut call, &["deny 203.0.113.1:9"]);
    assert_eq!(call.flows(), call.indicated(&[other, far]), "the permission stands");
    assert!(!call.send(one) && !call.hear(one));
    assert_eq!(call.flows(), call.indicated(&[other, far]));
    reload(&mut call, &["deny 203.0.113.0/24"]);
    assert_eq!(call.flows(), call.indicated(&[far]));
    reload(&mut call, &[]);
    assert_eq!(call.flows(), call.indicated(&[far]), "nothing begins by itself");
    call.ask(&permit(&[one]));
    assert!(call.hear(one));
    assert_eq!(call.flows(), call.indicated(&[one, far]));
}

#[test]
fn a_denied_peer_loses_channel_and_indications() {
    let (mut call, [one, other, far]) = talking();
    call.ask(&bind(CHANNEL, one));
    reload(&mut call, &["deny 203.0.113.1:9"]);
    assert_eq!(call.flows(), call.indicated(&[other, far]));
}

#[test]
fn an_address_that_the_relays_machine_gets_ends_them() {
    let (mut call, [one, _, far]) = talking();
    call.relay.own_addresses(|addresses| addresses.own.push(one.ip()));
    assert_eq!(call.flows(), call.indicated(&[far]));
}

#[test]
fn one_family_ends_without_the_other() {
    let (mut call, [one, other, _]) = talking();
    assert!(ends_before_the_answer(&mut call, &delete().with_family(2)));
    assert_eq!(call.flows(), call.indicated(&[one, other]));
    // The same when the family expires.
    let (mut call, [.., far]) = talking();
    call.ask(&refresh().with_family(1).with_lifetime(600));
    for _ in 0..3 {
        call.ask(&permit(&[socket(V4), far]));
        call.relay.advance_secs(200);
    }
    assert_eq!(call.flows(), call.indicated(&[far]));
}

#[test]
fn an_allocation_takes_them_along_before_its_client_hears_of_it() {
    let (mut call, [one, ..]) = talking();
    call.ask(&bind(CHANNEL, one));
    assert!(ends_before_the_answer(&mut call, &delete()));
    assert_eq!(call.flows(), []);
    assert_eq!(call.relay.server.allocation_count(), 0);
}

#[test]
fn a_socket_that_fails_ends_them() {
    let (mut call, _) = talking();
    let id: AllocationId = call.relay.server.allocations().map(relay_server::Allocation::id).next().unwrap();
    call.relay.server.handle_relay_failed(id);
    call.relay.drain();
    assert_eq!(call.flows(), []);
}
