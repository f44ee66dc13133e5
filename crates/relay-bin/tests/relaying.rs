//! Clients relay through the binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::Duration,
};

use test_support::{
    PATIENCE,
    capability::has_ipv6,
    echo::Echo,
    port::{free_port, free_range},
    relay::{self, ALONE, Relay, SECRET, command, exchange},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Family};

/// Allocates in the family of `peer` and binds channel 0x4000 to it.
fn bind(client: &mut BlockingClient, peer: SocketAddr) {
    client.allocate(Allocate { family: Some(Family::of(peer)), ..Allocate::default() }).unwrap();
    client.bind(0x4000, peer).unwrap();
}

fn relays(server: SocketAddr, relay: &Relay, peer_family: SocketAddr) {
    let echo = Echo::start(peer_family);
    let mut client = relay.client(server, "a");
    bind(&mut client, echo.address);
    for length in [0, 1, 2, 3, 4, 5, 200, 1_200] {
        let payload: Vec<u8> = (0..length).map(|index: u32| index.to_le_bytes()[0]).collect();
        exchange(&mut client, 0x4000, &payload);
    }
}

#[test]
fn ipv4_client_to_ipv4_peer() {
    let relay = Relay::start(&[]);
    relays(relay.v4(), &relay, relay.v4());
}

#[test]
fn ipv6_client_to_ipv6_peer() {
    if has_ipv6() {
        let relay = Relay::start(&[]);
        relays(relay.v6(), &relay, relay.v6());
    }
}

#[test]
fn clients_and_peers_of_different_families() {
    if has_ipv6() {
        let relay = Relay::start(&[]);
        relays(relay.v4(), &relay, relay.v6());
        relays(relay.v6(), &relay, relay.v4());
    }
}

#[test]
fn datagrams_larger_than_any_packet() {
    let relay = Relay::start(&[]);
    let echo = Echo::start(relay.v4());
    let mut client = relay.client(relay.v4(), "a");
    bind(&mut client, echo.address);
    // The largest payload of UDP over IPv4 after a ChannelData header: 65,535 - 20 - 8 - 4.
    for length in [1_473, 9_000, 65_503] {
        exchange(&mut client, 0x4000, &vec![0xA5; length]);
    }
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    let relay = Relay::start(&["--workers", "2"]);
    let echo = Echo::start(relay.v4());
    for last in [1, 2, 3] {
        let server = SocketAddr::from(([127, 0, 0, last], relay.port));
        // A connected socket receives nothing from another address.
        let mut client = relay.client(server, "a");
        bind(&mut client, echo.address);
        exchange(&mut client, 0x4000, b"hello");
    }
}

#[test]
fn one_client_with_many_channels() {
    let relay = Relay::start(&[]);
    let echoes: Vec<Echo> = (0..20).map(|_| Echo::start(relay.v4())).collect();
    let mut client = relay.client(relay.v4(), "a");
    client.allocate(Allocate::default()).unwrap();
    for (channel, echo) in (0x4000..).zip(&echoes) {
        client.bind(channel, echo.address).unwrap();
    }
    for (channel, _) in (0x4000..).zip(&echoes) {
        client.send(channel, &channel.to_be_bytes()).unwrap();
        let (came_from, echoed) = client.receive(PATIENCE).unwrap().expect("an echo");
        assert_eq!((came_from, &echoed[..]), (channel, &channel.to_be_bytes()[..]));
    }
}

#[test]
fn an_allocation_of_both_families() {
    if !has_ipv6() {
        return;
    }
    let relay = Relay::start(&[]);
    let (v4, v6) = (Echo::start(relay.v4()), Echo::start(relay.v6()));
    let mut client = relay.client(relay.v4(), "a");
    let both = Allocate { additional_family: Some(Family::V6), ..Allocate::default() };
    let allocated = client.allocate(both).unwrap();
    let ports: Vec<u16> = allocated.relayed.iter().map(SocketAddr::port).collect();
    assert_eq!(ports.len(), 2);
    assert_eq!(ports[0], ports[1]);
    for (channel, echo) in [(0x4000, &v4), (0x4001, &v6)] {
        client.bind(channel, echo.address).unwrap();
        client.send(channel, b"hello").unwrap();
        assert_eq!(client.receive(PATIENCE).unwrap(), Some((channel, b"hello".to_vec())));
    }
}

/// Neighbouring clients exchange data through the relay, on any workers.
fn clients_reach_each_other(relay: &Relay, server: SocketAddr) {
    const CLIENTS: usize = 16;
    let mut clients: Vec<(BlockingClient, SocketAddr)> = (0..CLIENTS)
        .map(|_| {
            let mut client = relay.client(server, "a");
            let allocated =
                client.allocate(Allocate { family: Some(Family::of(server)), ..Allocate::default() }).unwrap();
            (client, allocated.relayed[0])
        })
        .collect();
    for first in 0..CLIENTS {
        let second = (first + 1) % CLIENTS;
        let (to_first, to_second) = (clients[first].1, clients[second].1);
        clients[first].0.bind(0x4000, to_second).unwrap();
        clients[second].0.bind(0x4001, to_first).unwrap();
        clients[first].0.send(0x4000, b"to the second").unwrap();
        assert_eq!(clients[second].0.receive(PATIENCE).unwrap(), Some((0x4001, b"to the second".to_vec())));
        clients[second].0.send(0x4001, b"to the first").unwrap();
        assert_eq!(clients[first].0.receive(PATIENCE).unwrap(), Some((0x4000, b"to the first".to_vec())));
    }
}

#[test]
fn clients_of_one_relay_reach_each_other_over_ipv4() {
    let relay = Relay::start(&["--workers", "3", "--allocations-per-username", "100"]);
    clients_reach_each_other(&relay, relay.v4());
}

#[test]
fn clients_of_one_relay_reach_each_other_over_ipv6() {
    if has_ipv6() {
        let relay = Relay::start(&["--workers", "3", "--allocations-per-username", "100"]);
        clients_reach_each_other(&relay, relay.v6());
    }
}

#[test]
fn clients_of_one_relay_reach_each_other_at_a_public_address_that_this_machine_does_not_have() {
    for bind in [&["--bind-ip4-addr", "127.0.0.1"][..], &[]] {
        let port = free_port();
        let (port_text, nat) = (port.to_string(), ["--public-ip4-addr", "203.0.113.7", "--workers", "3"]);
        let options = ["--listen-port", &port_text, "--auth-secret", SECRET, "--allocations-per-username", "100"];
        let relay = Relay::spawn(&mut command([&options[..], &nat, bind].concat()), port);
        let mut client = relay.client(relay.v4(), "a");
        let allocated = client.allocate(Allocate::default()).unwrap();
        assert_eq!(allocated.relayed[0].ip().to_string(), "203.0.113.7");
        clients_reach_each_other(&relay, relay.v4());
    }
}

#[test]
fn ports_held_by_other_programs_are_passed_over_until_none_is_free() {
    let port = free_port();
    // Each worker's part of the range has holes.
    let range = free_range(40);
    let _holders: Vec<UdpSocket> =
        range.clone().filter(|port| port % 3 != 0).map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap()).collect();
    let (lowest, highest) = (range.start().to_string(), range.end().to_string());
    let mut command =
        command(["--lowest-port", &lowest, "--highest-port", &highest, "--listen-port", &port.to_string()]);
    command.env("PUBLIC_IP4_ADDR", "127.0.0.1").env("AUTH_SECRET", SECRET).env("WORKERS", "2");
    let relay = Relay::spawn(&mut command, port);
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = relay.client(relay.v4(), "a");
        let allocated = client.allocate(Allocate::default()).unwrap();
        assert_eq!(allocated.relayed[0].port() % 3, 0);
        clients.push(client);
    }
    // About 13 ports are free.
    let refused = (0..20).find_map(|_| {
        let mut client = relay.client(relay.v4(), "b");
        let result = client.allocate(Allocate::default());
        clients.push(client);
        result.err()
    });
    assert_eq!(refused.unwrap().code(), Some(508));
    let log = relay.stop().log;
    assert!(log.contains("no port is free for an allocation"), "{log}");
}

#[test]
fn allocations_come_and_go_and_leave_nothing_behind() {
    let relay = Relay::start(&["--workers", "2", "--allocations-per-username", "1000"]);
    let echo = Echo::start(relay.v4());
    let files = relay.open_files();
    let mut clients: Vec<BlockingClient> = (0..200).map(|_| relay.client(relay.v4(), "a")).collect();
    for round in 0..5 {
        for client in &mut clients {
            bind(client, echo.address);
            exchange(client, 0x4000, &[round; 100]);
        }
        assert!(relay.open_files() >= files + clients.len());
        for client in &mut clients {
            assert_eq!(client.refresh(Duration::ZERO).unwrap(), Duration::ZERO);
        }
        // A relay socket is closed a moment after its allocation has ended.
        wait_until(|| relay.open_files() == files);
    }
    let log = relay.stop().log;
    assert!(log.contains("1000 allocations (0 at the end), 1000 channels; 1000 packets (100000 bytes)"), "{log}");
}

#[test]
fn a_username_has_ten_allocations_on_all_workers_together() {
    let relay = Relay::start(&["--workers", "4"]);
    let mut clients: Vec<BlockingClient> = (0..12).map(|_| relay.client(relay.v4(), "a")).collect();
    for round in 0..3 {
        let codes: Vec<_> = clients
            .iter_mut()
            .map(|client| client.allocate(Allocate::default()).map_err(|error| error.code()).map(drop))
            .collect();
        let (first, beyond) = codes.split_at(10);
        assert!(first.iter().all(Result::is_ok), "round {round}: {codes:?}");
        assert!(beyond.iter().all(|code| *code == Err(Some(486))), "round {round}: {codes:?}");
        for client in &mut clients[..10] {
            client.refresh(Duration::ZERO).unwrap();
        }
    }
}

#[test]
fn one_client_allocates_and_deletes_as_fast_as_it_can() {
    let relay = Relay::start(&[]);
    let files = relay.open_files();
    let mut client = relay.client(relay.v4(), "a");
    for _ in 0..1_000 {
        client.allocate(Allocate::default()).unwrap();
        client.refresh(Duration::ZERO).unwrap();
    }
    wait_until(|| relay.open_files() == files);
}

#[test]
fn too_many_open_files_refuse_clients_and_harm_no_other() {
    let port = free_port();
    let binary = relay::program();
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "ulimit -n 48 && exec \"$0\" \"$@\"",
            binary.to_str().unwrap(),
            "--listen-port",
            &port.to_string(),
        ])
        .args(["--workers", "1", "--allocations-per-username", "1000"])
        .env_clear()
        .env("PUBLIC_IP4_ADDR", "127.0.0.1")
        .env("AUTH_SECRET", SECRET)
        .envs(ALONE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let relay = Relay::spawn(&mut shell, port);
    let echo = Echo::start(relay.v4());
    let mut first = relay.client(relay.v4(), "a");
    bind(&mut first, echo.address);
    let mut others = Vec::new();
    let refusal = loop {
        assert!(others.len() < 48);
        let mut client = relay.client(relay.v4(), "a");
        match client.allocate(Allocate::default()) {
            Ok(_) => others.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refusal.code(), Some(508));
    exchange(&mut first, 0x4000, b"still here");
    // Another client can have the freed file.
    others[0].refresh(Duration::ZERO).unwrap();
    wait_until(|| relay.client(relay.v4(), "a").allocate(Allocate::default()).is_ok());
    let log = relay.stop().log;
    assert!(log.contains("cannot open a socket for an allocation"), "{log}");
}

#[test]
fn a_peer_that_is_gone_harms_nothing() {
    let relay = Relay::start(&[]);
    let echo = Echo::start(relay.v4());
    let gone = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut client = relay.client(relay.v4(), "a");
    bind(&mut client, echo.address);
    client.bind(0x4001, gone).unwrap();
    // For each, the kernel reports ICMP "port unreachable" to the socket that both channels share.
    for _ in 0..100 {
        client.send(0x4001, b"anybody there?").unwrap();
    }
    exchange(&mut client, 0x4000, b"hello");
}
