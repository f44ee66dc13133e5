use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The address families of an allocation's relayed transport addresses: one of them, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Families {
    /// One.
    Only(Family),
    /// Both: a dual allocation of [RFC 8656, section 7.2](https://www.rfc-editor.org/rfc/rfc8656#section-7.2).
    Both,
}

impl Families {
    /// The families whose argument is `true`; `None` if neither is.
    #[must_use]
    pub const fn new(v4: bool, v6: bool) -> Option<Self> {
        match (v4, v6) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Only(Family::V4)),
            (false, true) => Some(Self::Only(Family::V6)),
            (false, false) => None,
        }
    }

    /// Whether `family` is one of them.
    #[must_use]
    pub fn contains(self, family: Family) -> bool {
        match self {
            Self::Only(only) => only == family,
            Self::Both => true,
        }
    }

    /// Each of them, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }

    /// These and `family`.
    #[must_use]
    pub fn with(self, family: Family) -> Self {
        if self.contains(family) { self } else { Self::Both }
    }

    /// These without `family`; `None` if that leaves nothing.
    #[must_use]
    pub fn without(self, family: Family) -> Option<Self> {
        Self::new(family != Family::V4 && self.contains(Family::V4), family != Family::V6 && self.contains(Family::V6))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn families_are_a_set_that_is_never_empty() {
        assert_eq!(Families::new(false, false), None);
        for (v4, v6) in [(true, false), (false, true), (true, true)] {
            let families = Families::new(v4, v6).unwrap();
            assert_eq!((families.contains(Family::V4), families.contains(Family::V6)), (v4, v6));
            assert_eq!(families.iter().count(), usize::from(v4) + usize::from(v6));
            for family in Family::ALL {
                assert!(families.with(family).contains(family));
                assert!(families.without(family).is_none_or(|rest| !rest.contains(family)));
                assert_eq!(
                    families.without(family).map_or(Families::Only(family), |rest| rest.with(family)),
                    families.with(family)
                );
            }
        }
    }
}
