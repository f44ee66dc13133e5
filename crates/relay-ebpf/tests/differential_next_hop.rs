//! Random packets over random routes that keep changing: the kernel, which keeps next hops, behaves like a host that looks up the
//! next hop of every packet.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use std::{cell::RefCell, collections::BTreeMap, net::IpAddr, rc::Rc};

use relay_ebpf::{AttachMode, Config, Device, Flow, Leaving, Link, MacAddresses, NextHop, Reason, Route, Settings};
use support::{
    Random, Runner,
    cases::{FAMILIES, MTU},
    generate::{drawn, identification, random_flow, random_frame, take_flow_label},
    kernel::Kernel,
    model::Model,
    seed,
};
use test_support::namespace::{interface_index, ip, run};

const PACKETS: usize = 100_000;
/// Packets between two changes of a route.
const BETWEEN: usize = 400;
/// The number of prefixes whose routes change, for each family.
const PREFIXES: usize = 4;
/// The interface on which test runs receive frames: `lo`.
const ARRIVED_ON: u32 = 1;
/// The traffic class for which there is a policy rule.
const RULED_CLASS: u8 = 0x10;

/// The result of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// By the gateway of this number, with this MTU.
    Via(usize, u32),
    Silent(usize),
    OtherInterface,
    Refused(&'static str),
}

/// Interfaces `up0` and `up1` with a gateway each. The program is not attached to a third interface, `other0`.
const GATEWAYS: usize = 2;

impl Answer {
    fn random(random: &mut Random) -> Self {
        match random.below(12) {
            0 => Self::OtherInterface,
            1 => Self::Silent(random.below(GATEWAYS)),
            2 => Self::Refused(random.pick(&["blackhole", "prohibit", "unreachable"])),
            3..6 => Self::Via(random.below(GATEWAYS), 1300),
            _ => Self::Via(random.below(GATEWAYS), MTU),
        }
    }

    /// Writes the route to the host's table.
    fn enter(self, v4: bool, prefix: usize) {
        let family = if v4 { "-4" } else { "-6" };
        let prefix = if v4 { format!("10.{}.0.0/10", prefix * 64) } else { format!("2001:db8::{prefix}:0:0:0/80") };
        let gateway = |interface: usize, host: u8| {
            if v4 { format!("172.16.{interface}.{host}") } else { format!("fd00:{interface}::{host}") }
        };
        let rest = match self {
            Self::Via(number, mtu) if mtu == MTU => format!("via {} dev up{number}", gateway(number, 1)),
            Self::Via(number, mtu) => format!("via {} dev up{number} mtu lock {mtu}", gateway(number, 1)),
            Self::Silent(number) => format!("via {} dev up{number}", gateway(number, 77)),
            Self::OtherInterface => format!("via {} dev other0", gateway(2, 1)),
            Self::Refused(kind) => {
                // In IPv6, routes of different types can coexist, so the old one must be removed.
                let _ = std::process::Command::new("ip").args([family, "route", "flush", &prefix]).output();
                return ip(&format!("{family} route add {kind} {prefix}"));
            }
        };
        let _ = std::process::Command::new("ip").args([family, "route", "flush", &prefix]).output();
        ip(&format!("{family} route add {prefix} {rest}"));
    }
}

/// A model of the host's tables.
struct Tables {
    /// By family (IPv4 first) and prefix.
    routes: [[Answer; PREFIXES]; 2],
    /// The gateway for packets of the ruled class, if the rule exists.
    ruled: Option<usize>,
    devices: [Device; GATEWAYS],
}

fn own_mac(interface: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0x0a, interface as u8]
}

fn gateway_mac(interface: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0x0b, interface as u8]
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Tables {
    fn answer(&self, route: &Route, leaving: &Leaving, link: &mut Link) -> Reason {
        let (family, prefix) = match route.destination().to_ip() {
            IpAddr::V4(v4) => (0, usize::from(v4.octets()[1] >> 6)),
            IpAddr::V6(v6) => (1, usize::from(v6.segments()[4])),
        };
        let ruled = self.ruled.filter(|_| leaving.traffic_class & 0x1c == RULED_CLASS && family == 0);
        let (gateway, mtu) = match (ruled, self.routes[family][prefix]) {
            (Some(gateway), _) => (gateway, MTU),
            (None, Answer::Via(gateway, mtu)) => (gateway, mtu),
            (None, Answer::Refused(_)) => return Reason::NoNextHop,
            (None, answer) => {
                return match answer {
                    _ if leaving.length > MTU => Reason::TooLarge,
                    Answer::OtherInterface => Reason::OtherInterface,
                    _ => Reason::NoNeighbour,
                };
            }
        };
        if leaving.length > mtu {
            return Reason::TooLarge;
        }
        link.addresses = MacAddresses::new(gateway_mac(gateway), own_mac(gateway));
        self.devices[gateway].apply(ARRIVED_ON, link);
        Reason::Forwarded
    }
}

/// Creates the interfaces and their neighbours.
fn prepare() {
    for (number, name) in ["up0", "up1", "other0"].into_iter().enumerate() {
        ip(&format!("link add {name} address {} mtu {MTU} type veth peer name {name}p", text(own_mac(number))));
        run("sysctl", &format!("-q -w net.ipv6.conf.{name}.accept_dad=0"));
        ip(&format!("link set {name} up"));
        ip(&format!("link set {name}p up"));
        ip(&format!("addr add 172.16.{number}.10/24 dev {name}"));
        ip(&format!("addr add fd00:{number}::10/64 dev {name} nodad"));
        for router in [format!("172.16.{number}.1"), format!("fd00:{number}::1")] {
            ip(&format!("neigh add {router} lladdr {} dev {name} nud permanent", text(gateway_mac(number))));
        }
        if number < GATEWAYS {
            ip(&format!("route add default via 172.16.{number}.1 table {}", 100 + number));
        }
    }
    ip(&format!("link set lo mtu {MTU}"));
}

#[test]
fn kernel_and_host_build_agree_on_next_hops() {
    let config = Config {
        interfaces: vec!["up0".to_owned(), "up1".to_owned()],
        mode: AttachMode::Generic,
        next_hop: NextHop::RoutingTable,
        packets_per_event: 1,
        max_flows: 64,
        ..Config::default()
    };
    let Some(mut kernel) = Kernel::load(&config) else { return };
    prepare();
    kernel.offload.attach(&config).unwrap();
    let seed = seed();
    let mut random = Random(seed);
    let devices = ["up0", "up1"].map(|name| Device { interface: interface_index(name), ..Device::default() });
    let tables = Tables { routes: [[Answer::Via(0, MTU); PREFIXES]; 2], ruled: None, devices };
    for (family, v4) in [true, false].into_iter().enumerate() {
        (0..PREFIXES).for_each(|prefix| tables.routes[family][prefix].enter(v4, prefix));
    }
    let tables = Rc::new(RefCell::new(tables));
    let mut model = Model::new(settings(&config), MTU);
    let asked = Rc::clone(&tables);
    model.next_hop = Box::new(move |route, leaving, link| asked.borrow().answer(route, leaving, link));
    let flows: Vec<Flow> = (0..32).map(|number| flow(&mut random, &config, number)).collect();
    for flow in &flows {
        kernel.offload.install(flow).unwrap();
        model.install(flow, 0);
    }
    let mut seen = BTreeMap::<Reason, usize>::new();
    for number in 0..PACKETS {
        if number % BETWEEN == 0 {
            change(&mut random, &mut tables.borrow_mut());
            kernel.offload.forget_next_hops().unwrap();
        }
        let flow = random.pick(&flows);
        let frame = random_frame(&mut random, &flow);
        let mut real = kernel.run(&frame);
        model.identification = identification(&real.frame);
        model.random = drawn(&real.frame);
        let modelled = model.run(&frame);
        if real.reason == Reason::Forwarded {
            take_flow_label(&mut real.frame);
        }
        let tables = tables.borrow();
        assert_eq!(
            real, modelled,
            "packet {number} of {flow:?} with {:?}, rule {:?}; again with RELAY_TESTS_SEED={seed} cargo test -p relay-ebpf --test \
             differential_next_hop",
            tables.routes, tables.ruled
        );
        *seen.entry(real.reason).or_default() += 1;
    }
    eprintln!("{PACKETS} packets: {seen:?}");
    for reason in [Reason::Forwarded, Reason::TooLarge, Reason::NoNeighbour, Reason::NoNextHop, Reason::OtherInterface]
    {
        assert!(seen.get(&reason).is_some_and(|count| *count >= 200), "{reason:?}: {seen:?}");
    }
}

/// Changes a route or the rule.
fn change(random: &mut Random, tables: &mut Tables) {
    if random.one_in(8) {
        if tables.ruled.is_some() {
            ip(&format!("-4 rule del tos {RULED_CLASS:#x} priority 10"));
        }
        tables.ruled = random.one_in(2).then(|| random.below(GATEWAYS));
        if let Some(gateway) = tables.ruled {
            ip(&format!("-4 rule add tos {RULED_CLASS:#x} priority 10 table {}", 100 + gateway));
        }
        return;
    }
    let (family, prefix) = (random.below(2), random.below(PREFIXES));
    let answer = Answer::random(random);
    answer.enter(family == 0, prefix);
    tables.routes[family][prefix] = answer;
}

/// A flow that leaves from an address of `up0` or `up1` to one of the prefixes.
fn flow(random: &mut Random, config: &Config, number: usize) -> Flow {
    let (_, v4) = FAMILIES[number % FAMILIES.len()];
    loop {
        let mut flow = random_flow(random, config);
        if flow.destination.is_ipv4() != v4 {
            continue;
        }
        let prefix = random.below(PREFIXES) as u16;
        let host = random.next();
        let destination: IpAddr = if v4 {
            [10, (prefix << 6) as u8, (host >> 8) as u8, 1 + host as u8 % 200].into()
        } else {
            [0x2001, 0xdb8, 0, 0, prefix, host as u16, 1, 1].into()
        };
        flow.destination.set_ip(destination);
        flow.source.set_ip(if v4 { [172, 16, 0, 10].into() } else { "fd00:0::10".parse().unwrap() });
        return flow;
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        listen_port: config.listen_port,
        lowest_port: *config.allocation_ports.start(),
        highest_port: *config.allocation_ports.end(),
        look_up_next_hop: 1,
        statistics: 1,
        event_mask: 0,
        period: 0,
        multi_buffer: 0,
    }
}
