//! Network faults while the relay runs: links and addresses that disappear, and sends that the kernel refuses.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use test_support::{
    PATIENCE,
    capability::can,
    http,
    namespace::{ip, run},
    relay::Relay,
    wait_until,
};
use turn_client::{Allocate, BlockingClient};

use super::net::{CHANNEL, HEALTH, HOST, Net, OUTSIDE};

/// An address beyond the host's router.
const FAR: &str = "203.0.113.9";

/// A relay on the host, with a client that exchanges data with a peer.
struct Session {
    net: Net,
    relay: Relay,
    client: BlockingClient,
    peer: UdpSocket,
    relayed: SocketAddr,
}

impl Session {
    fn start(options: &[&str]) -> Option<Self> {
        let net = Net::new()?;
        net.outside.within(|| ip(&format!("addr add {FAR}/32 dev lo")));
        let relay = net.start(&[&["--public-ip4-addr", HOST, "--allow-peer", FAR], options].concat());
        let mut client = net.client(HOST, "a");
        let relayed = client.allocate(Allocate::default()).unwrap().relayed[0];
        let peer = net.peer_at(FAR);
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        let mut session = Self { net, relay, client, peer, relayed };
        assert!(session.relays());
        Some(session)
    }

    /// Whether data reaches the peer and comes back.
    fn relays(&mut self) -> bool {
        // The client's own link may be down, too.
        if self.client.send(CHANNEL, b"there").is_err() {
            return false;
        }
        let mut buffer = [0; 100];
        let Ok((length, from)) = self.peer.recv_from(&mut buffer) else { return false };
        assert_eq!((&buffer[..length], from), (&b"there"[..], self.relayed));
        self.peer.send_to(b"back", from).is_ok()
            && matches!(self.client.receive(Duration::from_millis(200)), Ok(Some(_)))
    }

    fn metric(&self, line: &str) -> u64 {
        let (_, text) = self.net.host.within(|| http::get(HEALTH.parse().unwrap(), "/metrics"));
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Sends until the relay has counted this many lost datagrams. Then calls `mend`, and waits until data passes again.
    fn lose(&mut self, reason: &str, mend: impl FnOnce(&Net)) {
        let line = format!("dropped_datagrams_total{{reason=\"{reason}\"}}");
        let before = self.metric(&line);
        wait_until(|| {
            for _ in 0..20 {
                let _ = self.client.send(CHANNEL, &[0; 1000]);
            }
            self.metric(&line) >= before + 20
        });
        mend(&self.net);
        // Data of the meantime may have reached the peer.
        while self.peer.recv_from(&mut [0; 2000]).is_ok() {}
        wait_until(|| self.relays());
    }

    /// Checks that the log gives the reason, and only once rather than for each datagram.
    fn assert_told_once(self, what: &str) {
        let log = self.relay.stop().log;
        assert_eq!(log.matches(what).count(), 1, "{what}:\n{log}");
    }
}

#[test]
fn a_link_and_an_address_that_are_away_for_three_seconds_cost_a_client_those_three_seconds() {
    let Some(mut session) = Session::start(&[]) else { return };
    for (away, back) in [
        ("link set eth0 down", "link set eth0 up"),
        (&*format!("addr del {HOST}/24 dev eth0"), &*format!("addr add {HOST}/24 dev eth0")),
    ] {
        session.net.ip(away);
        for _ in 0..10 {
            assert!(!session.relays());
            thread::sleep(Duration::from_millis(100));
        }
        session.net.ip(back);
        // The kernel has removed the route with the link.
        session.net.ip(&format!("route replace default via {OUTSIDE}"));
        wait_until(|| session.relays());
        wait_until(|| session.net.is_ready());
    }
    // Remove the interface with its addresses and routes.
    session.net.ip("link del eth0");
    wait_until(|| !session.net.is_ready());
    thread::sleep(Duration::from_secs(1));
    session.net.join();
    wait_until(|| session.relays());
    wait_until(|| session.net.is_ready());
    session.client.refresh(PATIENCE).unwrap();
    wait_until(|| session.net.allocation(HOST, "new").is_ok());
    session.assert_told_once("the relay is up");
}

#[test]
fn datagrams_that_a_firewall_of_the_machine_refuses_are_counted_and_told_once() {
    let present = std::process::Command::new("nft").arg("--version").output().is_ok();
    if !can("nft", present, "nft is not there") {
        return;
    }
    let Some(mut session) = Session::start(&[]) else { return };
    session.net.host.within(|| {
        run("nft", "add table ip relay");
        run("nft", "add chain ip relay output { type filter hook output priority 0 ; }");
        run("nft", &format!("add rule ip relay output ip daddr {FAR} drop"));
    });
    session.lose("send_failed", |net| net.host.within(|| run("nft", "delete table ip relay")));
    session.assert_told_once("a firewall of its own drops what the relay sends");
}

#[test]
fn a_peer_that_there_is_no_route_to_is_counted_and_told_once() {
    let Some(mut session) = Session::start(&[]) else { return };
    session.net.ip("route del default");
    session.lose("send_failed", |net| net.ip(&format!("route add default via {OUTSIDE}")));
    session.assert_told_once("their destination cannot be reached from here");
}

#[test]
fn a_network_that_takes_less_than_is_relayed_is_counted_and_told_once() {
    // The kernel returns ENOBUFS to sockets that ask for ICMP errors, as relay sockets do for indications, and no error to others.
    let Some(mut session) = Session::start(&["--indications", "on"]) else { return };
    session.net.host.within(|| run("tc", "qdisc add dev eth0 root tbf rate 8kbit burst 2000 limit 2000"));
    session.lose("send_failed", |net| net.host.within(|| run("tc", "qdisc del dev eth0 root")));
    session.assert_told_once("more is relayed than its network takes");
}
