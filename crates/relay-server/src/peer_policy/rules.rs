use std::{collections::BTreeMap, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    range::{PeerRange, PortSpan},
    rule::{PeerAction, PeerRule},
};

/// The operator's rules, indexed by prefix: finding one takes a look-up per prefix length in use, whatever the number of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// The rules of each prefix, the most specific first: by number of ports, then `Deny`.
    by_net: BTreeMap<IpNet, Vec<(Option<PortSpan>, PeerAction)>>,
    /// Whether any rule names ports.
    has_ports: bool,
    /// The lengths of IPv4 prefixes, in descending order.
    lengths_v4: Vec<u8>,
    /// The lengths of IPv6 prefixes, in descending order.
    lengths_v6: Vec<u8>,
}

impl Rules {
    pub(super) fn new(rules: impl IntoIterator<Item = PeerRule>) -> Self {
        let mut all = Self::default();
        for PeerRule { action, range } in rules {
            all.has_ports |= range.ports().is_some();
            let of_net = all.by_net.entry(range.net()).or_default();
            if !of_net.contains(&(range.ports(), action)) {
                of_net.push((range.ports(), action));
            }
        }
        for (net, of_net) in &mut all.by_net {
            // A rule without ports counts as 65535 ports, like 1-65535.
            of_net
                .sort_unstable_by_key(|(ports, action)| (ports.map_or(u16::MAX - 1, PortSpan::width), *action, *ports));
            match net {
                IpNet::V4(net) => all.lengths_v4.push(net.prefix_len()),
                IpNet::V6(net) => all.lengths_v6.push(net.prefix_len()),
            }
        }
        for lengths in [&mut all.lengths_v4, &mut all.lengths_v6] {
            lengths.sort_unstable_by(|one, other| other.cmp(one));
            lengths.dedup();
        }
        all
    }

    pub(super) const fn has_ports(&self) -> bool {
        self.has_ports
    }

    /// All rules. Equal sets of rules give the same order.
    pub(super) fn iter(&self) -> impl Iterator<Item = PeerRule> {
        self.by_net.iter().flat_map(|(net, of_net)| {
            of_net.iter().map(|(ports, action)| PeerRule { action: *action, range: PeerRange::new(*net, *ports) })
        })
    }

    /// The most specific rule about `port` of `address`.
    pub(super) fn find(&self, address: IpAddr, port: u16) -> Option<PeerRule> {
        self.about(address).find(|rule| rule.range.ports().is_none_or(|ports| ports.contains(port)))
    }

    /// The ports that rules name for `address`.
    pub(super) fn ports_of(&self, address: IpAddr) -> impl Iterator<Item = PortSpan> {
        self.about(address).filter_map(|rule| rule.range.ports())
    }

    /// The rules for `address`, whatever their ports, the most specific first.
    fn about(&self, address: IpAddr) -> impl Iterator<Item = PeerRule> {
        let lengths = match address {
            IpAddr::V4(_) => &self.lengths_v4,
            IpAddr::V6(_) => &self.lengths_v6,
        };
        lengths.iter().filter_map(move |length| prefix(address, *length)).flat_map(|net| {
            let of_net = self.by_net.get(&net).map(Vec::as_slice).unwrap_or_default();
            of_net.iter().map(move |(ports, action)| PeerRule { action: *action, range: PeerRange::new(net, *ports) })
        })
    }
}

/// The prefix of `address` with this length; `None` if the length is too large.
fn prefix(address: IpAddr, length: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(v4) => Ipv4Net::new(v4, length).ok().map(|net| net.trunc().into()),
        IpAddr::V6(v6) => Ipv6Net::new(v6, length).ok().map(|net| net.trunc().into()),
    }
}
