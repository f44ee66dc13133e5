//! The one place that decides which peers may be relayed to.
//!
//! Permissions and channels are asked for here when they are made, and those that there are again when the answer may have changed
//! ([`Server::handle_peer_policy`](crate::Server::handle_peer_policy),
//! [`Server::handle_own_addresses`](crate::Server::handle_own_addresses)). So data needs no question of its own: what has a channel or
//! a permission is allowed. Only where a permission's address is allowed at some ports and not at others is each datagram's port
//! looked at.

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
/// The most specific range that a peer lies in decides: the one with the longest prefix; among equals a rule before the table, the rule
/// with the fewest ports, and `deny` before `allow`. An address that the relay's machine has is a range of one. What lies in no range
/// is allowed. An address that embeds IPv4 addresses is allowed if all of them are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPolicy {
    rules: Rules,
    /// What the table does not deny: a bit for each use.
    open: u32,
    /// Whether the addresses of the relay's machine are like any others.
    machine_is_open: bool,
}

/// Where the relay is, which the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct RelayPlace<'a> {
    /// The addresses that clients are told.
    pub relay_addresses: RelayAddresses,
    /// Every address that the relay's machine has.
    pub own_addresses: &'a [IpAddr],
    /// The port that clients send to.
    pub listen_port: u16,
    /// The ports of relayed transport addresses, of all shards.
    pub ports: PortRange,
}

/// At which of its ports an address may be relayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerPorts {
    /// At each, but zero.
    All,
    /// At some.
    Some,
}

/// What decides about one address that a peer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// Nothing is said about it.
    Unmentioned,
    /// It is special, and open all the same because of where the relay is.
    Open(SpecialUse),
    /// It is a relayed transport address of the relay itself.
    OwnRelayed,
    /// A rule allows it.
    Allowed(PeerRange),
    /// It is denied.
    Denied(PeerForbidden),
}

impl PeerPolicy {
    /// A policy of these rules, where the table does not deny what is `open`.
    #[must_use]
    pub fn new(open: impl IntoIterator<Item = SpecialUse>, rules: impl IntoIterator<Item = PeerRule>) -> Self {
        Self {
            rules: Rules::new(rules),
            open: open.into_iter().fold(0, |bits, usage| bits | bit(usage)),
            machine_is_open: false,
        }
    }

    /// What a relay at these addresses should relay to, unless its operator says otherwise: a relay that is in a private network
    /// serves that network, and one that has no address but loopback serves its machine. One with a public address of a family does
    /// not reach into private networks of that family.
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

    /// The policy that denies nothing but what nothing can allow. Relays of old recordings had it.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::new(SpecialUse::ALL, []).with_open_machine()
    }

    /// The addresses of the relay's machine are like any others.
    #[must_use]
    pub const fn with_open_machine(mut self) -> Self {
        self.machine_is_open = true;
        self
    }

    /// The rules, in an order that depends on nothing else.
    pub fn rules(&self) -> impl Iterator<Item = PeerRule> {
        self.rules.iter()
    }

    /// Whether any rule is about some ports of its addresses only.
    pub(crate) const fn has_rules_about_ports(&self) -> bool {
        self.rules.has_ports()
    }

    /// What the table does not deny.
    pub fn open(&self) -> impl Iterator<Item = SpecialUse> {
        SpecialUse::ALL.into_iter().filter(|usage| self.is_open(*usage))
    }

    const fn is_open(&self, usage: SpecialUse) -> bool {
        self.open & bit(usage) != 0
    }

    /// Whether the addresses of the relay's machine are like any others.
    #[must_use]
    pub const fn machine_is_open(&self) -> bool {
        self.machine_is_open
    }

    /// Whether data may be relayed to and from `peer`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, place: &RelayPlace<'_>, peer: SocketAddr) -> Result<(), PeerForbidden> {
        if peer.port() == 0 {
            return Err(PeerForbidden::PortZero);
        }
        self.explain(place, peer).try_for_each(|(_, verdict)| verdict.into_result())
    }

    /// At which ports data may be relayed to and from `address`.
    ///
    /// # Errors
    ///
    /// Why at none.
    pub fn check_address(&self, place: &RelayPlace<'_>, address: IpAddr) -> Result<PeerPorts, PeerForbidden> {
        // The answer changes at these ports alone.
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

    /// Every address that `peer` stands for, itself first, and what decides about it. It is allowed if all of them are, and its port is
    /// not zero.
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

    /// What holds without rules, and of which prefix length a rule has to be to change that.
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
    /// Whether packets to `address` come to the relay's machine.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.relay_addresses.contains(address) || self.own_addresses.contains(&address)
    }

    /// The same of `address` or what is embedded in it.
    pub(crate) fn may_receive(&self, address: IpAddr) -> bool {
        readings(address).any(|address| self.has(address))
    }
}

#[cfg(test)]
mod tests;
