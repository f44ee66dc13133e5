//! Networks of interfaces, and which addresses are global.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of an interface and its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    /// The length of the network prefix in bits.
    pub(crate) prefix: u8,
}

impl Network {
    /// Whether `address` is in this network, so that no router is needed to reach it.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }

    /// Whether this address makes the machine part of a network. Loopback and link-local addresses do not.
    pub(crate) const fn is_of_a_network(self) -> bool {
        match self.address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        }
    }
}

/// Whether `address` is globally reachable, without a NAT.
///
/// By the [IANA registries of special-purpose addresses](https://www.iana.org/assignments/iana-ipv4-special-registry/).
pub(super) const fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

const fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b) {
        (0 | 10 | 127 | 224.., _) | (169, 254) | (192, 168) => true,
        // Carrier-grade NAT, benchmarks, and a private range.
        (100, 64..=127) | (198, 18..=19) | (172, 16..=31) => true,
        _ => address.is_documentation() || matches!([a, b, c], [192, 0, 0]),
    };
    !is_special
}

const fn is_global_v6(address: Ipv6Addr) -> bool {
    // 2000::/3, less 2001:db8::/32 and 3fff::/20, which are for documentation.
    let [first, second, ..] = address.segments();
    matches!(first, 0x2000..=0x3fff) && !matches!((first, second), (0x2001, 0xdb8) | (0x3fff, 0..=0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        for (address, prefix, inside, outside) in [
            ("10.0.0.7", 24, "10.0.0.255", "10.0.1.0"),
            ("10.0.0.7", 32, "10.0.0.7", "10.0.0.6"),
            ("2001:db8::7", 64, "2001:db8::ffff", "2001:db8:0:1::7"),
            ("2001:db8::7", 128, "2001:db8::7", "2001:db8::6"),
        ] {
            let network = Network { address: ip(address), prefix };
            assert!(network.contains(ip(inside)), "{network:?}");
            assert!(!network.contains(ip(outside)), "{network:?}");
        }
        let everything = Network { address: ip("10.0.0.7"), prefix: 0 };
        assert!(everything.contains(ip("192.0.2.1")) && !everything.contains(ip("2001:db8::1")));
    }

    #[test]
    fn global_addresses_need_no_nat() {
        for global in ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2a00::1", "2600:1f00::1"] {
            assert!(is_global(ip(global)), "{global}");
        }
        for other in ["10.0.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "203.0.113.7", "192.0.0.8"] {
            assert!(!is_global(ip(other)), "{other}");
        }
        for other in ["::1", "fd00::1", "fe80::1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!is_global(ip(other)), "{other}");
        }
    }
}
