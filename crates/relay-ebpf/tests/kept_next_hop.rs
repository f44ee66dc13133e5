//! Next hops are kept for a while and never longer, whatever changes, and whether or not user space invalidates them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use relay_ebpf::{AttachMode, Config, Encapsulation, Flow, NextHop, Reason, XdpProgram};
use support::{
    Outcome, Runner,
    cases::{arriving, flow},
    kernel::{Kernel, XDP_PASS},
};
use test_support::namespace::{interface_index, ip};

/// The longest time for which a next hop is kept: 640 ms, and a tick that has begun.
const KEPT: Duration = Duration::from_millis(660);

/// A frame's destination and source, as the last bytes of the Ethernet addresses.
type Hop = (u8, u8);

/// By `up0`, by `up1`, and by the second router of `up0`.
const FIRST: Hop = (0xb0, 0xa0);
const OTHER: Hop = (0xb1, 0xa1);
const SECOND: Hop = (0xbb, 0xa0);

const DESTINATIONS: [&str; 2] = ["192.0.2.2:5555", "[2001:db8::2]:5555"];
const SOURCES: [&str; 2] = ["10.0.0.10:3478", "[fd00:0::10]:3478"];

fn config() -> Config {
    Config {
        interfaces: vec!["lo".to_owned(), "up0".to_owned(), "up1".to_owned()],
        mode: AttachMode::Generic,
        next_hop: NextHop::RoutingTable,
        packets_per_event: 1,
        max_flows: 64,
        ..Config::default()
    }
}

/// Creates an interface with its addresses and neighbours.
fn make(number: u8) {
    ip(&format!("link add up{number} address 02:00:00:00:00:a{number} type veth peer name up{number}p"));
    ip(&format!("link set up{number} up"));
    ip(&format!("link set up{number}p up"));
    ip(&format!("addr add 10.0.{number}.10/24 dev up{number}"));
    ip(&format!("addr add fd00:{number}::10/64 dev up{number} nodad"));
    for (host, mac) in [(1, format!("b{number}")), (2, "bb".to_owned())] {
        for router in [format!("10.0.{number}.{host}"), format!("fd00:{number}::{host}")] {
            ip(&format!("neigh replace {router} lladdr 02:00:00:00:00:{mac} dev up{number} nud permanent"));
        }
    }
}

/// Routes the destinations by router `host` on interface `number`.
fn route_by(number: u8, host: u8) {
    ip(&format!("route replace 192.0.2.2 via 10.0.{number}.{host} dev up{number}"));
    ip(&format!("route replace 2001:db8::2 via fd00:{number}::{host} dev up{number}"));
}

struct Host {
    kernel: Kernel,
    flows: [Flow; 2],
}

impl Host {
    fn new() -> Option<Self> {
        let mut kernel = Kernel::load(&config())?;
        make(0);
        make(1);
        route_by(0, 1);
        kernel.offload.attach(&config()).unwrap();
        let flows = [0, 1].map(|family| {
            let (source, destination) = (SOURCES[family].parse().unwrap(), DESTINATIONS[family].parse().unwrap());
            let channel = [0x4001, 0x4002][family];
            Flow {
                source,
                destination,
                ..flow(Encapsulation::Channel(channel), Encapsulation::Bare, true, family == 0)
            }
        });
        flows.iter().for_each(|flow| kernel.offload.install(flow).unwrap());
        Some(Self { kernel, flows })
    }

    /// Sends a packet with `length` bytes of data in each family. Returns the next hop, or why it was passed.
    fn send(&mut self, length: usize) -> [Result<Hop, Reason>; 2] {
        self.flows.map(|flow| {
            let frame = arriving(&flow, &vec![1; length]).build();
            match self.kernel.run(&frame) {
                Outcome { reason: Reason::Forwarded, frame } => Ok((frame[5], frame[11])),
                Outcome { reason, frame: left } => {
                    assert_eq!(left, frame, "touched");
                    Err(reason)
                }
            }
        })
    }
}

#[test]
fn a_next_hop_is_kept_until_user_space_says_that_something_changed() {
    let Some(mut host) = Host::new() else { return };
    let mut kept = false;
    // A busy machine may need several attempts to send the packets within half a second.
    for _ in 0..50 {
        route_by(0, 1);
        host.kernel.offload.forget_next_hops().unwrap();
        assert_eq!(host.send(100), [Ok(FIRST); 2]);
        route_by(1, 1);
        kept |= host.send(100) == [Ok(FIRST); 2];
        host.kernel.offload.forget_next_hops().unwrap();
        assert_eq!(host.send(100), [Ok(OTHER); 2], "forgotten");
    }
    assert!(kept, "each packet is looked up");
}

/// Makes a change without invalidating next hops. Checks packets right after it, and after the longest time that next hops are kept.
#[track_caller]
fn change(host: &mut Host, length: usize, change: impl FnOnce(), expected: [Result<Hop, Reason>; 2]) {
    assert_eq!(host.send(length), [Ok(FIRST); 2], "before");
    change();
    // Right after the change, packets go the old way or the new one.
    for (is, after) in host.send(length).into_iter().zip(expected) {
        assert!(is == Ok(FIRST) || is == after, "{is:?}");
    }
    thread::sleep(KEPT);
    assert_eq!(host.send(length), expected, "after");
}

#[test]
fn a_changed_route_rule_neighbour_or_mtu_is_followed_without_a_word() {
    let Some(mut host) = Host::new() else { return };
    let both = |answer| [answer; 2];
    change(&mut host, 100, || route_by(0, 2), both(Ok(SECOND)));
    route_by(0, 1);
    thread::sleep(KEPT);
    change(&mut host, 100, || route_by(1, 1), both(Ok(OTHER)));
    route_by(0, 1);
    thread::sleep(KEPT);
    let rule = || {
        ip("route add default via 10.0.1.1 table 100");
        ip("-6 route add default via fd00:1::1 table 100");
        ip("-4 rule add ipproto udp dport 5555 table 100");
        ip("-6 rule add ipproto udp dport 5555 table 100");
    };
    change(&mut host, 100, rule, both(Ok(OTHER)));
    ip("-4 rule del ipproto udp dport 5555 table 100");
    ip("-6 rule del ipproto udp dport 5555 table 100");
    thread::sleep(KEPT);
    let announced = |mac: &str| {
        for router in ["10.0.0.1", "fd00:0::1"] {
            ip(&format!("neigh replace {router} lladdr 02:00:00:00:00:{mac} dev up0 nud permanent"));
        }
    };
    change(&mut host, 100, || announced("b9"), both(Ok((0xb9, 0xa0))));
    announced("b0");
    thread::sleep(KEPT);
    change(&mut host, 1400, || ip("link set up0 mtu 1300"), both(Err(Reason::TooLarge)));
    assert_eq!(host.send(1200), both(Ok(FIRST)), "the smaller ones fit");
    ip("link set up0 mtu 1500");
    thread::sleep(KEPT);
    let gone = || {
        ip("neigh del 10.0.0.1 dev up0");
        ip("neigh del fd00:0::1 dev up0");
    };
    change(&mut host, 100, gone, both(Err(Reason::NoNeighbour)));
}

#[test]
fn a_route_that_leads_nowhere_is_followed_without_a_word() {
    let Some(mut host) = Host::new() else { return };
    for kind in ["blackhole", "prohibit", "unreachable"] {
        let refuse = || {
            for (family, destination) in [("-4", "192.0.2.2"), ("-6", "2001:db8::2")] {
                ip(&format!("{family} route del {destination}"));
                ip(&format!("{family} route add {kind} {destination}"));
            }
        };
        change(&mut host, 100, refuse, [Err(Reason::NoNextHop); 2]);
        ip("route del 192.0.2.2");
        ip(&format!("-6 route del {kind} 2001:db8::2"));
        route_by(0, 1);
        thread::sleep(KEPT);
    }
    let tunnel = || {
        ip("tuntap add tun0 mode tun");
        ip("addr add 10.9.0.1/24 dev tun0");
        ip("link set tun0 up");
        ip("route replace 192.0.2.2 dev tun0");
        ip("-6 route del 2001:db8::2");
        ip("-6 route add default dev tun0");
    };
    assert_eq!(host.send(100), [Ok(FIRST); 2]);
    tunnel();
    thread::sleep(KEPT);
    for answer in host.send(100) {
        assert!(matches!(answer, Err(Reason::OtherInterface | Reason::NoNeighbour | Reason::NoNextHop)), "{answer:?}");
    }
}

#[test]
fn an_interface_that_comes_back_under_another_index_is_not_taken_for_the_old_one() {
    let Some(mut host) = Host::new() else { return };
    let replace = || {
        ip("link del up0");
        make(0);
        route_by(0, 1);
    };
    change(&mut host, 100, replace, [Err(Reason::OtherInterface); 2]);
    // An interface that is down has no routes.
    route_by(1, 1);
    thread::sleep(KEPT);
    assert_eq!(host.send(100), [Ok(OTHER); 2]);
    ip("link set up1 down");
    thread::sleep(KEPT);
    assert_eq!(host.send(100), [Err(Reason::NoNextHop); 2]);
}

#[test]
fn a_stranger_under_the_index_of_an_interface_that_went_is_not_sent_to() {
    let Some(mut host) = Host::new() else { return };
    route_by(1, 1);
    assert_eq!(host.send(100), [Ok(OTHER); 2]);
    let index = interface_index("up1");
    ip("link del up1");
    ip(&format!("link add stranger index {index} address 02:00:00:00:00:a1 type veth peer name peer"));
    ip("link set stranger up");
    ip("link set peer up");
    ip("addr add 10.0.1.10/24 dev stranger");
    ip("addr add fd00:1::10/64 dev stranger nodad");
    for router in ["10.0.1.1", "fd00:1::1"] {
        ip(&format!("neigh replace {router} lladdr 02:00:00:00:00:b1 dev stranger nud permanent"));
    }
    ip("route replace 192.0.2.2 via 10.0.1.1 dev stranger");
    ip("route replace 2001:db8::2 via fd00:1::1 dev stranger");
    host.kernel.offload.follow_interfaces().unwrap();
    host.kernel.offload.forget_next_hops().unwrap();
    assert_eq!(host.send(100), [Err(Reason::OtherInterface); 2]);
}

/// Sends packets of one flow from several threads, while another thread keeps changing what its next hop depends on.
fn race(
    offload: &XdpProgram,
    frame: &[u8],
    changes: usize,
    mut change: impl FnMut(usize),
) -> (u64, Vec<Result<Hop, ()>>) {
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let send = || {
        let mut seen = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let run = offload.run(frame, 1).unwrap();
            let hop = if run.action == XDP_PASS { Err(()) } else { Ok((run.frame[5], run.frame[11])) };
            if !seen.contains(&hop) {
                seen.push(hop);
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
        seen
    };
    let seen = thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        (0..changes).for_each(&mut change);
        done.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    (sent.into_inner(), seen)
}

#[test]
fn a_route_that_flaps_never_yields_a_mixture_of_two_and_loses_nothing() {
    let Some(host) = Host::new() else { return };
    for flow in &host.flows {
        let frame = arriving(flow, &[1; 100]).build();
        let before = host.kernel.offload.forwarded(&flow.key()).unwrap();
        let (sent, seen) = race(&host.kernel.offload, &frame, 300, |change| {
            let number = change % 2;
            if flow.destination.is_ipv4() {
                ip(&format!("route replace 192.0.2.2 via 10.0.{number}.1 dev up{number}"));
            } else {
                ip(&format!("route replace 2001:db8::2 via fd00:{number}::1 dev up{number}"));
            }
            host.kernel.offload.forget_next_hops().unwrap();
            thread::sleep(Duration::from_millis(5));
        });
        for hop in [Ok(FIRST), Ok(OTHER)] {
            assert!(seen.contains(&hop), "{seen:?}");
        }
        assert!(seen.iter().all(|hop| matches!(*hop, Ok(FIRST | OTHER) | Err(()))), "{seen:?}");
        let counted = host.kernel.offload.forwarded(&flow.key()).unwrap();
        let passed = sent - (counted.packets - before.packets);
        assert_eq!(counted.bytes - before.bytes, 100 * (sent - passed), "{sent} packets");
        eprintln!("{sent} packets, {passed} passed to user space");
    }
}

#[test]
fn an_answer_for_a_flow_that_has_gone_is_not_taken_for_the_next_one() {
    let Some(host) = Host::new() else { return };
    let offload = &host.kernel.offload;
    // Two destinations by different routers alternate in one entry of a small map.
    let via = |destination: &str| Flow { destination: destination.parse().unwrap(), ..host.flows[0] };
    ip("route replace 192.0.2.3 via 10.0.1.1 dev up1");
    let (one, other) = (via("192.0.2.2:5555"), via("192.0.2.3:5555"));
    let frame = arriving(&one, &[1; 100]).build();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let run = offload.run(&frame, 1).unwrap();
                    if run.action == XDP_PASS {
                        continue;
                    }
                    let expected = if run.frame[33] == 2 { FIRST } else { OTHER };
                    assert_eq!((run.frame[5], run.frame[11]), expected, "to 192.0.2.{}", run.frame[33]);
                }
            });
        }
        for turn in 0..100_000 {
            let flow = if turn % 2 == 0 { &one } else { &other };
            offload.remove(&flow.key()).unwrap();
            offload.install(flow).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn neighbours_in_use_are_noted_and_can_be_forgotten() {
    let Some(mut host) = Host::new() else { return };
    assert_eq!(host.kernel.offload.neighbours().unwrap(), []);
    assert_eq!(host.send(100), [Ok(FIRST); 2]);
    let noted = |host: &Host| {
        let mut noted: Vec<_> = host.kernel.offload.neighbours().unwrap();
        noted.sort_by_key(|(neighbour, _)| neighbour.ip());
        noted
    };
    let first = noted(&host);
    let expected = ["10.0.0.1", "fd00:0::1"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap());
    assert!(first.iter().map(|(neighbour, _)| neighbour.ip()).eq(expected), "{first:?}");
    thread::sleep(KEPT);
    assert_eq!(host.send(100), [Ok(FIRST); 2]);
    for ((one, before), (other, after)) in first.iter().zip(noted(&host)) {
        assert!(*one == other && *before < after, "looked up again");
    }
    for (neighbour, _) in first {
        host.kernel.offload.forget_neighbour(&neighbour).unwrap();
        host.kernel.offload.forget_neighbour(&neighbour).unwrap();
    }
    assert_eq!(host.kernel.offload.neighbours().unwrap(), []);
}
