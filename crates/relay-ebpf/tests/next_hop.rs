//! Next hops from the host's routing table, in a network namespace whose interfaces are connected to nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::net::SocketAddr;

use relay_ebpf::{AttachMode, Config, Encapsulation, Flow, NextHop, Reason};
use support::{
    Runner,
    cases::{arriving, flow, leaving},
    kernel::Kernel,
};
use test_support::namespace::{ip, sysctl};

const OWN_MAC: &str = "02:00:00:00:0a:01";
const ROUTER_MAC: &str = "02:00:00:00:0b:02";

/// A program on `lo` (where test runs receive frames) and `up0`, but not on `other0`; with routes and neighbours.
fn host() -> Option<Kernel> {
    let config = Config {
        interfaces: vec!["lo".to_owned(), "up0".to_owned()],
        mode: AttachMode::Generic,
        next_hop: NextHop::RoutingTable,
        packets_per_event: 1,
        max_flows: 64,
        ..Config::default()
    };
    let mut kernel = Kernel::load(&config)?;
    for (name, subnet) in [("up0", 1), ("other0", 2)] {
        ip(&format!("link add {name} address {OWN_MAC} mtu 1400 type veth peer name {name}p"));
        ip(&format!("link set {name} up"));
        ip(&format!("link set {name}p up"));
        ip(&format!("addr add 10.0.{subnet}.10/24 dev {name}"));
        ip(&format!("addr add fd00:{subnet}::10/64 dev {name} nodad"));
        for router in [format!("10.0.{subnet}.1"), format!("fd00:{subnet}::1")] {
            ip(&format!("neigh add {router} lladdr {ROUTER_MAC} dev {name} nud permanent"));
        }
    }
    ip("route add default via 10.0.1.1");
    ip("route add default via fd00:1::1");
    ip("route add unreachable 192.0.2.66");
    kernel.offload.attach(&config).unwrap();
    Some(kernel)
}

/// Sends a packet of a flow from `source` to `destination`. Returns the flow, the reason, and the frame.
fn send(kernel: &mut Kernel, source: &str, destination: &str, data: &[u8]) -> (Flow, Reason, Vec<u8>) {
    let destination: SocketAddr = destination.parse().unwrap();
    let flow = Flow {
        source: source.parse().unwrap(),
        destination,
        ..flow(Encapsulation::Channel(0x4001), Encapsulation::Bare, true, destination.is_ipv4())
    };
    kernel.offload.install(&flow).unwrap();
    let frame = arriving(&flow, data).build();
    let outcome = kernel.run(&frame);
    if outcome.reason != Reason::Forwarded {
        assert_eq!(outcome.frame, frame, "touched");
    }
    (flow, outcome.reason, outcome.frame)
}

fn reason(kernel: &mut Kernel, destination: &str) -> Reason {
    let source = if destination.starts_with('[') { "[fd00:1::10]:3478" } else { "10.0.1.10:3478" };
    send(kernel, source, destination, b"data").1
}

#[test]
fn frames_go_to_the_router_that_the_table_names() {
    let Some(mut kernel) = host() else { return };
    for (source, destination) in [
        ("10.0.1.10:3478", "192.0.2.2:5555"),
        ("10.0.1.10:3478", "10.0.1.1:9"),
        ("[fd00:1::10]:3478", "[2001:db8::2]:5555"),
    ] {
        let data = [3; 50];
        let (flow, reason, frame) = send(&mut kernel, source, destination, &data);
        assert_eq!(reason, Reason::Forwarded, "{destination}");
        let mut expected = leaving(&flow, &arriving(&flow, &data), &data);
        expected.mac_destination = [2, 0, 0, 0, 0x0b, 2];
        expected.mac_source = [2, 0, 0, 0, 0x0a, 1];
        let mut expected = expected.build();
        // The loader chooses the flow label.
        if !flow.destination.is_ipv4() {
            expected[15..18].copy_from_slice(&frame[15..18]);
        }
        assert_eq!(frame, expected, "{destination}");
    }
}

#[test]
fn what_the_table_cannot_answer_is_passed() {
    let Some(mut kernel) = host() else { return };
    for (destination, expected) in [
        ("10.0.1.77:5555", Reason::NoNeighbour),
        ("[fd00:1::77]:5555", Reason::NoNeighbour),
        ("192.0.2.66:5555", Reason::NoNextHop),
        // The broadcast address of the subnet, and an address of this host.
        ("10.0.1.255:5555", Reason::NoNextHop),
        ("10.0.1.10:5555", Reason::NoNextHop),
        // By an interface to which the program is not attached.
        ("10.0.2.1:5555", Reason::OtherInterface),
        ("[fd00:2::1]:5555", Reason::OtherInterface),
    ] {
        assert_eq!(reason(&mut kernel, destination), expected, "{destination}");
    }
    // Look-ups are made from the loopback interface only, so forwarding may be off everywhere else.
    sysctl("net.ipv4.conf.lo.forwarding", "0");
    sysctl("net.ipv6.conf.lo.forwarding", "0");
    assert_eq!(reason(&mut kernel, "192.0.2.2:5555"), Reason::ForwardingOff);
    assert_eq!(reason(&mut kernel, "[2001:db8::2]:5555"), Reason::ForwardingOff);
}

#[test]
fn loading_allows_route_lookups_and_makes_no_router_of_the_host() {
    let Some(_kernel) = host() else { return };
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/{name}/forwarding")).unwrap();
    for (name, expected) in [
        ("ipv4/conf/lo", "1"),
        ("ipv6/conf/lo", "1"),
        ("ipv4/conf/up0", "0"),
        ("ipv6/conf/up0", "0"),
        ("ipv6/conf/all", "0"),
    ] {
        assert_eq!(read(name).trim(), expected, "{name}");
    }
}

#[test]
fn the_next_links_mtu_is_respected() {
    let Some(mut kernel) = host() else { return };
    for (source, destination, header) in
        [("10.0.1.10:3478", "192.0.2.2:5555", 28), ("[fd00:1::10]:3478", "[2001:db8::2]:5555", 48)]
    {
        let fits = vec![1; 1400 - header];
        assert_eq!(send(&mut kernel, source, destination, &fits).1, Reason::Forwarded);
        let grown = vec![1; 1400 - header + 1];
        assert_eq!(send(&mut kernel, source, destination, &grown).1, Reason::TooLarge);
    }
    // A path MTU, as learnt from ICMP.
    ip("route add 192.0.2.7 via 10.0.1.1 mtu lock 1300");
    assert_eq!(send(&mut kernel, "10.0.1.10:3478", "192.0.2.7:1", &[1; 1272]).1, Reason::Forwarded);
    assert_eq!(send(&mut kernel, "10.0.1.10:3478", "192.0.2.7:1", &[1; 1273]).1, Reason::TooLarge);
}
