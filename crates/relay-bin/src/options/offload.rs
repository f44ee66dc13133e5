//! The options of the XDP data path.

use std::net::IpAddr;

use clap::Args;
use relay_ebpf::{AttachMode, NextHop};
use relay_server::PortRange;

use super::problems::Collector;
use crate::{
    addresses::{FamilyAddresses, Host},
    offload::{Choice, LocalAddresses, OffloadConfig},
    option_names::{EBPF_MAX_FLOWS, EBPF_OFFLOADING, Name},
};

const ATTACH_MODE: Name = Name::new("--ebpf-attach-mode", "EBPF_ATTACH_MODE");
const INT4_ADDR: Name = Name::new("--ebpf-int4-addr", "EBPF_INT4_ADDR");
const INT6_ADDR: Name = Name::new("--ebpf-int6-addr", "EBPF_INT6_ADDR");
const NEXT_HOP: Name = Name::new("--ebpf-next-hop", "EBPF_NEXT_HOP");
const CHANNELS_PER_ALLOCATION: Name = Name::new("--ebpf-channels-per-allocation", "EBPF_CHANNELS_PER_ALLOCATION");
/// One allocation may use a 256th of the table for channels. A channel takes two flows, so that is a 128th of the table.
const CHANNELS_OF_ONE: u32 = 256;
/// The least number of channels, for small tables.
const LEAST_CHANNELS: u32 = 32;
const STATISTICS: Name = Name::new("--ebpf-statistics", "EBPF_STATISTICS");

/// In place of interface names, and the default: the relay finds the interfaces, and goes on without XDP if it fails.
const AUTO: &str = "auto";
/// In place of interface names: no XDP. No interface should have one of these two names.
const OFF: &str = "off";

/// The longest interface name in bytes (IFNAMSIZ without the terminating zero).
const MAX_INTERFACE: usize = 15;

/// How to relay in the kernel.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OffloadOptions {
    /// Where an XDP program is to forward clients' data before this process sees it, which takes CAP_BPF, CAP_NET_ADMIN and
    /// CAP_PERFMON. `auto` finds the interfaces, tries the driver, then the network stack, and else relays in user space; a line of
    /// the log says which, and why. `off` relays in user space. Named interfaces, with commas between, are taken as named; when that
    /// cannot be done, the relay does not start [default: auto]
    #[arg(
        long,
        env = "EBPF_OFFLOADING",
        value_name = "auto|off|INTERFACE[,INTERFACE...]",
        help_heading = "Offloading to XDP"
    )]
    pub(crate) ebpf_offloading: Option<String>,

    /// How to attach the XDP program: `driver`, which is fast, or `generic`, which works with any driver [default: with `auto` whichever goes, otherwise driver]
    #[arg(long, env = "EBPF_ATTACH_MODE", value_name = "MODE", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_attach_mode: Option<String>,

    /// This machine's own IPv4 address, where a one-to-one NAT translates it to the public one
    /// [default: the address that the relay binds to, or that of the default route]
    #[arg(long, env = "EBPF_INT4_ADDR", value_name = "IPV4", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_int4_addr: Option<String>,

    /// The same for IPv6
    #[arg(long, env = "EBPF_INT6_ADDR", value_name = "IPV6", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_int6_addr: Option<String>,

    /// How the XDP program finds out where a packet goes next: `routing-table`, or `answer-sender`, which sends everything back to the
    /// router that it came from. That is hardly faster any more, and only right where all traffic passes one router: use it where
    /// `net.ipv4.conf.lo.forwarding` and `net.ipv6.conf.lo.forwarding` cannot be set to 1 [default: routing-table]
    #[arg(long, env = "EBPF_NEXT_HOP", value_name = "HOW", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_next_hop: Option<String>,

    /// How many flows the kernel holds at most, for some 200 bytes each; every channel takes two, and so does every peer of
    /// indications. When the table is full, this process relays further flows [default: 131072]
    #[arg(long, env = "EBPF_MAX_FLOWS", value_name = "NUMBER", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_max_flows: Option<String>,

    /// How many channels and peers of indications of one allocation the kernel relays; further ones stay in user space, so that
    /// no client fills the table for others [default: a 256th of EBPF_MAX_FLOWS, at least 32: 512]
    #[arg(long, env = "EBPF_CHANNELS_PER_ALLOCATION", value_name = "NUMBER", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_channels_per_allocation: Option<String>,

    /// Whether the XDP program counts what it relays, `on` or `off`. Off, CAP_PERFMON is not needed, and
    /// data_relayed_ebpf_bytes stays 0 [default: on]
    #[arg(long, env = "EBPF_STATISTICS", value_name = "SWITCH", help_heading = "Offloading to XDP")]
    pub(crate) ebpf_statistics: Option<String>,
}

/// The addresses and ports that other options set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayEndpoints<'a> {
    pub(crate) v4: Option<FamilyAddresses>,
    pub(crate) v6: Option<FamilyAddresses>,
    /// All addresses of this machine.
    pub(crate) own: &'a [IpAddr],
    pub(crate) listen_port: u16,
    pub(crate) ports: PortRange,
}

/// Reads `options`. `None` if offloading is off or the list of interfaces is wrong. All errors go to `problems`.
pub(crate) fn read(
    options: &OffloadOptions,
    place: &RelayEndpoints<'_>,
    host: &impl Host,
    problems: &mut Collector,
) -> Option<OffloadConfig> {
    let asked = options.ebpf_offloading.as_deref().map(str::trim).filter(|names| !names.is_empty()).unwrap_or(AUTO);
    if asked == OFF {
        return None;
    }
    let is_auto = asked == AUTO;
    let interfaces = if is_auto {
        Some(Vec::new())
    } else {
        problems.read(
            EBPF_OFFLOADING,
            Some(asked),
            "auto, off, or the interfaces that clients and peers are behind, such as eth0 or eth0,eth1 (`ip link` lists them)",
            parse_interfaces,
        )
    };
    let defaults = relay_ebpf::Config::default();
    let mode =
        problems.read(ATTACH_MODE, options.ebpf_attach_mode.as_deref(), "driver or generic", |mode| match mode {
            "driver" => Some(AttachMode::Driver),
            "generic" => Some(AttachMode::Generic),
            _ => None,
        });
    let next_hop =
        problems.read(NEXT_HOP, options.ebpf_next_hop.as_deref(), "routing-table or answer-sender", |how| match how {
            "routing-table" => Some(NextHop::RoutingTable),
            "answer-sender" => Some(NextHop::AnswerSender),
            _ => None,
        });
    let wanted = format!("a number from 2 on, such as {}", defaults.max_flows);
    let max_flows = problems.read(EBPF_MAX_FLOWS, options.ebpf_max_flows.as_deref(), &wanted, |text| {
        text.parse().ok().filter(|number| *number >= 2)
    });
    let most = max_flows.unwrap_or(defaults.max_flows);
    let channels = (most / CHANNELS_OF_ONE).max(LEAST_CHANNELS);
    let wanted = format!("a number from 1 on, such as {channels}");
    let given = options.ebpf_channels_per_allocation.as_deref();
    let number = |text: &str| text.parse().ok().filter(|number: &u32| *number != 0);
    let channels_per_allocation = problems.read(CHANNELS_PER_ALLOCATION, given, &wanted, number).unwrap_or(channels);
    let statistics =
        problems.read(STATISTICS, options.ebpf_statistics.as_deref(), "on or off", |switch| match switch {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        });
    let v4 = AddressOption { name: INT4_ADDR, text: options.ebpf_int4_addr.as_deref(), example: "10.0.0.7" };
    let v6 = AddressOption { name: INT6_ADDR, text: options.ebpf_int6_addr.as_deref(), example: "2001:db8::7" };
    // `auto` without given addresses must start even if no address can be found.
    let mut forgiven = Collector::default();
    let problems = if is_auto && !v4.is_given() && !v6.is_given() { &mut forgiven } else { problems };
    let addresses = LocalAddresses {
        v4: place.v4.and_then(|family| v4.local_address(family, host, problems)),
        v6: place.v6.and_then(|family| v6.local_address(family, host, problems)),
        listen_port: place.listen_port,
        own: place.own.to_vec(),
        is_v4_given: v4.is_given(),
        is_v6_given: v6.is_given(),
    };
    let xdp = relay_ebpf::Config {
        interfaces: interfaces?,
        mode: mode.unwrap_or(defaults.mode),
        listen_port: place.listen_port,
        allocation_ports: place.ports.lowest()..=place.ports.highest(),
        next_hop: next_hop.unwrap_or(defaults.next_hop),
        max_flows: max_flows.unwrap_or(defaults.max_flows),
        statistics: statistics.unwrap_or(defaults.statistics),
        multi_buffer: defaults.multi_buffer,
        packets_per_event: defaults.packets_per_event,
    };
    let choice = if is_auto { Choice::Auto { mode } } else { Choice::Given };
    Some(OffloadConfig { xdp, addresses, choice, channels_per_allocation })
}

/// The interfaces in a comma-separated list, without duplicates.
fn parse_interfaces(list: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        let can_be = (1..=MAX_INTERFACE).contains(&name.len())
            && !name.contains(|character: char| character == '/' || character.is_whitespace());
        if !can_be {
            return None;
        }
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    Some(names)
}

/// The option for an address.
#[derive(Clone, Copy)]
struct AddressOption<'a> {
    name: Name,
    text: Option<&'a str>,
    example: &'static str,
}

impl AddressOption<'_> {
    fn is_given(self) -> bool {
        self.text.is_some_and(|text| !text.trim().is_empty())
    }

    /// The address in packets of this family's allocations on this machine.
    fn local_address(self, family: FamilyAddresses, host: &impl Host, problems: &mut Collector) -> Option<IpAddr> {
        let Self { name, text, example } = self;
        let version = if family.public.is_ipv4() { 4 } else { 6 };
        let wanted = format!("an IPv{version} address of this machine, such as {example}");
        let given = problems.read(name, text, &wanted, |text| {
            text.parse().ok().filter(|address: &IpAddr| address.is_ipv4() == family.public.is_ipv4())
        });
        let bound = (!family.relay.is_unspecified()).then_some(family.relay);
        match (given, bound) {
            (Some(given), _) if given.is_unspecified() => {
                problems.add(format!("{name} is {given}, which is not an address of this machine: give {wanted}"));
                None
            }
            (Some(given), _) if !host.is_local(given) => {
                problems
                    .add_missing(format!("{name} is {given}, which is not an address of this machine: give {wanted}"));
                None
            }
            (Some(given), Some(bound)) if given != bound => {
                problems.add(format!(
                    "{name} is {given}, but the relay sends from {bound}, which it is bound to: leave it out, or bind to {given}"
                ));
                None
            }
            (Some(given), _) => Some(given),
            // The error was reported already.
            (None, _) if self.is_given() => None,
            (None, Some(bound)) => Some(bound),
            (None, None) if family.local.is_loopback() => {
                problems.add_missing(format!(
                    "{name} is not set, and without a route this machine's own address for {} cannot be found: give {wanted}",
                    family.public
                ));
                None
            }
            (None, None) => Some(family.local),
        }
    }
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
