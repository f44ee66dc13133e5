//! A route changes while a million packets are being sent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use relay_ebpf::{AttachMode, Config, Counters, Encapsulation, Flow, NextHop, XdpProgram};
use support::{kernel::is_for_lack_of_means, packet::channel_data};
use test_support::{
    capability::skip,
    namespace::{Namespace, ip, sysctl},
};

/// Sends as many packets as this time allows, but at most a million.
const AT_MOST: Duration = Duration::from_secs(20);
const PACKETS: u64 = 1_000_000;
/// How many packets may be under way, limited by the receiver's buffer.
const WINDOW: u64 = 64;
/// The longest time for which a next hop is kept: 640 ms, and a tick that has begun.
const KEPT: Duration = Duration::from_millis(660);
/// A packet that has not arrived after this time is lost.
const LOST: Duration = Duration::from_millis(500);

const CHANNEL: u16 = 0x4abc;

struct Net {
    client: Namespace,
    relay: Namespace,
    peer: Namespace,
    offload: XdpProgram,
    _passing: [XdpProgram; 2],
}

/// A client, a relay that consists of the program only, and a peer with two links.
fn net() -> Result<Net, String> {
    let (client, relay, peer) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
    relay.connect("rc", &["10.1.0.9/24"], &client, "c0", &["10.1.0.1/24"]);
    relay.connect("ra", &["10.2.0.9/24"], &peer, "pa", &["10.2.0.2/24"]);
    relay.connect("rb", &["10.3.0.9/24"], &peer, "pb", &["10.3.0.2/24"]);
    peer.within(|| {
        for name in ["all", "default", "pa", "pb"] {
            sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), "0");
        }
        ip("addr add 10.9.0.2/32 dev lo");
    });
    relay.within(|| ip("route add 10.9.0.2 via 10.2.0.2"));
    let load = |namespace: &Namespace, interfaces: &[&str]| {
        let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        let config =
            Config { interfaces, mode: AttachMode::Driver, next_hop: NextHop::RoutingTable, ..Config::default() };
        namespace.within(move || match XdpProgram::load(&config) {
            Ok(mut offload) => {
                offload.attach(&config).unwrap();
                Ok(offload)
            }
            Err(error) if is_for_lack_of_means(&error) => Err(error.to_string()),
            Err(error) => panic!("{error}: {error:?}"),
        })
    };
    let offload = load(&relay, &["rc", "ra", "rb"])?;
    let passing = [load(&client, &["c0"])?, load(&peer, &["pa", "pb"])?];
    // Lets the relay learn its neighbours, as its responses would.
    relay.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for neighbour in ["10.1.0.1:9", "10.2.0.2:9", "10.3.0.2:9"] {
            let _ = socket.send_to(&[], neighbour);
        }
    });
    Ok(Net { client, relay, peer, offload, _passing: passing })
}

/// The data of packet `number`, whose length depends on it. The checksum depends on the length only: one in 65,536 complete checksums
/// looks partial, so that the packet is passed to user space. None of these does.
fn data(number: u64) -> Vec<u8> {
    let mut data = vec![0x55; 16 + (number % 400) as usize];
    data[..8].copy_from_slice(&number.to_be_bytes());
    data[8..16].copy_from_slice(&(!number).to_be_bytes());
    data
}

/// The result of sending packets.
struct Arrived {
    sent: Counters,
    received: Counters,
    /// When lost packets were sent, relative to the change.
    lost: Vec<Duration>,
}

/// Sends packets, and calls `change` after half of them.
fn send(net: &Net, change: impl FnOnce()) -> Arrived {
    let client = net.client.within(|| UdpSocket::bind("10.1.0.1:4001").unwrap());
    let peer = net.peer.within(|| UdpSocket::bind("10.9.0.2:5001").unwrap());
    peer.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (latest, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let receive = || {
        let mut numbers = Vec::new();
        let mut bytes = 0;
        let mut buffer = [0; 2048];
        loop {
            match peer.recv(&mut buffer) {
                Ok(length) => {
                    let number = u64::from_be_bytes(buffer[..8].try_into().unwrap());
                    assert!(buffer[..length] == data(number), "packet {number} was changed");
                    numbers.push(number);
                    bytes += length as u64;
                    latest.store(number, Ordering::Relaxed);
                }
                Err(_) if done.load(Ordering::Relaxed) => return (numbers, bytes),
                Err(_) => {}
            }
        }
    };
    thread::scope(|scope| {
        let receiver = scope.spawn(receive);
        let (start, mut change, mut changed_at) = (Instant::now(), Some(change), None);
        let mut sent_at = Vec::new();
        let mut sent = Counters::default();
        // Numbers start at 1.
        for number in 1..=PACKETS {
            let is_half = number == PACKETS / 2 || start.elapsed() >= AT_MOST / 2;
            if is_half && let Some(change) = change.take() {
                change();
                changed_at = Some((number, Instant::now()));
            }
            // As many packets as before the change, and for long enough to see its effect.
            if changed_at.is_some_and(|(half, at)| number > 2 * half && at.elapsed() > 2 * KEPT) {
                break;
            }
            let payload = data(number);
            sent = sent + Counters { packets: 1, bytes: payload.len() as u64 };
            sent_at.push(Instant::now());
            client.send_to(&channel_data(CHANNEL, &payload), "10.1.0.9:3478").unwrap();
            let waits_since = Instant::now();
            while latest.load(Ordering::Relaxed) + WINDOW < number && waits_since.elapsed() < LOST {
                thread::yield_now();
            }
        }
        thread::sleep(LOST);
        done.store(true, Ordering::Relaxed);
        let (mut numbers, bytes) = receiver.join().unwrap();
        let received = Counters { packets: numbers.len() as u64, bytes };
        numbers.sort_unstable();
        let changed_at = changed_at.unwrap().1;
        let was_lost = |number: &usize| numbers.binary_search(&(*number as u64 + 1)).is_err();
        let lost = (0..sent_at.len()).filter(was_lost);
        let lost = lost.map(|number| sent_at[number].saturating_duration_since(changed_at)).collect();
        Arrived { sent, received, lost }
    })
}

fn run(change: impl FnOnce() + Send + 'static) -> Option<(Arrived, Counters)> {
    let net = match net() {
        Ok(net) => net,
        Err(reason) => {
            skip("xdp", reason);
            return None;
        }
    };
    let flow = Flow {
        remote: "10.1.0.1:4001".parse().unwrap(),
        local: "10.1.0.9:3478".parse().unwrap(),
        arrives_in: Encapsulation::Channel(CHANNEL),
        source: "10.1.0.9:50001".parse().unwrap(),
        destination: "10.9.0.2:5001".parse().unwrap(),
        leaves_in: Encapsulation::Bare,
    };
    net.offload.install(&flow).unwrap();
    let arrived = send(&net, || net.relay.within(change));
    eprintln!(
        "{} packets ({} bytes) sent, {} lost; counted {:?}",
        arrived.sent.packets,
        arrived.sent.bytes,
        arrived.lost.len(),
        net.offload.reasons().unwrap().into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    );
    Some((arrived, net.offload.remove(&flow.key()).unwrap().unwrap()))
}

#[test]
fn a_route_that_changes_costs_no_packet_and_totals_are_exact() {
    let Some((arrived, counted)) = run(|| ip("route replace 10.9.0.2 via 10.3.0.2")) else { return };
    assert_eq!(arrived.lost, []);
    assert_eq!(arrived.received, arrived.sent);
    assert_eq!(counted, arrived.sent);
}

#[test]
fn a_link_that_goes_costs_packets_for_no_longer_than_a_next_hop_is_kept() {
    let change = || {
        ip("link set ra down");
        ip("route add 10.9.0.2 via 10.3.0.2");
    };
    let Some((arrived, counted)) = run(change) else { return };
    assert!(arrived.lost.iter().all(|since| *since <= KEPT), "{:?}", arrived.lost.iter().max());
    assert_eq!(arrived.received.packets + arrived.lost.len() as u64, arrived.sent.packets);
    assert!(counted.packets <= arrived.sent.packets && counted.packets >= arrived.received.packets);
}
