use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Family;

/// The relay's addresses as they are now: networks change while a relay runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAddresses {
    /// What [`Config::own_addresses`](crate::Config::own_addresses) is from now on.
    pub own: Vec<IpAddr>,
    /// How [`Config::relay_addresses`](crate::Config::relay_addresses) are from now on.
    pub status: AddressStatuses,
}

/// How the relay's public address of each family is; of no meaning in a family that is not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatuses {
    /// The IPv4 address.
    pub v4: AddressStatus,
    /// The IPv6 address.
    pub v6: AddressStatus,
}

impl AddressStatuses {
    /// How the address of this family is.
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
    /// The address is not there now, as a floating address is not while another machine has it: new allocations are refused
    /// with 508 (Insufficient Capacity), so that clients turn to another relay; those that there are live on.
    Missing,
    /// The machine has no address of this family at all: the family counts as not supported (440).
    NoFamily,
}
