//! The port range limits the number of allocations, independent of the number of workers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, time::Duration};

use test_support::{
    echo::Echo,
    port::free_range,
    relay::{Relay, exchange},
};
use turn_client::{Allocate, BlockingClient, Error, Family};

fn allocate(relay: &Relay, number: u16) -> Result<(BlockingClient, u16), Error> {
    let mut client = relay.client(relay.v4(), &format!("client{number}"));
    let allocated = client.allocate(Allocate { family: Some(Family::V4), ..Allocate::default() })?;
    Ok((client, allocated.relayed[0].port()))
}

/// Checks that each of `ports` ports can be allocated and relays, that no further one can, and that freed ports can be allocated
/// again.
fn the_range_is_the_limit(ports: u16, workers: &str) {
    let range = free_range(ports);
    let (lowest, highest) = (range.start().to_string(), range.end().to_string());
    let relay = Relay::start(&["--workers", workers, "--lowest-port", &lowest, "--highest-port", &highest]);
    let mut clients: Vec<_> = (0..ports).map(|number| allocate(&relay, number).unwrap()).collect();
    let allocated: BTreeSet<u16> = clients.iter().map(|(_, port)| *port).collect();
    assert!(allocated.into_iter().eq(range));
    assert_eq!(allocate(&relay, ports).unwrap_err().code(), Some(508));

    let echo = Echo::start(relay.v4());
    for (client, _) in &mut clients {
        client.bind(0x4000, echo.address).unwrap();
        exchange(client, 0x4000, b"hello");
    }

    for (number, (client, port)) in (ports + 1..).zip(&mut clients) {
        client.refresh(Duration::ZERO).unwrap();
        let (mut next, port_of_next) = allocate(&relay, number).unwrap();
        assert_eq!(port_of_next, *port);
        next.refresh(Duration::ZERO).unwrap();
        (*client, *port) = allocate(&relay, number).unwrap();
    }
    relay.stop();
}

#[test]
fn all_128_ports_can_be_allocated_with_2_8_and_32_workers_and_no_more() {
    for workers in ["2", "8", "32"] {
        the_range_is_the_limit(128, workers);
    }
}

#[test]
fn a_range_of_4_ports_gives_4_to_two_workers() {
    the_range_is_the_limit(4, "2");
}

#[test]
fn there_may_be_fewer_ports_than_workers() {
    the_range_is_the_limit(2, "8");
    the_range_is_the_limit(1, "3");
}
