//! The binary's kernel path follows changes of the neighbours that it sends to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

mod xdp_net;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use test_support::{
    PATIENCE,
    namespace::{Namespace, ip, sysctl},
    wait_until,
};
use turn_client::{Allocate, BlockingClient, Family};
use xdp_net::{
    INTERFACE, Mode, Net, PEER, RELAY, V4, V6, address,
    peer::{Peer, exchange, payload},
    summary::Summary,
};

const CHANNEL: u16 = 0x4000;
const PAIRS: [(usize, usize); 2] = [(V4, V4), (V6, V6)];

/// The Ethernet address of an interface.
fn mac(namespace: &Namespace, interface: &'static str) -> String {
    namespace.within(move || {
        let shown = Command::new("ip").args(["-o", "link", "show", "dev", interface]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let (_, rest) = shown.split_once("link/ether ").unwrap();
        rest.split(' ').next().unwrap().to_owned()
    })
}

/// The relay's neighbour entry for the router, as `ip` prints it.
fn entry(net: &Net, family: usize) -> String {
    let router = ["10.2.0.254", "fd02::254"][family];
    net.relay.within(move || {
        let shown = Command::new("ip").args(["neigh", "show", router, "dev", INTERFACE]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    })
}

/// Changes the router's Ethernet address without an announcement. The router does not even send an ARP request.
fn change_silently(net: &Net, address: &'static str) {
    let relay = mac(&net.relay, INTERFACE);
    net.router.within(move || {
        let mut commands = format!("link set dev relay address {address}\n");
        for ip in RELAY {
            commands += &format!("neigh replace {ip} lladdr {relay} nud permanent dev relay\n");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), commands).unwrap();
        ip(&format!("-batch {}", file.path().display()));
    });
}

/// How long it takes until packets of each client arrive again.
fn time_until_it_relays(net: &Net, clients: &mut [BlockingClient], after: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    for (family, client) in clients.iter_mut().enumerate() {
        let mut number = 1_000_000;
        loop {
            number += 1;
            client.send(CHANNEL, &payload(number)).unwrap();
            if client.receive(Duration::from_millis(20)).unwrap().is_some() {
                break times.push(after.elapsed());
            }
            assert!(after.elapsed() < PATIENCE, "nothing arrives any more: {}", entry(net, family));
        }
    }
    // Answers to packets that were held back meanwhile.
    for client in clients {
        while client.receive(Duration::from_millis(500)).unwrap().is_some() {}
    }
    times
}

struct Scene {
    net: Net,
    relay: test_support::relay::Relay,
    clients: Vec<BlockingClient>,
    peers: Vec<Peer>,
}

impl Scene {
    /// Ends the relay and returns its log.
    fn end(mut self) -> String {
        for (peer, client) in self.peers.into_iter().zip(&mut self.clients) {
            peer.end(client, CHANNEL);
        }
        self.relay.stop().log
    }
}

/// A client of each family, whose packets the kernel relays.
fn scene() -> Option<Scene> {
    let net = Net::new(Mode::Driver)?;
    let relay = net.start_relay(Mode::Driver, &[]);
    let peers: Vec<_> = PAIRS.iter().map(|(_, peer)| Peer::start(&net.peer, address(PEER[*peer], 0))).collect();
    let clients = PAIRS.iter().zip(&peers).enumerate().map(|(number, ((client, _), peer))| {
        let mut client = net.client(*client, &format!("client{number}"));
        let family = if peer.address.is_ipv4() { Family::V4 } else { Family::V6 };
        client.allocate(Allocate { family: Some(family), ..Allocate::default() }).unwrap();
        client.bind(CHANNEL, peer.address).unwrap();
        exchange(&mut client, CHANNEL, 0..200);
        client
    });
    let clients = clients.collect();
    Some(Scene { net, relay, clients, peers })
}

#[test]
fn a_router_that_changes_its_ethernet_address_silently_is_followed() {
    let Some(mut scene) = scene() else { return };
    let Scene { net, clients, .. } = &mut scene;
    for address in ["02:00:00:00:77:01", "02:00:00:00:77:02", "02:00:00:00:77:03"] {
        change_silently(net, address);
        let after = Instant::now();
        let times = time_until_it_relays(net, clients, after);
        // For people: on an idle machine it should take less than a second.
        println!("a silent change was followed after {times:?} (IPv4, IPv6)");
        for (family, client) in clients.iter_mut().enumerate() {
            assert!(entry(net, family).contains(address), "{}", entry(net, family));
            exchange(client, CHANNEL, 200..500);
        }
    }
    let log = scene.end();
    let summary = Summary::of(&log);
    assert!(summary.in_kernel().packets >= 2 * (2 * 200 + 3 * 2 * 300) - 100, "{summary:?}");
}

#[test]
fn a_router_that_announces_its_new_ethernet_address_is_followed() {
    let Some(mut scene) = scene() else { return };
    let Scene { net, clients, .. } = &mut scene;
    net.router.within(|| {
        sysctl("net.ipv4.conf.relay.arp_notify", "1");
        sysctl("net.ipv6.conf.relay.ndisc_notify", "1");
        ip("link set dev relay address 02:00:00:00:77:01");
    });
    let times = time_until_it_relays(net, clients, Instant::now());
    println!("an announced change was followed after {times:?} (IPv4, IPv6)");
    for (family, client) in clients.iter_mut().enumerate() {
        assert!(entry(net, family).contains("02:00:00:00:77:01"), "{}", entry(net, family));
        exchange(client, CHANNEL, 200..500);
    }
    let log = scene.end();
    assert!(Summary::of(&log).in_kernel().packets >= 2 * 2 * 500 - 100, "{log}");
}

#[test]
fn neighbours_stay_fresh_while_flows_use_them_and_only_then() {
    let Some(mut scene) = scene() else { return };
    let Scene { net, clients, .. } = &mut scene;
    // By itself the kernel would probe about once a minute, and only for packets that this host sends.
    for family in [V4, V6] {
        net.relay.within(move || {
            let router = ["10.2.0.254", "fd02::254"][family];
            ip(&format!("neigh change {router} dev {INTERFACE} nud stale"));
        });
    }
    for family in [V4, V6] {
        wait_until(|| {
            clients.iter_mut().for_each(|client| _ = exchange(client, CHANNEL, 0..2));
            entry(net, family).contains("REACHABLE")
        });
    }
    // An entry by an administrator is not touched.
    let router = mac(&net.router, "relay");
    net.relay.within(move || {
        for address in ["10.2.0.254", "fd02::254"] {
            ip(&format!("neigh replace {address} lladdr {router} dev {INTERFACE} nud permanent"));
        }
    });
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        clients.iter_mut().for_each(|client| _ = exchange(client, CHANNEL, 0..20));
    }
    for family in [V4, V6] {
        assert!(entry(net, family).contains("PERMANENT"), "{}", entry(net, family));
    }
    scene.end();
}

#[test]
fn a_neighbour_that_the_kernel_forgets_costs_no_packet() {
    let Some(mut scene) = scene() else { return };
    let Scene { net, clients, .. } = &mut scene;
    net.relay.within(|| {
        ip(&format!("neigh del 10.2.0.254 dev {INTERFACE}"));
        ip(&format!("neigh del fd02::254 dev {INTERFACE}"));
    });
    // The kernel resolves the address for packets from user space. After that it relays again.
    for client in clients.iter_mut() {
        exchange(client, CHANNEL, 200..500);
    }
    let log = scene.end();
    let summary = Summary::of(&log);
    assert_eq!((summary.in_kernel() + summary.in_user_space()).packets, 2 * 2 * 500 + 2, "{summary:?}");
}
