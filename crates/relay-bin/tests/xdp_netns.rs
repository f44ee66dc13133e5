//! The binary relays in the kernel, between network namespaces: coturn's client, and bulk transfers over all pairs of families.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod xdp_net;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use test_support::{
    capability::{can, has_coturn, is_installed},
    collector::Collector,
    echo::CoturnEcho,
    http,
    namespace::Namespace,
    program::run,
    relay::{End, clients_of_both_workers, minted},
    wait_until,
};
use xdp_net::{
    INTERFACE, LISTEN_PORT, Mode, Net, PEER, PUBLIC_V4, RELAY, V4, V6, address,
    peer::{LAST, Peer, exchange, payload, receive},
    summary::{Summary, Traffic},
};

const CHANNEL: u16 = 0x4abc;

/// All pairs of a client's and a peer's family. The order ensures that the relay has sent responses to its router in each family
/// before it relays data there: until the kernel knows the router, user space relays.
const PAIRS: [(usize, usize); 4] = [(V4, V4), (V6, V6), (V4, V6), (V6, V4)];

/// The counters of bytes relayed in the kernel and in user space.
const RELAYED_BYTES: [&str; 2] = ["data_relayed_ebpf_bytes", "data_relayed_userspace_bytes"];

/// Exchanges `rounds` packets and answers over each pair of families. Checks that the kernel relayed all of them.
fn bulk(mode: Mode, rounds: u32, options: &[&str]) {
    let Some(net) = Net::new(mode) else { return };
    let captured = PAIRS.iter().map(|_| rounds).sum();
    let captures = [Capture::start(&net.peer, captured), Capture::start(&net.client, captured)];
    let health = "127.0.0.1:8080";
    let name = format!("{}-{rounds}", mode.name());
    let collector = net.relay.within(move || Collector::start(&name));
    let collector_address = collector.as_ref().map(|collector| collector.address.to_string());
    let telemetry = match &collector_address {
        Some(address) => &["--otlp-grpc-endpoint", address, "--otel-metric-export-interval", "100"][..],
        None => &[],
    };
    let relay = net.start_relay(mode, &[&["--health-check-addr", health], telemetry, options].concat());
    let mut sent = Traffic::default();
    for (index, (client_family, peer_family)) in PAIRS.into_iter().enumerate() {
        let peer = Peer::start(&net.peer, address(PEER[peer_family], 0));
        let mut client = net.client(client_family, &format!("bulk{index}"));
        let allocate = turn_client::Allocate { family: Some(families()[peer_family]), ..Default::default() };
        client.allocate(allocate).unwrap();
        client.bind(CHANNEL, peer.address).unwrap();
        let bytes = exchange(&mut client, CHANNEL, 0..rounds);
        let mut numbers = peer.end(&mut client, CHANNEL);
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..rounds), "packets were repeated");
        let last = payload(LAST).len() as u64;
        sent = sent + Traffic { packets: 2 * u64::from(rounds) + 1, bytes: bytes + last };
    }
    let metrics = net.relay.within(move || metrics_with(health.parse().unwrap(), sent.bytes));
    if let Some(collector) = &collector {
        // At its end the relay waits for the collector only briefly, so check before.
        for name in RELAYED_BYTES {
            let bytes = counter(&metrics, name);
            wait_until(|| collector.has_value(name, bytes));
        }
    }
    let End { status, log } = relay.stop();
    assert!(status.success(), "{status}\n{log}");
    let summary = Summary::of(&log);
    let (in_kernel, in_user_space) = (summary.in_kernel(), summary.in_user_space());
    assert_eq!(in_kernel + in_user_space, sent, "{summary:?}");
    assert!(in_user_space.packets <= Summary::tolerance(sent.packets), "{summary:?}");
    let told = RELAYED_BYTES.map(|name| counter(&metrics, name));
    assert_eq!(told, [in_kernel.bytes, in_user_space.bytes], "{metrics}");
    assert!(metrics.contains("\nebpf_flows 8\n"), "{metrics}");
    assert!(!net.has_program());
    for capture in captures {
        capture.expect_good_checksums(captured);
    }
}

/// The text of `/metrics` once it counts `bytes` of data. A worker publishes a moment after relaying.
fn metrics_with(health: SocketAddr, bytes: u64) -> String {
    let mut metrics = String::new();
    wait_until(|| {
        let (code, text) = http::get(health, "/metrics");
        assert_eq!(code, 200);
        metrics = text;
        RELAYED_BYTES.iter().map(|name| counter(&metrics, name)).sum::<u64>() == bytes
    });
    metrics
}

/// The value of a counter in `metrics`.
fn counter(metrics: &str, name: &str) -> u64 {
    let series = format!("{name}_total ");
    metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

fn families() -> [turn_client::Family; 2] {
    [turn_client::Family::V4, turn_client::Family::V6]
}

#[test]
fn bulk_transfers_in_driver_mode() {
    bulk(Mode::Driver, 10_000, &[]);
}

#[test]
fn bulk_transfers_in_generic_mode() {
    bulk(Mode::Generic, 10_000, &[]);
}

#[test]
fn bulk_transfers_behind_one_router() {
    bulk(Mode::Driver, 2_000, &["--ebpf-next-hop", "answer-sender", "--workers", "1"]);
}

/// Behind a one-to-one NAT, packets carry another address than the public one.
#[test]
fn behind_a_nat_packets_carry_the_local_address() {
    const ROUNDS: u32 = 500;
    if !can("nft", is_installed("nft"), "nftables is not installed (`cargo xtask setup`)") {
        return;
    }
    for options in [&["--ebpf-int4-addr", RELAY[V4]][..], &[]] {
        let Some(net) = Net::new(Mode::Driver) else { return };
        net.translate();
        let relay = net.start_relay_known_as(PUBLIC_V4, Mode::Driver, options);
        let mut sent = Traffic::default();
        for (salt, relay, peer_family) in
            // In an order as in [`PAIRS`].
            [("v4", PUBLIC_V4, V4), ("v6 to v4", RELAY[V6], V4), ("v4 to v6", PUBLIC_V4, V6)]
        {
            let peer = Peer::start(&net.peer, address(PEER[peer_family], 0));
            let mut client = net.client_of(relay, salt);
            let allocate = turn_client::Allocate { family: Some(families()[peer_family]), ..Default::default() };
            let relayed = client.allocate(allocate).unwrap().relayed[0];
            assert_eq!(relayed.ip(), address([PUBLIC_V4, RELAY[V6]][peer_family], 0).ip());
            client.bind(CHANNEL, peer.address).unwrap();
            let bytes = exchange(&mut client, CHANNEL, 0..ROUNDS) + payload(LAST).len() as u64;
            assert_eq!(peer.end(&mut client, CHANNEL).len(), 500, "packets were repeated");
            sent = sent + Traffic { packets: 2 * u64::from(ROUNDS) + 1, bytes };
        }
        let End { log, .. } = relay.stop();
        let summary = Summary::of(&log);
        assert_eq!(summary.in_kernel() + summary.in_user_space(), sent, "{summary:?}");
        assert!(summary.in_user_space().packets <= Summary::tolerance(sent.packets), "{summary:?}");
    }
}

/// Each worker installs the flow that begins with its own client.
#[test]
fn clients_of_two_workers_are_crossed_in_the_kernel() {
    const ROUNDS: u32 = 500;
    let Some(net) = Net::new(Mode::Driver) else { return };
    let relay = net.start_relay(Mode::Driver, &["--workers", "2", "--allocations-per-username", "100"]);
    let mut sent = Traffic::default();
    // The clients' families, and the family of the relayed transport addresses, which no packet shows.
    for (families_of_clients, relayed) in [([V4, V4], V4), ([V4, V6], V4), ([V6, V4], V6), ([V6, V6], V6)] {
        let [(mut one, at_one), (mut other, at_other)] =
            clients_of_both_workers(families()[relayed], |worker| net.client(families_of_clients[worker], "crossed"));
        one.bind(CHANNEL, at_other).unwrap();
        other.bind(CHANNEL, at_one).unwrap();
        // This worker responds after it has handled the other worker's message.
        one.bind(CHANNEL, at_other).unwrap();
        for number in 0..ROUNDS {
            let data = payload(number);
            one.send(CHANNEL, &data).unwrap();
            assert_eq!(receive(&mut other), Some((CHANNEL, data.clone())));
            other.send(CHANNEL, &data).unwrap();
            assert_eq!(receive(&mut one), Some((CHANNEL, data.clone())));
            sent = sent + Traffic { packets: 2, bytes: 2 * data.len() as u64 };
        }
    }
    let End { log, .. } = relay.stop();
    let summary = Summary::of(&log);
    // Each allocation's account has what its client sent and received.
    let sum = |name: &str| -> u64 {
        let values =
            log.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok());
        values.sum()
    };
    let in_kernel = summary.in_kernel();
    assert!(in_kernel.packets > 0, "{log}");
    for way in ["kernel_to_peers", "kernel_from_peers"] {
        let counted = (sum(&format!("{way}_packets")), sum(&format!("{way}_bytes")));
        assert_eq!(counted, (in_kernel.packets, in_kernel.bytes), "{way}: {log}");
    }
    assert!(!log.contains("complete=false"), "{log}");
    assert_eq!(summary.in_kernel() + summary.in_user_space(), sent, "{summary:?}");
    assert!(summary.in_user_space().packets <= Summary::tolerance(sent.packets), "{summary:?}");
}

/// Runs coturn's client in the client's namespace, with its echo server in the peer's.
fn coturn(mode: Mode) {
    const MESSAGES: u64 = 200;
    const CONNECTIONS: u64 = 4;
    const LENGTH: u64 = 300;
    if !has_coturn() {
        return;
    }
    let Some(net) = Net::new(mode) else { return };
    let relay = net.start_relay(mode, &["--workers", "2", "--allocations-per-username", "100"]);
    let _echo = net.peer.within(|| CoturnEcho::start(ECHO_PORT, &PEER));
    let user = minted("interop");
    let pairs = [(V4, V4, "-X"), (V6, V6, "-x"), (V4, V6, "-x")];
    for (client_family, peer_family, flag) in pairs {
        let arguments = [
            ["-p", &LISTEN_PORT.to_string()],
            ["-u", &user.username],
            ["-w", &user.password],
            ["-n", &MESSAGES.to_string()],
            ["-m", &CONNECTIONS.to_string()],
            ["-l", &LENGTH.to_string()],
            ["-z", "5"],
            ["-e", PEER[peer_family]],
            ["-r", &ECHO_PORT.to_string()],
            ["-c", flag],
        ];
        let arguments: Vec<String> =
            arguments.concat().into_iter().chain([RELAY[client_family]]).map(str::to_owned).collect();
        let (output, text) = net.client.within(move || run("turnutils_uclient", &arguments));
        assert!(output.status.success(), "turnutils_uclient: {}\n{text}", output.status);
        let expected = CONNECTIONS * MESSAGES;
        let totals = format!("tot_send_msgs={expected}, tot_recv_msgs={expected}");
        assert!(text.lines().any(|line| line.ends_with(&totals)), "not all of {expected} messages came back:\n{text}");
    }
    let End { status, log } = relay.stop();
    assert!(status.success(), "{status}\n{log}");
    let summary = Summary::of(&log);
    let packets = 2 * pairs.len() as u64 * CONNECTIONS * MESSAGES;
    let sent = Traffic { packets, bytes: packets * LENGTH };
    assert_eq!(summary.in_kernel() + summary.in_user_space(), sent, "{summary:?}");
    assert!(summary.in_user_space().packets <= Summary::tolerance(packets), "{summary:?}");
}

#[test]
fn coturns_client_in_driver_mode() {
    coturn(Mode::Driver);
}

#[test]
fn coturns_client_in_generic_mode() {
    coturn(Mode::Generic);
}

const ECHO_PORT: u16 = 3480;

/// A capture of the first datagrams that arrive in a namespace, if tcpdump is installed.
struct Capture(Option<(Child, JoinHandle<Vec<u8>>)>);

impl Capture {
    fn start(namespace: &Namespace, packets: u32) -> Self {
        let started = namespace.within(move || {
            Command::new("tcpdump")
                .args([
                    "-i",
                    INTERFACE,
                    "-Q",
                    "in",
                    "-Z",
                    "root",
                    "-B",
                    "65536",
                    "-w",
                    "-",
                    "-c",
                    &packets.to_string(),
                    "udp",
                ])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        });
        let reason = "tcpdump is not installed (`cargo xtask setup`): checksums are not looked at";
        if !can("tshark", started.is_ok(), reason) {
            return Self(None);
        }
        let mut child = started.unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.as_mut().unwrap());
        while !line.contains("listening on") {
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "tcpdump does not capture: {line}");
        }
        let mut stdout = child.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut capture = Vec::new();
            stdout.read_to_end(&mut capture).unwrap();
            capture
        });
        Self(Some((child, reader)))
    }

    /// Waits until `packets` were captured, and checks them.
    fn expect_good_checksums(self, packets: u32) {
        let Some((mut child, reader)) = self.0 else { return };
        wait_until(|| child.try_wait().unwrap().is_some());
        let mut decoder = Command::new("tcpdump")
            .args(["-nn", "-vv", "-r", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = decoder.stdin.take().unwrap();
        let capture = reader.join().unwrap();
        let writer = thread::spawn(move || stdin.write_all(&capture).unwrap());
        let text = String::from_utf8(decoder.wait_with_output().unwrap().stdout).unwrap();
        writer.join().unwrap();
        if let Some(bad) = text.lines().find(|line| line.contains("bad cksum") || line.contains("bad udp cksum")) {
            panic!("a packet with a bad checksum: {bad}");
        }
        let good = text.matches("[udp sum ok]").count();
        assert_eq!(good, packets.try_into().unwrap(), "not every checksum was looked at");
    }
}
