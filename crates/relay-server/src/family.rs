use std::net::IpAddr;

use allocation::Allocation;
use stun_msg::FamilyCode;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family with this number on the wire:
    /// [RFC 8656, section 18.8](https://www.rfc-editor.org/rfc/rfc8656#section-18.8).
    #[must_use]
    pub const fn from_code(code: FamilyCode) -> Option<Self> {
        match code {
            FamilyCode::V4 => Some(Self::V4),
            FamilyCode::V6 => Some(Self::V6),
            _ => None,
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn code(self) -> FamilyCode {
        match self {
            Self::V4 => FamilyCode::V4,
            Self::V6 => FamilyCode::V6,
        }
    }
}

/// Some of the two address families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FamilySet {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl FamilySet {
    pub(crate) const fn only(family: Family) -> Self {
        Self { v4: matches!(family, Family::V4), v6: matches!(family, Family::V6) }
    }

    pub(crate) const fn contains(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    pub(crate) const fn set(&mut self, family: Family, present: bool) {
        match family {
            Family::V4 => self.v4 = present,
            Family::V6 => self.v6 = present,
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Family> {
        [Family::V4, Family::V6].into_iter().filter(move |family| self.contains(*family))
    }
}

/// The families that `allocation` has a relayed transport address in.
pub(crate) const fn families(allocation: &Allocation) -> FamilySet {
    FamilySet { v4: allocation.v4(), v6: allocation.v6() }
}
