//! Decides which peers may be relayed to. No other code does.
//!
//! Permissions and channels are checked when they are made, and again when the policy or the relay's addresses change
//! ([`Server::handle_peer_policy`](crate::Server::handle_peer_policy),
//! [`Server::handle_own_addresses`](crate::Server::handle_own_addresses)). So data is not checked: a channel or a permission
//! allows it. The exception is a permission for an address that is allowed at some ports only: there, the port of each datagram
//! is checked.

mod embedded;
mod forbidden;
mod never;
mod range;
mod rule;
mod rules;
mod special;

use std::net::{IpAddr, SocketAddr};

use crate::{PortRange, RelayAddresses};

pub(crate) use self::never::{is_forbidden_client, is_unicast};
use self::{embedded::readings, never::never, rules::Rules};
pub use self::{
    forbidden::PeerForbidden,
    range::{PeerRange, PeerRangeError, PortSpan},
    rule::{PeerAction, PeerRule, PeerRuleError},
    special::SpecialUse,
};

/// Which peers may be relayed to: a table of ranges that are not for hosts of the Internet, and an operator's rules.
///
/// The most specific range that contains a peer decides: the one with the longest prefix. Among equal prefixes, a rule precedes the
/// table, fewer ports precede more, and `deny` precedes `allow`. Each address of the relay's machine is a range of one. A peer in no
/// range is allowed. An address that embeds IPv4 addresses is allowed if all of them are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPolicy {
    rules: Rules,
    /// The uses that the table does not deny, one bit each.
    open: u32,
    /// Whether the addresses of the relay's machine are treated like any others.
    machine_is_open: bool,
}

/// The relay's addresses and ports, on which the decision depends.
#[derive(Clone, Copy, Debug)]
pub struct RelayPlace<'a> {
    /// The addresses in XOR-RELAYED-ADDRESS.
    pub relay_addresses: RelayAddresses,
    /// All addresses of the relay's machine.
    pub own_addresses: &'a [IpAddr],
    /// The port that clients send to.
    pub listen_port: u16,
    /// The ports of relayed transport addresses, of all shards.
    pub ports: PortRange,
}

/// The ports of an address that may be relayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPorts {
    /// All but zero.
    All,
    /// Some.
    Some,
}

/// The verdict on one address of a peer: its own, or one that is embedded in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// No rule and no entry of the table contains it. It is allowed.
    Unmentioned,
    /// It has a special use that is open at this relay. It is allowed.
    Open(SpecialUse),
    /// It is a relayed transport address of the relay itself. It is allowed.
    OwnRelayed,
    /// A rule allows it.
    Allowed(PeerRange),
    /// It is denied.
    Denied(PeerForbidden),
}

impl PeerPolicy {
    /// A policy with these rules. The table does not deny the uses in `open`.
    #[must_use]
    pub fn new(open: impl IntoIterator<Item = SpecialUse>, rules: impl IntoIterator<Item = PeerRule>) -> Self {
        Self {
            rules: Rules::new(rules),
            open: open.into_iter().fold(0, |bits, usage| bits | bit(usage)),
            machine_is_open: false,
        }
    }

    /// The default policy of a relay at these addresses, with an operator's rules. A relay with a private address serves that private
    /// network. A relay with loopback addresses only serves its machine. A relay with a public address of a family does not reach
    /// private networks of that family.
    #[must_use]
    pub fn of_relay_at(addresses: &RelayAddresses, rules: impl IntoIterator<Item = PeerRule>) -> Self {
        let public: Vec<IpAddr> = addresses.iter().collect();
        if !public.is_empty() && public.iter().all(IpAddr::is_loopback) {
            let open = [SpecialUse::Loopback, SpecialUse::Private, SpecialUse::Shared, SpecialUse::UniqueLocal];
            return Self::new(open, rules).with_open_machine();
        }
        let open = public.iter().filter_map(|address| special::find(*address)).flat_map(|(_, usage)| match usage {
            SpecialUse::Private | SpecialUse::Shared => vec![SpecialUse::Private, SpecialUse::Shared],
            SpecialUse::UniqueLocal | SpecialUse::Documentation | SpecialUse::Benchmarking => vec![usage],
            _ => vec![],
        });
        Self::new(open, rules)
    }

    /// The policy that denies only what no rule can allow.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::new(SpecialUse::ALL, []).with_open_machine()
    }

    /// Treats the addresses of the relay's machine like any others.
    #[must_use]
    pub const fn with_open_machine(mut self) -> Self {
        self.machine_is_open = true;
        self
    }

    /// The rules. Equal policies give the same order.
    pub fn rules(&self) -> impl Iterator<Item = PeerRule> {
        self.rules.iter()
    }

    /// Whether any rule names ports.
    pub(crate) const fn has_rules_about_ports(&self) -> bool {
        self.rules.has_ports()
    }

    /// The uses that the table does not deny.
    pub fn open(&self) -> impl Iterator<Item = SpecialUse> {
        SpecialUse::ALL.into_iter().filter(|usage| self.is_open(*usage))
    }

    const fn is_open(&self, usage: SpecialUse) -> bool {
        self.open & bit(usage) != 0
    }

    /// Whether the addresses of the relay's machine are treated like any others.
    #[must_use]
    pub const fn machine_is_open(&self) -> bool {
        self.machine_is_open
    }

    /// Whether data may be relayed to and from `peer`.
    ///
    /// # Errors
    ///
    /// The reason, if not.
    pub fn check(&self, place: &RelayPlace<'_>, peer: SocketAddr) -> Result<(), PeerForbidden> {
        if peer.port() == 0 {
            return Err(PeerForbidden::PortZero);
        }
        self.explain(place, peer).try_for_each(|(_, verdict)| verdict.into_result())
    }

    /// The ports of `address` that may be relayed to.
    ///
    /// # Errors
    ///
    /// The reason, if there are none.
    pub fn check_address(&self, place: &RelayPlace<'_>, address: IpAddr) -> Result<PeerPorts, PeerForbidden> {
        // The verdict can change only at these ports.
        let mut ports = vec![1];
        for address in readings(address) {
            let named = self.rules.ports_of(address);
            ports.extend(named.flat_map(|span| [Some(span.first()), span.last().checked_add(1)]).flatten());
            if place.has(address) {
                let (lowest, highest) = (place.ports.lowest(), place.ports.highest());
                let after = [highest, place.listen_port].map(|port| port.checked_add(1));
                ports.extend([Some(lowest), Some(place.listen_port)].into_iter().chain(after).flatten());
            }
        }
        ports.retain(|port| *port != 0);
        let mut refused = None;
        let mut is_any_allowed = false;
        for port in ports {
            match self.check(place, SocketAddr::new(address, port)) {
                Ok(()) => is_any_allowed = true,
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match refused {
            None => Ok(PeerPorts::All),
            Some(_) if is_any_allowed => Ok(PeerPorts::Some),
            Some(why) => Err(why),
        }
    }

    /// The addresses of `peer`, its own first and then those embedded in it, with the verdict on each. The peer is allowed if all of
    /// them are and its port is not zero.
    pub fn explain(&self, place: &RelayPlace<'_>, peer: SocketAddr) -> impl Iterator<Item = (IpAddr, PeerVerdict)> {
        readings(peer.ip()).map(move |address| (address, self.judge(place, SocketAddr::new(address, peer.port()))))
    }

    fn judge(&self, place: &RelayPlace<'_>, peer: SocketAddr) -> PeerVerdict {
        let (address, port) = (peer.ip(), peer.port());
        if let Some(why) = never(address) {
            return PeerVerdict::Denied(why);
        }
        let is_own = place.has(address);
        if is_own && port == place.listen_port {
            return PeerVerdict::Denied(PeerForbidden::OwnListener);
        }
        let (length, verdict) = self.without_rules(place, peer, is_own && !address.is_loopback());
        match self.rules.find(address, port) {
            Some(PeerRule { action, range }) if range.net().prefix_len() >= length => match action {
                PeerAction::Allow => PeerVerdict::Allowed(range),
                PeerAction::Deny => PeerVerdict::Denied(PeerForbidden::Rule { range }),
            },
            _ => verdict,
        }
    }

    /// The verdict without rules, and the shortest prefix with which a rule overrides it.
    fn without_rules(&self, place: &RelayPlace<'_>, peer: SocketAddr, is_of_machine: bool) -> (u8, PeerVerdict) {
        let address = peer.ip();
        if is_of_machine && !self.machine_is_open {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            let is_relayed = (place.ports.lowest()..=place.ports.highest()).contains(&peer.port());
            let verdict =
                if is_relayed { PeerVerdict::OwnRelayed } else { PeerVerdict::Denied(PeerForbidden::OwnMachine) };
            return (whole, verdict);
        }
        match special::find(address) {
            None => (0, PeerVerdict::Unmentioned),
            Some((_, usage)) if self.is_open(usage) => (0, PeerVerdict::Open(usage)),
            Some((range, usage)) => (range.prefix_len(), PeerVerdict::Denied(PeerForbidden::Special { range, usage })),
        }
    }
}

const fn bit(usage: SpecialUse) -> u32 {
    1 << usage as u32
}

impl PeerVerdict {
    fn into_result(self) -> Result<(), PeerForbidden> {
        match self {
            Self::Unmentioned | Self::Open(_) | Self::OwnRelayed | Self::Allowed(_) => Ok(()),
            Self::Denied(why) => Err(why),
        }
    }
}

impl RelayPlace<'_> {
    /// Whether packets to `address` reach the relay's machine.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.relay_addresses.contains(address) || self.own_addresses.contains(&address)
    }

    /// Whether packets to `address`, or to an address embedded in it, reach the relay's machine.
    pub(crate) fn may_receive(&self, address: IpAddr) -> bool {
        readings(address).any(|address| self.has(address))
    }
}

#[cfg(test)]
mod tests;
