//! Derives the relay's addresses and their status from the machine's addresses.

use std::{net::IpAddr, sync::Arc};

use relay_server::{AddressStatus, AddressStatuses, OwnAddresses};
use tokio::sync::watch;

use super::{
    Host,
    family::{FamilyAddresses, Origin, any},
    network::is_global,
};

/// The latest [`AddressState`].
pub(crate) type AddressWatch = watch::Receiver<Arc<AddressState>>;

/// Whether there is a NAT in front of this machine that has the public addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BehindNat {
    /// Derive it from the machine's addresses.
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
    /// Every address that packets to this relay may have as their destination.
    pub(crate) own: Vec<IpAddr>,
    /// Whether the machine had no network when the relay started, so that it serves only this machine, and has one now.
    pub(crate) has_outgrown_loopback: bool,
}

/// The relay's addresses of one family at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FamilyState {
    /// The address that clients get in responses.
    pub(crate) public: IpAddr,
    /// The address to bind new relay sockets to; may be the unspecified one.
    pub(crate) relay: IpAddr,
    /// The source address for sockets that are bound to all addresses; `None` lets the kernel choose.
    pub(crate) source: Option<IpAddr>,
    /// The address at which this machine reaches its own allocations.
    pub(crate) local: IpAddr,
    pub(crate) status: AddressStatus,
}

impl AddressState {
    /// The families that are served.
    pub(crate) fn families(&self) -> impl Iterator<Item = FamilyState> {
        [self.v4, self.v6].into_iter().flatten()
    }

    /// The status of the public addresses.
    pub(crate) fn statuses(&self) -> AddressStatuses {
        let status = |family: Option<FamilyState>| family.map(|family| family.status).unwrap_or_default();
        AddressStatuses { v4: status(self.v4), v6: status(self.v6) }
    }

    /// The part that the state machine needs.
    pub(crate) fn own_addresses(&self) -> OwnAddresses {
        OwnAddresses { own: self.own.clone(), status: self.statuses() }
    }
}

/// Computes an [`AddressState`] each time the machine's addresses are read.
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
    /// Whether the machine has ever had the public address.
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

    /// The current state.
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
        // While the address is missing, data is lost rather than sent from another address.
        let source = self.was_here.then_some(public).filter(|_| behind_nat != BehindNat::Yes);
        FamilyState { public, relay: any(public), source, local, status }
    }

    /// Whether this machine should have the public address itself, rather than a NAT in front of it.
    fn should_be_here(self, host: &impl Host, behind_nat: BehindNat) -> bool {
        match behind_nat {
            BehindNat::Yes => false,
            BehindNat::No => true,
            // No NAT has the address if this machine has had it, or if it is in a network of this machine. A machine with a global
            // address needs no NAT.
            BehindNat::Auto => {
                self.was_here
                    || host.networks().iter().any(|network| network.contains(self.public))
                    || host.route_source(self.public).is_some_and(is_global)
            }
        }
    }
}

/// The status if `address` is missing. A machine that has a network only in the other family cannot serve this one. A machine
/// without any network serves itself.
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
