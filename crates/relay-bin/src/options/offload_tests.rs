//! Tests of the options of the XDP data path.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::{addresses::Network, options::problems::Problems};

/// A machine with one private IPv4 address.
struct FakeHost;

const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 8));
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

impl Host for FakeHost {
    fn networks(&self) -> &[Network] {
        const { &[Network { address: PRIVATE, prefix: 24 }, Network { address: OTHER, prefix: 24 }] }
    }

    fn route_source_v4(&self) -> Option<Ipv4Addr> {
        None
    }

    fn route_source_v6(&self) -> Option<Ipv6Addr> {
        None
    }

    fn is_local(&self, address: IpAddr) -> bool {
        [PRIVATE, OTHER].contains(&address)
    }
}

/// The addresses of a relay behind a NAT that listens on all addresses.
fn natted() -> FamilyAddresses {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    FamilyAddresses { public: PUBLIC, listen: any, relay: any, local: PRIVATE }
}

fn read_at(v4: FamilyAddresses, options: &OffloadOptions) -> Result<Option<OffloadConfig>, Problems> {
    let mut problems = Collector::default();
    let own = [PRIVATE, PUBLIC];
    let place = RelayEndpoints { v4: Some(v4), v6: None, own: &own, listen_port: 3479, ports: PortRange::DYNAMIC };
    let config = super::read(options, &place, &FakeHost, &mut problems);
    problems.finish(Some(())).map(|()| config)
}

fn read(options: &OffloadOptions) -> Result<OffloadConfig, Problems> {
    read_at(natted(), options).map(Option::unwrap)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn eth0() -> OffloadOptions {
    OffloadOptions { ebpf_offloading: some("eth0"), ..OffloadOptions::default() }
}

#[track_caller]
fn refused(options: &OffloadOptions, mentions: &[&str]) {
    let problems = read_at(natted(), options).unwrap_err();
    let problems: Vec<&str> = problems.iter().collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    for part in mentions {
        assert!(problems[0].contains(part), "{part:?} not in {:?}", problems[0]);
    }
}

#[test]
fn nothing_is_offloaded_where_it_is_off() {
    let off = OffloadOptions { ebpf_offloading: some(" off "), ..OffloadOptions::default() };
    assert_eq!(read_at(natted(), &off), Ok(None));
    // The other options have no effect then.
    let options = OffloadOptions { ebpf_attach_mode: some("x"), ebpf_int4_addr: some("y"), ..off };
    assert_eq!(read_at(natted(), &options), Ok(None));
}

#[test]
fn defaults_follow_the_rest_of_the_configuration() {
    let OffloadConfig { xdp, addresses, .. } = read(&eth0()).unwrap();
    let ports = PortRange::DYNAMIC;
    let expected = relay_ebpf::Config {
        interfaces: vec!["eth0".to_owned()],
        listen_port: 3479,
        allocation_ports: ports.lowest()..=ports.highest(),
        ..relay_ebpf::Config::default()
    };
    assert_eq!(xdp, expected);
    assert!(xdp.statistics);
    assert_eq!((addresses.v4, addresses.v6, addresses.listen_port), (Some(PRIVATE), None, 3479));
    assert_eq!(addresses.own, [PRIVATE, PUBLIC]);
}

#[test]
fn auto_is_the_default_and_names_no_interface() {
    let auto = OffloadOptions { ebpf_offloading: some("auto"), ..OffloadOptions::default() };
    for same in [&auto, &OffloadOptions::default(), &OffloadOptions { ebpf_offloading: some(" "), ..auto.clone() }] {
        let OffloadConfig { xdp, choice, addresses, .. } = read(same).unwrap();
        assert_eq!(xdp.interfaces, Vec::<String>::new());
        assert_eq!(choice, Choice::Auto { mode: None });
        assert_eq!(addresses.v4, Some(PRIVATE));
    }

    let only = OffloadOptions { ebpf_attach_mode: some("generic"), ..OffloadOptions::default() };
    assert_eq!(read(&only).unwrap().choice, Choice::Auto { mode: Some(AttachMode::Generic) });
    // With `auto`, other options must still be valid, but the addresses need not be known.
    assert!(read(&OffloadOptions { ebpf_max_flows: some("1"), ..auto }).is_err());
    let lost = FamilyAddresses { local: Ipv4Addr::LOCALHOST.into(), ..natted() };
    assert_eq!(read_at(lost, &OffloadOptions::default()).unwrap().unwrap().addresses.v4, None);
}

#[test]
fn everything_can_be_set() {
    let xdp = read(&OffloadOptions {
        ebpf_offloading: some("eth0, eth1,eth0"),
        ebpf_attach_mode: some("generic"),
        ebpf_int4_addr: some("10.0.0.8"),
        ebpf_int6_addr: some("of no use without IPv6"),
        ebpf_next_hop: some("answer-sender"),
        ebpf_max_flows: some("4096"),
        ebpf_channels_per_allocation: some("7"),
        ebpf_statistics: some("off"),
    });
    let OffloadConfig { xdp, addresses, channels_per_allocation, choice } = xdp.unwrap();
    assert_eq!(choice, Choice::Given);
    assert_eq!(xdp.interfaces, ["eth0", "eth1"]);
    assert_eq!((xdp.mode, xdp.next_hop), (AttachMode::Generic, NextHop::AnswerSender));
    assert_eq!((xdp.max_flows, xdp.statistics, channels_per_allocation), (4096, false, 7));
    assert_eq!(addresses.v4, Some(OTHER));
}

#[test]
fn an_allocation_s_share_follows_the_table() {
    let share = |max_flows: &str| {
        read(&OffloadOptions { ebpf_max_flows: some(max_flows), ..eth0() }).unwrap().channels_per_allocation
    };
    assert_eq!((share(""), share("1048576"), share("2")), (512, 4096, 32));
}

#[test]
fn problems_name_option_variable_and_remedy() {
    refused(&OffloadOptions { ebpf_offloading: some("eth0,,eth1"), ..eth0() }, &["EBPF_OFFLOADING", "ip link"]);
    refused(&OffloadOptions { ebpf_offloading: some("sixteen-letters-"), ..eth0() }, &["EBPF_OFFLOADING"]);
    refused(&OffloadOptions { ebpf_attach_mode: some("native"), ..eth0() }, &["EBPF_ATTACH_MODE", "driver or generic"]);
    refused(&OffloadOptions { ebpf_next_hop: some("fib"), ..eth0() }, &["EBPF_NEXT_HOP", "routing-table"]);
    refused(&OffloadOptions { ebpf_max_flows: some("1"), ..eth0() }, &["EBPF_MAX_FLOWS", "131072"]);
    refused(
        &OffloadOptions { ebpf_channels_per_allocation: some("0"), ..eth0() },
        &["EBPF_CHANNELS_PER_ALLOCATION", "such as 512"],
    );
    refused(&OffloadOptions { ebpf_statistics: some("yes"), ..eth0() }, &["EBPF_STATISTICS", "on or off"]);
    refused(&OffloadOptions { ebpf_int4_addr: some("2001:db8::7"), ..eth0() }, &["EBPF_INT4_ADDR", "an IPv4 address"]);
    refused(&OffloadOptions { ebpf_int4_addr: some("203.0.113.7"), ..eth0() }, &["not an address of this machine"]);
    refused(&OffloadOptions { ebpf_int4_addr: some("0.0.0.0"), ..eth0() }, &["not an address of this machine"]);
}

#[test]
fn what_sockets_are_bound_to_is_what_packets_carry() {
    let bound = FamilyAddresses { listen: OTHER, relay: OTHER, local: OTHER, ..natted() };
    assert_eq!(read_at(bound, &eth0()).unwrap().unwrap().addresses.v4, Some(OTHER));
    let contradicting = OffloadOptions { ebpf_int4_addr: some("10.0.0.7"), ..eth0() };
    let problem = read_at(bound, &contradicting).unwrap_err().to_string();
    assert!(problem.contains("EBPF_INT4_ADDR") && problem.contains("bind to 10.0.0.7"), "{problem}");
}

#[test]
fn an_address_that_cannot_be_told_has_to_be_given() {
    let lost = FamilyAddresses { local: Ipv4Addr::LOCALHOST.into(), ..natted() };
    let problem = read_at(lost, &eth0()).unwrap_err().to_string();
    assert!(problem.contains("EBPF_INT4_ADDR") && problem.contains("203.0.113.7"), "{problem}");
    let given = OffloadOptions { ebpf_int4_addr: some("10.0.0.7"), ..eth0() };
    assert_eq!(read_at(lost, &given).unwrap().unwrap().addresses.v4, Some(PRIVATE));
}

#[test]
fn all_problems_are_told_at_once() {
    let options = OffloadOptions {
        ebpf_offloading: some(","),
        ebpf_attach_mode: some("x"),
        ebpf_int4_addr: some("x"),
        ebpf_int6_addr: None,
        ebpf_next_hop: some("x"),
        ebpf_max_flows: some("x"),
        ebpf_channels_per_allocation: some("x"),
        ebpf_statistics: some("x"),
    };
    assert_eq!(read_at(natted(), &options).unwrap_err().iter().count(), 7);
}
