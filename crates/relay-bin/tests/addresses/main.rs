//! Addresses that appear and disappear while a relay starts and runs, between network namespaces.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod faults;
mod net;

use std::net::SocketAddr;

use net::{CHANNEL, HOST, LISTEN_PORT, Net, address, source};
use relay_replay::{Mode, Session};
use test_support::namespace::{run, sysctl};
use test_support::{PATIENCE, capability::can, relay::End, wait_until};
use turn_client::{Allocate, BlockingClient, Family};

/// An address in the host's network that the host does not have at first.
const FLOATING: &str = "10.9.0.100";
/// An address outside of that network, as a NAT's would be.
const PUBLIC: &str = "203.0.113.7";

/// Allocates as soon as every worker knows of an address. Returns the relayed transport address.
fn allocate_soon(client: &mut BlockingClient) -> SocketAddr {
    let mut relayed = None;
    wait_until(|| {
        relayed = client.allocate(Allocate::default()).ok().map(|allocated| allocated.relayed[0]);
        relayed.is_some()
    });
    relayed.unwrap()
}

#[test]
fn a_bind_address_that_comes_after_the_start_is_waited_for() {
    let Some(net) = Net::new() else { return };
    let mut relay = net.start_silent(&["--bind-ip4-addr", FLOATING]);
    wait_until(|| relay.has_logged("waiting for 30s at most") && relay.has_logged("BIND_IP4_ADDR"));
    assert!(relay.is_running());
    net.ip(&format!("addr add {FLOATING}/24 dev eth0"));
    wait_until(|| relay.has_logged("the relay is up"));
    assert_eq!(net.allocation(FLOATING, "a").unwrap().ip().to_string(), FLOATING);
}

#[test]
fn an_ipv6_address_is_waited_for_while_duplicates_are_looked_for() {
    let Some(net) = Net::new() else { return };
    net.host.within(|| sysctl("net.ipv6.conf.eth0.dad_transmits", "3"));
    net.ip("addr add fd09::7/64 dev eth0");
    let relay = net.start_silent(&["--bind-ip6-addr", "fd09::7"]);
    wait_until(|| relay.has_logged("the relay is up"));
    net.client("fd09::7", "a").mapped_address().unwrap();
}

#[test]
fn a_relay_that_waits_for_an_address_ends_when_it_is_told_to() {
    let Some(net) = Net::new() else { return };
    let relay = net.start_silent(&["--bind-ip4-addr", FLOATING, "--address-timeout", "1h"]);
    wait_until(|| relay.has_logged("waiting for 3600s at most"));
    let End { status, log } = relay.stop();
    assert!(status.success(), "{status}\n{log}");
}

#[test]
fn data_leaves_from_a_floating_address_and_while_it_is_away_allocations_are_refused() {
    let Some(net) = Net::new() else { return };
    let relay = net.start(&["--public-ip4-addr", FLOATING]);
    assert_eq!(net.allocation(HOST, "early"), Err(Some(508)));
    let (code, text) = net.readiness();
    assert_eq!(code, 503);
    assert!(text.contains("the relay's IPv4 address is not there"), "{text}");
    wait_until(|| relay.has_logged("PUBLIC_IP4_ADDR) is no address of this machine now"));

    // This machine takes over the floating address.
    net.ip(&format!("addr add {FLOATING}/24 dev eth0"));
    wait_until(|| net.is_ready());
    let (mut client, peer) = (net.client(FLOATING, "a"), net.peer());
    let relayed = allocate_soon(&mut client);
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    assert_eq!(source(&mut client, &peer), Some(relayed));

    // Another machine takes it over, and this one gets it back.
    net.ip(&format!("addr del {FLOATING}/24 dev eth0"));
    wait_until(|| !net.is_ready());
    wait_until(|| net.allocation(HOST, "late") == Err(Some(508)));
    net.ip(&format!("addr add {FLOATING}/24 dev eth0"));
    wait_until(|| net.is_ready());
    wait_until(|| source(&mut client, &peer) == Some(relayed));
    wait_until(|| net.allocation(FLOATING, "again").is_ok());
}

#[test]
fn what_was_taken_for_a_nats_address_is_sent_from_once_it_is_there() {
    let Some(net) = Net::new() else { return };
    let _relay = net.start(&["--public-ip4-addr", PUBLIC, "--allow-peer", "10.9.0.0/24"]);
    assert!(net.is_ready(), "behind a NAT");
    let (mut client, peer) = (net.client(HOST, "a"), net.peer());
    let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    assert_eq!(source(&mut client, &peer), Some(address(HOST, relayed.port())), "which a NAT would translate");

    net.ip(&format!("addr add {PUBLIC}/32 dev eth0"));
    wait_until(|| source(&mut client, &peer) == Some(relayed));
    // Data to the client, and a new allocation.
    peer.send_to(b"back", relayed).unwrap();
    assert_eq!(client.receive(PATIENCE).unwrap(), Some((CHANNEL, b"back".to_vec())));
    let mut new = net.client(HOST, "b");
    let new_relayed = new.allocate(Allocate::default()).unwrap().relayed[0];
    new.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    wait_until(|| source(&mut new, &peer) == Some(new_relayed));

    // The machine has had the address, so it is not a NAT's. Data must not be sent from another address meanwhile.
    net.ip(&format!("addr del {PUBLIC}/32 dev eth0"));
    wait_until(|| !net.is_ready());
    assert_eq!(source(&mut client, &peer), None);
    net.ip(&format!("addr add {PUBLIC}/32 dev eth0"));
    wait_until(|| source(&mut client, &peer) == Some(relayed));
}

#[test]
fn behind_a_nat_another_program_of_the_machine_is_a_peer_in_the_range_of_ports_too() {
    let Some(net) = Net::new() else { return };
    let _relay = net.start(&["--public-ip4-addr", PUBLIC, "--allow-peer", HOST]);
    let mut client = net.client(HOST, "a");
    let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
    // Any port other than the allocation's.
    let inside = if relayed.port() == 50_123 { 50_124 } else { 50_123 };
    for (channel, port) in [(0x4001, inside), (0x4002, 40_000)] {
        let neighbour = net.neighbour(port);
        client.bind(channel, neighbour.local_addr().unwrap()).unwrap();
        client.send(channel, b"ping").unwrap();
        let (_, from) = neighbour.recv_from(&mut [0; 100]).unwrap();
        neighbour.send_to(b"pong", from).unwrap();
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((channel, b"pong".to_vec())), "{port}");
    }
}

#[test]
fn the_relays_own_port_at_an_address_that_came_later_is_no_peer() {
    let Some(net) = Net::new() else { return };
    let relay = net.start(&["--public-ip4-addr", HOST]);
    let mut client = net.client(HOST, "a");
    client.allocate(Allocate::default()).unwrap();
    net.ip("addr add 10.9.0.55/24 dev eth0");
    let later = address("10.9.0.55", LISTEN_PORT);
    wait_until(|| client.bind(CHANNEL, later).is_err_and(|error| error.code() == Some(403)));
    wait_until(|| relay.has_logged("this machine's addresses have changed"));
    net.ip("addr del 10.9.0.55/24 dev eth0");
    wait_until(|| client.bind(CHANNEL, later).is_ok());
}

#[test]
fn ipv6_that_is_switched_off_is_told_and_refused_with_440_until_it_is_there() {
    let Some(net) = Net::new() else { return };
    net.host.within(|| sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
    let relay = net.start(&["--public-ip4-addr", HOST, "--public-ip6-addr", "fd09::1"]);
    wait_until(|| relay.has_logged("PUBLIC_IP6_ADDR) is set, but this machine has no IPv6 address at all"));
    assert!(net.is_ready(), "IPv4 is there");
    let only_v6 = || Allocate { family: Some(Family::V6), ..Allocate::default() };
    assert_eq!(net.client(HOST, "a").allocate(only_v6()).unwrap_err().code(), Some(440));
    let dual = Allocate { additional_family: Some(Family::V6), ..Allocate::default() };
    let granted = net.client(HOST, "b").allocate(dual).unwrap();
    assert_eq!((granted.relayed.len(), granted.address_error), (1, Some(440)));
    assert_eq!(granted.relayed[0].ip().to_string(), HOST);

    net.host.within(|| sysctl("net.ipv6.conf.all.disable_ipv6", "0"));
    net.ip("addr add fd09::1/64 dev eth0 nodad");
    let mut client = net.client(HOST, "c");
    wait_until(|| client.allocate(only_v6()).is_ok_and(|granted| granted.relayed[0].ip().to_string() == "fd09::1"));
}

#[test]
fn without_netlink_new_addresses_are_found_too() {
    let Some(net) = Net::new() else { return };
    let Some(relay) = net.start_without(libc::AF_NETLINK, &["--public-ip4-addr", FLOATING]) else { return };
    wait_until(|| relay.has_logged("the kernel does not tell of new addresses"));
    assert!(!net.is_ready());
    net.ip(&format!("addr add {FLOATING}/24 dev eth0"));
    wait_until(|| net.is_ready());
    let mut client = net.client(HOST, "a");
    allocate_soon(&mut client);
    net.ip("addr add 10.9.0.55/24 dev eth0");
    wait_until(|| {
        client.bind(CHANNEL, address("10.9.0.55", LISTEN_PORT)).is_err_and(|error| error.code() == Some(403))
    });
}

#[test]
fn a_kernel_without_ipv6_serves_ipv4() {
    let Some(net) = Net::new() else { return };
    // A kernel without IPv6 has no IPv6 addresses, either.
    net.host.within(|| sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
    let options = ["--public-ip4-addr", HOST, "--public-ip6-addr", "fd09::1"];
    let Some(relay) = net.start_without(libc::AF_INET6, &options) else { return };
    wait_until(|| relay.has_logged("this machine has no IPv6 address at all"));
    assert!(net.is_ready());
    let only_v6 = Allocate { family: Some(Family::V6), ..Allocate::default() };
    assert_eq!(net.client(HOST, "a").allocate(only_v6).unwrap_err().code(), Some(440));
    net.allocation(HOST, "b").unwrap();
}

#[test]
fn a_recording_of_addresses_that_come_and_go_replays() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.pcapng");
    let record = format!("--record-trace={}", file.display());
    let relay = net.start(&["--public-ip4-addr", FLOATING, &record, "--record-secret"]);
    assert_eq!(net.allocation(HOST, "a"), Err(Some(508)));
    net.ip(&format!("addr add {FLOATING}/24 dev eth0"));
    wait_until(|| net.allocation(HOST, "b").is_ok());
    let End { status, log } = relay.stop();
    assert!(status.success(), "{status}\n{log}");
    let mut session = Session::new();
    session.push(&std::fs::read(&file).unwrap());
    session.end();
    assert_eq!((session.error(), session.mode()), (None, Mode::Replay));
    assert_eq!(session.differences(), []);
}

/// The rules are those in docs/operations.md.
#[test]
fn clients_are_served_at_a_port_that_the_kernel_redirects() {
    let Some(net) = Net::new() else { return };
    let present = std::process::Command::new("nft").arg("--version").output().is_ok();
    if !can("nft", present, "nft is not there") {
        return;
    }
    net.host.within(|| {
        run("nft", "add table inet relay");
        run("nft", "add chain inet relay prerouting { type nat hook prerouting priority dstnat ; }");
        run("nft", "add rule inet relay prerouting udp dport 443 redirect to :3478");
    });
    let _relay = net.start(&["--public-ip4-addr", HOST]);
    let peer = net.peer();
    let mut clients = [443, LISTEN_PORT].map(|port| net.client_at(address(HOST, port), &port.to_string()));
    for client in &mut clients {
        let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        assert_eq!(source(client, &peer), Some(relayed));
        peer.send_to(b"back", relayed).unwrap();
        // The client's socket is connected, so it receives nothing from another port.
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((CHANNEL, b"back".to_vec())));
    }
}

#[test]
fn a_relay_without_a_network_serves_its_machine_and_is_not_ready_once_there_is_one() {
    let Some(net) = Net::apart() else { return };
    let relay = net.start(&[]);
    assert!(net.is_ready());
    net.join();
    wait_until(|| !net.is_ready());
    assert!(net.readiness().1.contains("start it again"));
    wait_until(|| relay.has_logged("this machine has a network now"));
}
