//! Chooses the addresses of each family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{cli::Options, problems::Collector};
use crate::{
    addresses::{BehindNat, FamilyAddresses, Host, Origin, any},
    option_names::{BEHIND_NAT, Name, PUBLIC_IP4_ADDR, PUBLIC_IP6_ADDR},
};

const BIND_IP4_ADDR: Name = Name::new("--bind-ip4-addr", "BIND_IP4_ADDR");
const BIND_IP6_ADDR: Name = Name::new("--bind-ip6-addr", "BIND_IP6_ADDR");

/// The IPv4 and IPv6 addresses and their origin. If both are `None`, a problem was added.
pub(crate) fn choose_addresses(
    options: &Options,
    host: &impl Host,
    problems: &mut Collector,
) -> (Option<FamilyAddresses>, Option<FamilyAddresses>, Origin) {
    let given_v4 = FamilyOptions {
        public: read_v4(problems, PUBLIC_IP4_ADDR, options.public_ip4_addr.as_deref(), "203.0.113.7"),
        bind: read_v4(problems, BIND_IP4_ADDR, options.bind_ip4_addr.as_deref(), "0.0.0.0"),
    };
    let given_v6 = FamilyOptions {
        public: read_v6(problems, PUBLIC_IP6_ADDR, options.public_ip6_addr.as_deref(), "2001:db8::7"),
        bind: read_v6(problems, BIND_IP6_ADDR, options.bind_ip6_addr.as_deref(), "::"),
    };
    given_v4.check(PUBLIC_IP4_ADDR, BIND_IP4_ADDR, host, problems);
    given_v6.check(PUBLIC_IP6_ADDR, BIND_IP6_ADDR, host, problems);

    // An address that does not parse was already reported. It does not make the relay detect one.
    let is_set = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.trim().is_empty());
    let any_public = is_set(&options.public_ip4_addr) || is_set(&options.public_ip6_addr);
    let any_bind = is_set(&options.bind_ip4_addr) || is_set(&options.bind_ip6_addr);
    let detect = |bind: &Option<String>| is_set(bind) || !(any_public || any_bind);
    let route_v4 = || host.route_source_v4().map(IpAddr::V4);
    let route_v6 = || host.route_source_v6().map(IpAddr::V6);
    let v4 = given_v4.complete(detect(&options.bind_ip4_addr), route_v4, host);
    let v6 = given_v6.complete(detect(&options.bind_ip6_addr), route_v6, host);
    if v4.is_some() || v6.is_some() {
        let origin = if any_public || any_bind { Origin::Given } else { Origin::Detected };
        return (v4, v6, origin);
    }
    if any_public || any_bind {
        for (public, given) in [(PUBLIC_IP4_ADDR, given_v4), (PUBLIC_IP6_ADDR, given_v6)] {
            if given.bind.is_some() {
                problems.add_missing(format!(
                    "{public} is not set, and this machine has no route to tell it from: give the address that clients reach \
                     this relay at"
                ));
            }
        }
        return (None, None, Origin::Given);
    }
    let loopback = |address| host.is_local(address).then(|| FamilyAddresses::at(address));
    let v4 = loopback(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let v6 = loopback(IpAddr::V6(Ipv6Addr::LOCALHOST));
    if v4.is_none() && v6.is_none() {
        problems.add_missing(format!("this machine has no usable address: set {PUBLIC_IP4_ADDR} or {PUBLIC_IP6_ADDR}"));
    }
    (v4, v6, Origin::Loopback)
}

/// The options of one family.
#[derive(Clone, Copy)]
struct FamilyOptions {
    public: Option<IpAddr>,
    bind: Option<IpAddr>,
}

impl FamilyOptions {
    fn check(self, public_name: Name, bind_name: Name, host: &impl Host, problems: &mut Collector) {
        if let Some(public) = self.public
            && !is_usable(public)
        {
            problems.add(format!(
                "{public_name} is {public}, which nobody can send to: give the address that clients reach this relay at"
            ));
        }
        if let Some(bind) = self.bind
            && !host.is_local(bind)
        {
            let tentative = if bind.is_ipv6() { ", without `tentative` or `dadfailed` beside it" } else { "" };
            problems.add_missing(format!(
                "{bind_name} is {bind}, which is not an address of this machine: give one that `ip address` lists{tentative}, or \
                 {} for all of them",
                any(bind)
            ));
        }
    }

    fn complete(self, detect: bool, route: impl Fn() -> Option<IpAddr>, host: &impl Host) -> Option<FamilyAddresses> {
        let bind = self.bind.filter(|bind| !bind.is_unspecified());
        let public = self.public.or_else(|| if detect { bind.or_else(&route) } else { None })?;
        let is_local = host.is_local(public);
        let relay = bind.unwrap_or_else(|| if is_local { public } else { any(public) });
        let local = match bind {
            Some(bind) => bind,
            None if is_local => public,
            None => route().unwrap_or(match public {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            }),
        };
        Some(FamilyAddresses { public, listen: bind.unwrap_or_else(|| any(public)), relay, local })
    }
}

/// Reads whether there is a NAT in front of this machine.
pub(crate) fn read_behind_nat(options: &Options, problems: &mut Collector) -> BehindNat {
    let given = problems.read(BEHIND_NAT, options.behind_nat.as_deref(), "auto, yes or no", |text| match text {
        "auto" => Some(BehindNat::Auto),
        "yes" => Some(BehindNat::Yes),
        "no" => Some(BehindNat::No),
        _ => None,
    });
    given.unwrap_or_default()
}

fn is_usable(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !address.is_unspecified() && !address.is_multicast() && !is_special
}

fn read_v4(problems: &mut Collector, name: Name, value: Option<&str>, example: &str) -> Option<IpAddr> {
    let wanted = format!("an IPv4 address, such as {example}");
    problems.read(name, value, &wanted, |text| text.parse().ok()).map(IpAddr::V4)
}

fn read_v6(problems: &mut Collector, name: Name, value: Option<&str>, example: &str) -> Option<IpAddr> {
    let wanted = format!("an IPv6 address without brackets, such as {example}");
    problems.read(name, value, &wanted, |text| text.parse().ok()).map(IpAddr::V6)
}
