//! Two clients of one relay, on different workers, exchange data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{net::SocketAddr, time::Duration};

use test_support::{
    PATIENCE,
    capability::has_ipv6,
    echo::Echo,
    relay::{self, Relay, clients_of_both_workers},
};
use turn_client::{BlockingClient, Family};

const ROUNDS: u8 = 20;

/// A client on each worker. Each has bound channel 0x4000 to the other.
fn bound(relay: &Relay, servers: [SocketAddr; 2], family: Family) -> [BlockingClient; 2] {
    let [(mut one, at_one), (mut other, at_other)] =
        clients_of_both_workers(family, |worker| relay.client(servers[worker], "a"));
    one.bind(0x4000, at_other).unwrap();
    other.bind(0x4000, at_one).unwrap();
    [one, other]
}

fn exchange([one, other]: &mut [BlockingClient; 2]) {
    for round in 0..ROUNDS {
        one.send(0x4000, &[round; 100]).unwrap();
        assert_eq!(other.receive(PATIENCE).unwrap(), Some((0x4000, vec![round; 100])));
        other.send(0x4000, &[round; 100]).unwrap();
        assert_eq!(one.receive(PATIENCE).unwrap(), Some((0x4000, vec![round; 100])));
    }
}

/// When a client has a success response for a channel, both workers know of the channel. So each packet is relayed once, to a
/// client, and none leaves through a relay socket.
fn crossed_in_one_step(servers: impl FnOnce(&Relay) -> [SocketAddr; 2], family: Family) {
    let relay = Relay::of_workers("2");
    let mut clients = bound(&relay, servers(&relay), family);
    exchange(&mut clients);
    let log = relay.stop().log;
    assert!(log.contains("; 0 packets (0 bytes) relayed to peers, 40 packets (4000 bytes) to clients;"), "{log}");
    assert!(log.contains("dropped: none"), "{log}");
}

#[test]
fn clients_of_two_workers_are_crossed_in_one_step() {
    crossed_in_one_step(|relay| [relay.v4(), relay.v4()], Family::V4);
}

#[test]
fn clients_of_two_workers_and_of_two_families_are_crossed_in_one_step() {
    if has_ipv6() {
        crossed_in_one_step(|relay| [relay.v4(), relay.v6()], Family::V4);
        crossed_in_one_step(|relay| [relay.v6(), relay.v4()], Family::V6);
    }
}

#[test]
fn a_client_that_ended_its_allocation_gets_nothing_from_the_other_worker() {
    let relay = Relay::of_workers("2");
    let echo = Echo::start(relay.v4());
    let mut clients = bound(&relay, [relay.v4(), relay.v4()], Family::V4);
    exchange(&mut clients);
    let [one, other] = &mut clients;
    other.refresh(Duration::ZERO).unwrap();
    one.send(0x4000, &[0; 100]).unwrap();
    // The relay handles datagrams in order, so with this echo it is done with the earlier ones.
    one.bind(0x4001, echo.address).unwrap();
    relay::exchange(one, 0x4001, &[0; 100]);
    let log = relay.stop().log;
    assert!(log.contains("; 2 packets (200 bytes) relayed to peers, 41 packets (4100 bytes) to clients;"), "{log}");
}
