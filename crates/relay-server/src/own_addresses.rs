use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Family;

/// The relay's current addresses. Networks change while a relay runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// The new value of [`Config::own_addresses`](crate::Config::own_addresses).
    pub own: Vec<IpAddr>,
    /// The status of each address in [`Config::relay_addresses`](crate::Config::relay_addresses).
    pub status: AddressStatuses,
}

/// The status of the relay's public address of each family. Ignored for a family that the relay does not offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatuses {
    /// Of the IPv4 address.
    pub v4: AddressStatus,
    /// Of the IPv6 address.
    pub v6: AddressStatus,
}

impl AddressStatuses {
    /// The status of the address of `family`.
    #[must_use]
    pub const fn of(self, family: Family) -> AddressStatus {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Whether the relay can send from its public address of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressStatus {
    /// It can.
    #[default]
    Present,
    /// The machine does not have the address now; a floating address, for example, may be on another machine. New allocations
    /// are refused with 508 (Insufficient Capacity), so that clients try another relay. Existing ones live on.
    Missing,
    /// The machine has no address of this family. The family counts as not supported (440).
    NoFamily,
}
