//! What the machine's addresses mean for the relay.

use std::{net::IpAddr, sync::Arc};

use relay_server::{AddressStatus, AddressStatuses, OwnAddresses};
use tokio::sync::watch;

use super::{
    Host,
    family::{FamilyAddresses, Origin, any},
    network::is_global,
};

/// How the addresses are, now and later.
pub(crate) type AddressWatch = watch::Receiver<Arc<AddressState>>;

/// Whether a NAT stands between the public addresses and this machine, which then never has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BehindNat {
    /// It follows from the machine's other addresses.
    #[default]
    Auto,
    Yes,
    No,
}

/// The relay's addresses at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressState {
    pub(crate) v4: Option<FamilyState>,
    pub(crate) v6: Option<FamilyState>,
    /// Every address that a packet to this relay may carry as its destination.
    pub(crate) own: Vec<IpAddr>,
    /// Whether it serves this machine alone, since there was no network when it started, and now there is one.
    pub(crate) has_outgrown_loopback: bool,
}

/// The relay's addresses of one family at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyState {
    /// What clients are told.
    pub(crate) public: IpAddr,
    /// What to bind the sockets of new allocations to: one address, or all of them.
    pub(crate) relay: IpAddr,
    /// What sockets that are bound to all addresses are to send from, if not what the kernel chooses.
    pub(crate) source: Option<IpAddr>,
    /// Where this machine reaches its own allocations.
    pub(crate) local: IpAddr,
    pub(crate) status: AddressStatus,
}

impl AddressState {
    /// Both families.
    pub(crate) fn families(&self) -> impl Iterator<Item = FamilyState> {
        [self.v4, self.v6].into_iter().flatten()
    }

    /// How the public addresses are.
    pub(crate) fn statuses(&self) -> AddressStatuses {
        let status = |family: Option<FamilyState>| family.map(|family| family.status).unwrap_or_default();
        AddressStatuses { v4: status(self.v4), v6: status(self.v6) }
    }

    /// What the state machine has to know of it.
    pub(crate) fn own_addresses(&self) -> OwnAddresses {
        OwnAddresses { own: self.own.clone(), status: self.statuses() }
    }
}

/// Makes an [`AddressState`] of each look at the machine.
#[derive(Clone, Debug)]
pub(crate) struct AddressTracker {
    v4: Option<FamilyTracker>,
    v6: Option<FamilyTracker>,
    origin: Origin,
    behind_nat: BehindNat,
}

#[derive(Clone, Copy, Debug)]
struct FamilyTracker {
    public: IpAddr,
    listen: IpAddr,
    /// Whether the machine had the public address at any time.
    was_here: bool,
}

impl AddressTracker {
    pub(crate) fn new(
        v4: Option<FamilyAddresses>,
        v6: Option<FamilyAddresses>,
        origin: Origin,
        behind_nat: BehindNat,
    ) -> Self {
        let family = |addresses: FamilyAddresses| FamilyTracker {
            public: addresses.public,
            listen: addresses.listen,
            was_here: false,
        };
        Self { v4: v4.map(family), v6: v6.map(family), origin, behind_nat }
    }

    /// How it is now.
    pub(crate) fn look(&mut self, host: &impl Host) -> AddressState {
        let Self { v4, v6, origin, behind_nat } = self;
        let family = |family: &mut Option<FamilyTracker>| family.as_mut().map(|it| it.look(host, *behind_nat));
        let (v4, v6) = (family(v4), family(v6));
        let has_outgrown_loopback =
            *origin == Origin::Loopback && (host.route_source_v4().is_some() || host.route_source_v6().is_some());
        let own = own_addresses([self.v4, self.v6], [v4, v6], host);
        AddressState { v4, v6, own, has_outgrown_loopback }
    }
}

impl FamilyTracker {
    fn look(&mut self, host: &impl Host, behind_nat: BehindNat) -> FamilyState {
        let Self { public, listen, .. } = *self;
        if !listen.is_unspecified() {
            let is_here = host.is_local(listen);
            let status = if is_here { AddressStatus::Present } else { absent(listen, host) };
            return FamilyState { public, relay: listen, source: None, local: listen, status };
        }
        if host.is_local(public) {
            self.was_here = true;
            return FamilyState {
                public,
                relay: public,
                source: Some(public),
                local: public,
                status: AddressStatus::Present,
            };
        }
        let status = match absent(public, host) {
            AddressStatus::Missing if !self.should_be_here(host, behind_nat) => AddressStatus::Present,
            status => status,
        };
        let local = host.route_source(public).unwrap_or(match public {
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        });
        // While the address is away, data is lost rather than sent from another one.
        let source = self.was_here.then_some(public).filter(|_| behind_nat != BehindNat::Yes);
        FamilyState { public, relay: any(public), source, local, status }
    }

    /// Whether the public address is one that this machine is to have, rather than that of a NAT in front of it.
    fn should_be_here(self, host: &impl Host, behind_nat: BehindNat) -> bool {
        match behind_nat {
            BehindNat::Yes => false,
            BehindNat::No => true,
            // An address that the machine had is no NAT's, nor is one in the machine's own network; and nobody needs a NAT
            // whose machine can be reached without.
            BehindNat::Auto => {
                self.was_here
                    || host.networks().iter().any(|network| network.contains(self.public))
                    || host.route_source(self.public).is_some_and(is_global)
            }
        }
    }
}

/// What it means that `address` is not there: a machine that is part of a network in the other family alone cannot serve this
/// one at all. A machine without any network serves itself.
fn absent(address: IpAddr, host: &impl Host) -> AddressStatus {
    let has_network = |is_ipv4: bool| {
        host.networks().iter().any(|network| network.is_of_a_network() && network.address.is_ipv4() == is_ipv4)
    };
    if !has_network(address.is_ipv4()) && has_network(!address.is_ipv4()) {
        AddressStatus::NoFamily
    } else {
        AddressStatus::Missing
    }
}

fn own_addresses(
    trackers: [Option<FamilyTracker>; 2],
    states: [Option<FamilyState>; 2],
    host: &impl Host,
) -> Vec<IpAddr> {
    let mut own = Vec::new();
    for (FamilyTracker { listen, .. }, state) in trackers.into_iter().flatten().zip(states.into_iter().flatten()) {
        own.extend([state.public, state.local]);
        if listen.is_unspecified() {
            let addresses = host.networks().iter().map(|network| network.address);
            own.extend(addresses.filter(|address| address.is_ipv4() == listen.is_ipv4()));
        } else {
            own.push(listen);
        }
    }
    own.sort_unstable();
    own.dedup();
    own
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
