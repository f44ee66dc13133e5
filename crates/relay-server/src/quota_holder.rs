//! Users and client networks, for which allocations are counted and limited.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a limit on the number of allocations applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QuotaHolder {
    /// The user with this id.
    User(Arc<str>),
    /// All clients with addresses in this network.
    Prefix(ClientPrefix),
}

/// The network that a client's address is counted in: /24 for IPv4, /56 for IPv6. [Reply limits](crate::ReplyKind) use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientPrefix(IpAddr);

impl ClientPrefix {
    /// The network of this address. An IPv4-mapped address counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & !0xFF).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !((1 << 72) - 1)).into()),
        })
    }
}

impl fmt::Display for ClientPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 56 })
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn a_prefix_is_that_of_the_address() {
        for (address, prefix) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("::ffff:203.0.113.255", "203.0.113.0/24"),
            ("2001:db8:1:2ff:3:4:5:6", "2001:db8:1:200::/56"),
            ("255.255.255.255", "255.255.255.0/24"),
        ] {
            assert_eq!(ClientPrefix::of(address.parse().unwrap()).to_string(), prefix);
        }
    }
}
