//! Relays in the kernel while the machine's addresses change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::{
    io::ErrorKind::{Interrupted, TimedOut, WouldBlock},
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use test_support::{PATIENCE, http, namespace::ip, wait_until};
use turn_client::{Allocate, BlockingClient};
use xdp_net::{Mode, Net, PEER, PUBLIC_V4, RELAY, V4, address};

const CHANNEL: u16 = 0x4abc;
const HEALTH: &str = "127.0.0.1:8080";

/// Sends data on [`CHANNEL`]. Returns the source address at `peer`, if the data arrives.
fn source(client: &mut BlockingClient, peer: &UdpSocket) -> Option<SocketAddr> {
    client.send(CHANNEL, b"data").unwrap();
    match peer.recv_from(&mut [0; 100]) {
        Ok((_, from)) => Some(from),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => None,
        Err(error) => panic!("{error}"),
    }
}

/// How many bytes the kernel has relayed.
fn relayed_in_kernel(net: &Net) -> u64 {
    let (_, metrics) = net.relay.within(|| http::get(HEALTH.parse().unwrap(), "/metrics"));
    let line = metrics.lines().find_map(|line| line.strip_prefix("data_relayed_ebpf_bytes_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

#[test]
fn flows_in_the_kernel_follow_an_address_that_comes_after_them() {
    const ROUNDS: u64 = 200;
    let Some(net) = Net::new(Mode::Driver) else { return };
    net.router.within(|| ip(&format!("route add {PUBLIC_V4} via {}", RELAY[V4])));
    let _relay = net.start_relay_known_as(PUBLIC_V4, Mode::Driver, &["--health-check-addr", HEALTH]);
    let peer = net.peer.within(|| UdpSocket::bind((PEER[V4], 0)).unwrap());
    peer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut client = net.client(V4, "floating");
    let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    let local = address(RELAY[V4], relayed.port());
    wait_until(|| source(&mut client, &peer) == Some(local) && relayed_in_kernel(&net) > 0);

    net.relay.within(|| ip(&format!("addr add {PUBLIC_V4}/32 dev eth0")));
    wait_until(|| source(&mut client, &peer) == Some(relayed));
    let before = relayed_in_kernel(&net);
    for _ in 0..ROUNDS {
        assert_eq!(source(&mut client, &peer), Some(relayed));
        peer.send_to(b"back", relayed).unwrap();
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((CHANNEL, b"back".to_vec())));
    }
    let in_kernel = relayed_in_kernel(&net) - before;
    let all = 2 * ROUNDS * u64::try_from(b"data".len()).unwrap();
    assert!(in_kernel >= all - all / 10, "{in_kernel} of {all} bytes");
}
