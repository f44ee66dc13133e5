//! What clients may have, and that it is no more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;

use test_support::{
    http,
    port::free_tcp_address,
    relay::{Relay, credentials},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Request};

/// A relay with these options, and where its metrics are.
fn start(options: &[&str]) -> (Relay, SocketAddr) {
    let health = free_tcp_address();
    let health_text = health.to_string();
    (Relay::start(&[&["--health-check-addr", &health_text], options].concat()), health)
}

fn allocated(relay: &Relay, user: &str) -> BlockingClient {
    let mut client = BlockingClient::connect(relay.v4(), credentials(user)).unwrap();
    client.allocate(Allocate::default()).unwrap();
    client
}

fn has_line(health: SocketAddr, line: &str) -> bool {
    http::get(health, "/metrics").1.lines().any(|found| found == line)
}

/// Nothing is sent there.
fn peer(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([9, 9, high, low], 9))
}

fn code(result: Result<impl Sized, turn_client::Error>) -> Option<u16> {
    result.err().map(|error| error.code().expect("an answer"))
}

#[test]
fn channels_and_permissions_have_a_limit_for_one_client_and_for_all() {
    let options = [
        "--workers",
        "1",
        "--indications",
        "on",
        "--channels-per-allocation",
        "3",
        "--permissions-per-allocation",
        "4",
        "--max-channels",
        "5",
        "--max-permissions",
        "6",
    ];
    let (relay, health) = start(&options);
    let mut clients = ["a", "b"].map(|user| allocated(&relay, user));
    for (number, channel) in (0..3).zip(0x4000..) {
        clients[0].bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(clients[0].bind(0x4003, peer(0))), Some(400), "the peer has a channel");
    assert_eq!(code(clients[0].bind(0x4003, peer(3))), Some(508));
    let permit = |peers: std::ops::Range<u16>| Request::CreatePermission { peers: peers.map(peer).collect() };
    assert_eq!(code(clients[0].request(permit(0..5))), Some(508));
    clients[0].request(permit(0..4)).unwrap();

    for (number, channel) in (0..2).zip(0x4000..) {
        clients[1].bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(clients[1].bind(0x4002, peer(2))), Some(508), "no permission is left");
    assert_eq!(code(clients[1].request(permit(0..3))), Some(508));
    // With the permissions of the first allocation its channels are gone, too.
    assert_eq!(code(clients[0].refresh(std::time::Duration::ZERO)), None);
    clients[1].bind(0x4002, peer(2)).unwrap();

    let mut third = allocated(&relay, "c");
    for (number, channel) in (0..2).zip(0x4000..) {
        third.bind(channel, peer(number)).unwrap();
    }
    assert_eq!(code(third.bind(0x4002, peer(0))), Some(400));
    assert_eq!(code(third.bind(0x4002, SocketAddr::from(([9, 9, 0, 0], 10)))), Some(508), "no channel is left");
    third.bind(0x4001, peer(1)).unwrap();

    for (limit, count) in
        [("channels_per_allocation", 1), ("permissions_per_allocation", 1), ("max_permissions", 2), ("max_channels", 1)]
    {
        wait_until(|| has_line(health, &format!("requests_over_limit_total{{limit=\"{limit}\"}} {count}")));
    }
    let log = relay.stop().log;
    for expected in ["--max-channels (MAX_CHANNELS)", "--max-permissions (MAX_PERMISSIONS)"] {
        assert_eq!(log.matches(expected).count(), 1, "{log}");
    }
}
