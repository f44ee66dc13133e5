//! The success response comes only once the relay socket is open.

use relay_server::{DropReason, Event, Output, RelayOpenError, UsernameLimit};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::client;
use crate::support::{Client, Relay, allocate, allocate_dual_stack, kind, refresh};

#[test]
fn success_follows_the_open_socket() {
    for (request, sockets) in [(allocate(), 1), (allocate_dual_stack(), 2)] {
        let mut relay = Relay::new();
        let mut client = client();
        relay.challenge(&mut client);
        relay.hold = true;
        let bytes = client.sign(&request);
        assert_eq!(relay.answer(&client, &bytes), None, "not yet");
        for opened in 0..sockets {
            relay.take_events();
            assert_eq!(relay.answer(&client, &bytes), None, "a retransmission does not change that");
            assert_eq!(relay.take_drops(), [DropReason::RequestInProgress]);
            assert_eq!(relay.sockets.len(), opened);
            relay.open(0, Ok(()));
        }
        let success = relay.take_sent().unwrap().response;
        assert_eq!((success.outcome(), success.relayed().len()), (Ok(()), sockets));
        assert_eq!(relay.answer(&client, &bytes), Some(success));
    }
}

#[test]
fn an_allocation_without_a_socket_yet_is_none() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    relay.hold = true;
    let bytes = client.sign(&allocate());
    assert_eq!(relay.answer(&client, &bytes), None);
    assert_eq!(relay.outcome(&mut client, &refresh()), Err(437));
    relay.open(0, Ok(()));
    assert_eq!(relay.take_sent().unwrap().response.outcome(), Ok(()));
    assert_eq!(relay.outcome(&mut client, &refresh()), Ok(()));
}

#[test]
fn the_outputs_come_in_order() {
    let mut relay = Relay::new();
    let mut client = client();
    relay.challenge(&mut client);
    relay.recorded = Some(Vec::new());
    relay.allocate(&mut client);
    let recorded = relay.recorded.unwrap();
    assert!(
        matches!(
            recorded[..],
            [
                Output::OpenRelay { .. },
                // Before the response, after which the client may go on to another shard.
                Output::Event(Event::AllocationCreated { .. }),
                Output::Transmit { .. },
                Output::Event(Event::Responded { .. }),
            ]
        ),
        "{recorded:?}"
    );
}

#[test]
fn a_port_held_by_another_program_is_replaced() {
    let mut relay = Relay::new();
    relay.answers.extend([Err(RelayOpenError::PortInUse); 2]);
    relay.recorded = Some(Vec::new());
    let relayed = relay.allocate(&mut client());
    let tried: Vec<u16> = relay
        .recorded
        .iter()
        .flatten()
        .filter_map(|output| match output {
            Output::OpenRelay { port, .. } => Some(port.get()),
            _ => None,
        })
        .collect();
    let [first, second, third] = tried[..] else { panic!("three ports are tried: {tried:?}") };
    assert!(first != second && third == relayed.port() && third != first && third != second);
    assert_eq!(relay.sockets.iter().map(|(port, _)| port.get()).collect::<Vec<_>>(), [third]);
}

#[test]
fn a_replaced_port_is_of_the_same_kind() {
    for reserve_next in [false, true] {
        let mut relay = Relay::new();
        relay.answers.extend([Err(RelayOpenError::PortInUse); 3]);
        let response = relay.granted(&mut client(), &allocate().with_even_port(reserve_next));
        let port = response.relayed()[0].port();
        assert_eq!(port % 2, 0);
        if let Some(token) = response.attribute(kind::RESERVATION_TOKEN) {
            let mut second = Client::named("198.51.100.7:9", "198.51.100.7:50000");
            assert_eq!(relay.granted(&mut second, &allocate().with_token(token)).relayed()[0].port(), port + 1);
        }
    }
}

#[test]
fn a_second_family_whose_port_is_held_moves_both() {
    let mut relay = Relay::new();
    relay.answers.extend([Ok(()), Err(RelayOpenError::PortInUse)]);
    let relayed = relay.granted(&mut client(), &allocate_dual_stack()).relayed();
    assert_eq!(relayed[0].port(), relayed[1].port());
    assert!(relay.sockets.iter().all(|(port, _)| port.get() == relayed[0].port()));
    assert_eq!(relay.sockets.len(), 2);
}

#[test]
fn after_16_ports_that_others_hold_the_answer_is_508() {
    let mut relay = Relay::new();
    relay.answers.extend([Err(RelayOpenError::PortInUse); 15]);
    assert_eq!(relay.outcome(&mut client(), &allocate()), Ok(()));
    relay.answers.extend([Err(RelayOpenError::PortInUse); 16]);
    assert_eq!(relay.outcome(&mut Client::new("198.51.100.7:9"), &allocate()), Err(508));
    assert!(relay.answers.is_empty());
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (1, 1));
}

#[test]
fn a_socket_that_cannot_be_opened_is_answered_with_508() {
    let mut relay = Relay::new();
    relay.answers.push_back(Err(RelayOpenError::Failed));
    let mut client = client();
    assert_eq!(relay.outcome(&mut client, &allocate()), Err(508));
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (0, 0));
    assert_eq!(relay.outcome(&mut client, &allocate()), Ok(()), "the next attempt may succeed");
}

#[test]
fn a_socket_that_opens_for_a_replaced_allocation_is_closed() {
    let mut relay = Relay::with(|config| config.username_limit = UsernameLimit::ReplaceOldest);
    let (mut before, mut after) = (Client::named("198.51.100.7:1", "alice"), Client::named("198.51.100.7:2", "alice"));
    relay.challenge(&mut before);
    relay.challenge(&mut after);
    relay.hold = true;
    for client in [&mut before, &mut after] {
        let bytes = client.sign(&allocate_dual_stack());
        assert_eq!(relay.answer(client, &bytes), None);
    }
    // The second allocation is complete before the first.
    relay.open(1, Ok(()));
    relay.open(1, Ok(()));
    assert_eq!(relay.take_sent().unwrap().to, after.socket);
    while !relay.pending.is_empty() {
        relay.open(0, Ok(()));
    }
    assert_eq!(relay.sockets.len(), 2, "of the second allocation: {:?}", relay.sockets);
    assert_eq!(relay.server.allocation_count(), 1);
}

#[test]
fn what_is_due_when_a_socket_opens_is_done_first() {
    let mut relay = Relay::new();
    let (mut old, mut new) = (client(), Client::new("198.51.100.7:9"));
    relay.allocate(&mut old);
    relay.challenge(&mut new);
    relay.advance_secs(599);
    relay.challenge(&mut new);
    relay.hold = true;
    let bytes = new.sign(&allocate());
    assert_eq!(relay.answer(&new, &bytes), None);
    relay.now = relay.now + std::time::Duration::from_secs(1);
    relay.open(0, Err(RelayOpenError::PortInUse));
    assert!(relay.sockets.is_empty(), "the old allocation has expired: {:?}", relay.sockets);
    relay.open(0, Ok(()));
    assert_eq!(relay.take_sent().unwrap().response.outcome(), Ok(()));
    assert_eq!((relay.server.allocation_count(), relay.sockets.len()), (1, 1));
}
