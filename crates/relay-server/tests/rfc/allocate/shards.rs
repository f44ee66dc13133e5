//! Ports in a relay of several shards: reservations hold on all of them, and each can use the whole range.

use std::time::Duration;

use relay_server::{AllocationPort, DropReason, RelayOpenError, ShardMessage};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{client, numbered};
use crate::support::{Client, Response, Shards, allocate, allocate_dual_stack, delete, kind};

const LOWEST: u16 = Shards::LOWEST_PORT;

/// Two shards that draw from 50000 - 50001 and 50002 - 50003.
fn two() -> Shards {
    Shards::new(2, 2, |_| ())
}

/// Another client with the credentials of [`client`].
fn same_user(number: u16) -> Client {
    Client::named(&format!("198.51.100.7:{}", 60_000 + number), "198.51.100.7:50000")
}

fn port(response: &Response) -> u16 {
    assert_eq!(response.outcome(), Ok(()));
    response.relayed()[0].port()
}

/// Allocates a pair of ports on a shard. Returns the port of the first, and the token of the second.
fn reserve(shards: &mut Shards, index: usize, client: &mut Client) -> (u16, Vec<u8>) {
    let response = shards.ask(index, client, &allocate().with_even_port(true));
    shards.deliver_all();
    assert_eq!(port(&response) % 2, 0);
    (port(&response), response.attribute(kind::RESERVATION_TOKEN).unwrap().to_vec())
}

/// Allocates on a shard.
fn allocate_on(shards: &mut Shards, index: usize, client: &mut Client) -> u16 {
    let response = shards.ask(index, client, &allocate());
    shards.deliver_all();
    port(&response)
}

fn fill(shards: &mut Shards, index: usize, clients: std::ops::Range<u16>) -> Vec<u16> {
    let mut ports: Vec<_> = clients.map(|number| allocate_on(shards, index, &mut numbered(number))).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn a_reservation_holds_on_every_shard_of_the_relay() {
    let mut shards = two();
    let (port, token) = reserve(&mut shards, 0, &mut client());
    let mut second = same_user(1);
    let response = shards.ask(1, &mut second, &allocate().with_token(&token));
    assert_eq!(response.relayed()[0].port(), port + 1);
    shards.deliver_all();

    // The reservation is used up on both shards, and the port stays in use for longer than a reservation lasts.
    for index in [0, 1] {
        assert_eq!(shards.ask(index, &mut same_user(2), &allocate().with_token(&token)).outcome(), Err(508));
        shards.advance_secs(31);
    }
    assert_eq!(fill(&mut shards, 0, 3..5), [LOWEST + 2, LOWEST + 3]);
    assert_eq!(shards.ask(0, &mut numbered(5), &allocate()).outcome(), Err(508), "the port is in use elsewhere");
    // The port is returned by the other shard.
    assert_eq!(shards.ask(1, &mut second, &delete()).outcome(), Ok(()));
    shards.deliver_all();
    assert_eq!(allocate_on(&mut shards, 0, &mut numbered(5)), port + 1);
}

#[test]
fn a_reservation_taken_where_it_was_made_is_worth_nothing_elsewhere() {
    let mut shards = two();
    let (first, token) = reserve(&mut shards, 0, &mut client());
    let mut second = same_user(1);
    assert_eq!(port(&shards.ask(0, &mut second, &allocate().with_token(&token))), first + 1);
    assert_eq!(shards.ask(0, &mut second, &delete()).outcome(), Ok(()));
    shards.deliver_all();
    assert_eq!(shards.ask(1, &mut same_user(2), &allocate().with_token(&token)).outcome(), Err(508));
}

#[test]
fn a_reservation_that_nobody_takes_ends_on_every_shard() {
    let mut shards = two();
    let (port, token) = reserve(&mut shards, 0, &mut client());
    shards.advance_secs(30);
    for index in [0, 1] {
        assert_eq!(shards.ask(index, &mut same_user(1), &allocate().with_token(&token)).outcome(), Err(508));
    }
    // The reservation may have been redeemed at the last moment, so the shards wait a little longer.
    shards.advance_secs(5);
    assert_eq!(fill(&mut shards, 1, 1..4), [port + 1, LOWEST + 2, LOWEST + 3]);
}

#[test]
fn the_whole_range_can_be_allocated_from_any_shard() {
    for (count, ports) in [(2, 4), (4, 8), (3, 5), (4, 2), (3, 1)] {
        for index in 0..usize::from(count) {
            let mut shards = Shards::with_ports(count, 2, ports, |_| ());
            assert!(fill(&mut shards, index, 0..ports).into_iter().eq(LOWEST..LOWEST + ports));
            assert_eq!(shards.ask(index, &mut numbered(100), &allocate()).outcome(), Err(508));
            // A deleted allocation's port can be allocated again on any shard.
            assert_eq!(shards.ask(index, &mut numbered(0), &delete()).outcome(), Ok(()));
            shards.deliver_all();
            let other = (index + 1) % usize::from(count);
            allocate_on(&mut shards, other, &mut numbered(101));
            assert_eq!(shards.ask(other, &mut numbered(102), &allocate()).outcome(), Err(508));
        }
    }
}

#[test]
fn a_shard_that_has_ports_of_its_own_asks_nobody() {
    let mut shards = two();
    for number in 0..2 {
        assert!(shards.try_ask(0, &mut numbered(number), &allocate()).is_some());
    }
    let asks = |(_, message): &(_, ShardMessage)| matches!(message, ShardMessage::PortWanted { .. });
    assert!(!shards.relays[0].told.iter().any(asks));
    assert_eq!(shards.try_ask(0, &mut numbered(2), &allocate()), None);
    assert!(shards.relays[0].told.iter().any(asks));
}

#[test]
fn a_lent_port_goes_home_when_its_allocation_ends() {
    let mut shards = two();
    fill(&mut shards, 0, 0..2);
    for ended in 0..3 {
        let mut client = numbered(2);
        assert!(allocate_on(&mut shards, 0, &mut client) >= LOWEST + 2);
        match ended {
            0 => assert_eq!(shards.ask(0, &mut client, &delete()).outcome(), Ok(())),
            1 => {
                let relay = &mut shards.relays[0];
                let five_tuple = client.five_tuple();
                let id = relay.server.allocations().find(|one| one.five_tuple() == five_tuple).unwrap().id();
                relay.server.handle_relay_failed(id);
                relay.drain();
            }
            _ => shards.advance_secs(600),
        }
        shards.deliver_all();
    }
    // The pair of ports is complete again.
    let mut one = numbered(9);
    assert!(shards.relays[1].granted(&mut one, &allocate().with_even_port(true)).relayed()[0].port() >= LOWEST + 2);
}

#[test]
fn even_ports_and_pairs_are_lent_too() {
    let pair = |number: u16| Client::named(&format!("198.51.100.8:{number}"), "pair");
    // The second port may be redeemed where it was reserved, or where it belongs.
    for index in [0, 1] {
        let mut shards = two();
        fill(&mut shards, 0, 0..2);
        let (first, token) = reserve(&mut shards, 0, &mut pair(1));
        assert_eq!(first, LOWEST + 2);
        assert_eq!(shards.ask(0, &mut numbered(3), &allocate()).outcome(), Err(508), "the next port is reserved");
        assert_eq!(port(&shards.ask(index, &mut pair(2), &allocate().with_token(&token))), LOWEST + 3);
        shards.deliver_all();
        for (index, number) in [(0, 1), (index, 2)] {
            assert_eq!(shards.ask(index, &mut pair(number), &delete()).outcome(), Ok(()));
            shards.deliver_all();
        }

        // The second port is not redeemed.
        assert_eq!(reserve(&mut shards, 0, &mut pair(1)).0, LOWEST + 2);
        shards.advance_secs(35);
        shards.deliver_all();
        let even = allocate().with_even_port(false);
        assert_eq!(shards.ask(0, &mut numbered(4), &even).outcome(), Err(508), "there is no even one left");
        assert_eq!(allocate_on(&mut shards, 0, &mut numbered(4)), LOWEST + 3);
    }
}

#[test]
fn a_request_that_waits_for_a_port_is_in_progress() {
    let mut shards = two();
    fill(&mut shards, 0, 0..2);
    let mut waiting = client();
    waiting.socket.set_port(40_000);
    shards.relays[0].challenge(&mut waiting);
    let request = waiting.sign(&allocate_dual_stack());
    for _ in 0..2 {
        assert_eq!(shards.relays[0].answer(&waiting, &request), None);
    }
    assert_eq!(shards.relays[0].take_drops(), [DropReason::RequestInProgress]);
    assert_eq!(shards.relays[0].outcome(&mut waiting, &allocate()), Err(437), "another request of that client");
    shards.deliver_all();
    let sent = shards.relays[0].take_sent().unwrap();
    assert_eq!((sent.to, sent.response.outcome()), (waiting.socket, Ok(())));
    // The response may be lost. It is sent again.
    assert_eq!(shards.relays[0].answer(&waiting, &request), Some(sent.response));
}

#[test]
fn a_user_who_asks_twice_while_a_shard_waits_keeps_to_the_limit() {
    let mut shards = Shards::new(2, 2, |config| {
        config.username_limit = relay_server::UsernameLimit::RefuseBeyond(1);
    });
    fill(&mut shards, 0, 1..3);
    let mut clients = [same_user(1), same_user(2)];
    for client in &mut clients {
        assert_eq!(shards.try_ask(0, client, &allocate()), None);
    }
    shards.deliver_all();
    let answers: Vec<_> =
        std::iter::from_fn(|| shards.relays[0].take_sent()).map(|sent| sent.response.outcome()).collect();
    assert_eq!(answers, [Ok(()), Err(486)]);
    // The lent port was not needed and has been returned.
    assert!(allocate_on(&mut shards, 1, &mut numbered(4)) >= LOWEST + 2);
}

#[test]
fn a_shard_that_does_not_answer_is_passed_over() {
    let mut shards = Shards::new(3, 1, |_| ());
    fill(&mut shards, 0, 0..1);
    let mut waiting = numbered(1);
    assert_eq!(shards.try_ask(0, &mut waiting, &allocate()), None);
    shards.advance(Duration::from_millis(249));
    shards.post();
    assert_eq!(shards.under_way_to(2).filter(|told| matches!(told, ShardMessage::PortWanted { .. })).count(), 0);
    shards.advance(Duration::from_millis(1));
    shards.deliver(0, 2);
    while shards.relays[0].server.allocation_count() < 2 {
        shards.deliver(0, 2);
        shards.deliver(2, 0);
    }
    assert_eq!(shards.relays[0].take_sent().unwrap().response.relayed()[0].port(), LOWEST + 2);
    // The other shard's port comes too late and is returned.
    shards.deliver_all();
    assert_eq!(allocate_on(&mut shards, 1, &mut numbered(2)), LOWEST + 1);
}

#[test]
fn no_request_waits_for_more_than_a_second() {
    let mut shards = Shards::new(32, 1, |_| ());
    fill(&mut shards, 0, 0..1);
    assert_eq!(shards.try_ask(0, &mut numbered(1), &allocate()), None);
    shards.advance(Duration::from_millis(999));
    assert_eq!(shards.relays[0].take_sent(), None);
    shards.advance(Duration::from_millis(1));
    assert_eq!(shards.relays[0].take_sent().unwrap().response.outcome(), Err(508));
    assert_eq!(
        shards.relays[0].server.poll_timeout(),
        shards.relays[0].server.allocations().map(|one| one.expires_at()).min()
    );
    // By now all shards that were asked have lent a port.
    shards.deliver_all();
    fill(&mut shards, 5, 2..33);
}

#[test]
fn a_port_that_ends_here_meanwhile_is_as_good_as_a_lent_one() {
    let mut shards = Shards::new(2, 1, |_| ());
    fill(&mut shards, 1, 0..1);
    let mut own = numbered(1);
    allocate_on(&mut shards, 0, &mut own);
    assert_eq!(shards.try_ask(0, &mut numbered(2), &allocate()), None);
    shards.relays[0].granted(&mut own, &delete());
    shards.deliver_all();
    assert_eq!(shards.relays[0].take_sent().unwrap().response.relayed()[0].port(), LOWEST);
}

#[test]
fn ports_that_other_programs_hold_are_passed_over_on_all_shards() {
    let mut shards = two();
    shards.relays[0].answers.extend([Err(RelayOpenError::PortInUse); 3]);
    let lent = allocate_on(&mut shards, 0, &mut client());
    assert!(lent >= LOWEST + 2, "both of its own and one of the other's are held");
    assert_eq!(shards.ask(1, &mut numbered(1), &allocate()).outcome(), Err(508));
    shards.advance_secs(60);
    assert_eq!(fill(&mut shards, 1, 1..4).len(), 3);

    // At most 16 ports are tried.
    let mut shards = Shards::new(2, 20, |_| ());
    shards.relays[0].answers.extend([Err(RelayOpenError::PortInUse); 20]);
    assert_eq!(shards.ask(0, &mut client(), &allocate()).outcome(), Err(508));
    let mut shards = Shards::new(2, 10, |_| ());
    shards.relays[0].answers.extend([Err(RelayOpenError::PortInUse); 16]);
    assert_eq!(shards.ask(0, &mut client(), &allocate()).outcome(), Err(508));
    assert_eq!(shards.relays[0].answers.len(), 0);
    shards.relays[0].answers.extend([Err(RelayOpenError::PortInUse); 3]);
    assert_eq!(shards.ask(0, &mut client(), &allocate()).outcome(), Ok(()));
}

#[test]
fn a_lent_port_whose_socket_does_not_open_goes_home() {
    let mut shards = two();
    fill(&mut shards, 0, 0..2);
    shards.relays[0].answers.push_back(Err(RelayOpenError::Failed));
    assert_eq!(shards.ask(0, &mut numbered(2), &allocate()).outcome(), Err(508));
    shards.deliver_all();
    assert_eq!(fill(&mut shards, 1, 3..5), [LOWEST + 2, LOWEST + 3]);
    assert!(!shards.relays[0].sockets.contains(&(AllocationPort::new(LOWEST + 2), relay_server::Family::V4)));
}
