use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of peers: an address prefix, optionally with ports.
///
/// As text: `10.0.0.7`, `10.0.0.0/8`, `10.0.0.0/8:53`, `10.0.0.0/8:1000-2000`, `fd00::/8`, `[fd00::/8]:1000-2000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRange {
    net: IpNet,
    ports: Option<PortSpan>,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpan {
    first: u16,
    last: u16,
}

/// Why a text is not a [`PeerRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerRangeError {
    /// It contains neither an address nor a prefix.
    #[error(
        "{0:?} is no address and no prefix: write for instance 10.0.0.7, 10.0.0.0/8, 10.0.0.0/8:1000-2000, fd00::/8 or \
         [fd00::/8]:1000-2000"
    )]
    Address(String),
    /// The prefix has bits set beyond its length.
    #[error("{given} has bits set beyond its prefix length: write {meant}, or the address alone")]
    HostBits {
        /// The prefix as written.
        given: IpNet,
        /// The prefix without these bits.
        meant: IpNet,
    },
    /// The part after the colon is not a range of ports.
    #[error("{0:?} are no ports: write one from 1 to 65535, or a range such as 1000-2000")]
    Ports(String),
}

impl PeerRange {
    /// The peers in `net` at these ports, or at all ports. Bits beyond the prefix length are cleared.
    #[must_use]
    pub fn new(net: IpNet, ports: Option<PortSpan>) -> Self {
        Self { net: net.trunc(), ports }
    }

    /// The addresses.
    #[must_use]
    pub const fn net(&self) -> IpNet {
        self.net
    }

    /// The ports; `None` for all.
    #[must_use]
    pub const fn ports(&self) -> Option<PortSpan> {
        self.ports
    }
}

impl PortSpan {
    /// From `first` to `last`; `None` if `first` is 0 or greater than `last`.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last { None } else { Some(Self { first, last }) }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` is in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The number of ports, less one.
    pub(super) const fn width(self) -> u16 {
        self.last - self.first
    }
}

impl fmt::Display for PeerRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ports, self.net) {
            (None, net) => write!(f, "{net}"),
            (Some(ports), net @ IpNet::V4(_)) => write!(f, "{net}:{ports}"),
            (Some(ports), net @ IpNet::V6(_)) => write!(f, "[{net}]:{ports}"),
        }
    }
}

impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for PeerRange {
    type Err = PeerRangeError;

    fn from_str(text: &str) -> Result<Self, PeerRangeError> {
        let no_address = || PeerRangeError::Address(text.to_owned());
        let (net, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                let (net, ports) = rest.split_once(']').ok_or_else(no_address)?;
                match ports {
                    "" => (net, None),
                    ports => (net, Some(ports.strip_prefix(':').ok_or_else(no_address)?)),
                }
            }
            // An IPv6 address contains at least two colons.
            None => match text.split_once(':') {
                Some((net, ports)) if !ports.contains(':') => (net, Some(ports)),
                _ => (text, None),
            },
        };
        let net = parse_net(net).ok_or_else(no_address)?;
        if net != net.trunc() {
            return Err(PeerRangeError::HostBits { given: net, meant: net.trunc() });
        }
        Ok(Self { net, ports: ports.map(str::parse).transpose()? })
    }
}

fn parse_net(text: &str) -> Option<IpNet> {
    match text.parse() {
        Ok(IpAddr::V4(v4)) => Some(Ipv4Net::from(v4).into()),
        Ok(IpAddr::V6(v6)) => Some(Ipv6Net::from(v6).into()),
        Err(_) => text.parse().ok(),
    }
}

impl FromStr for PortSpan {
    type Err = PeerRangeError;

    fn from_str(text: &str) -> Result<Self, PeerRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Self::new(first, last),
            _ => None,
        }
        .ok_or_else(|| PeerRangeError::Ports(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn ranges_are_written_as_they_are_read() {
        for text in [
            "10.0.0.0/8",
            "10.0.0.7/32:53",
            "0.0.0.0/0:1-65535",
            "10.0.0.0/8:1000-2000",
            "fd00::/8",
            "[fd00::/8]:1000-2000",
            "[2001:db8::7/128]:53",
            "::/0",
        ] {
            let range: PeerRange = text.parse().unwrap();
            assert_eq!(range.to_string(), text);
        }
        for (short, long) in [
            ("10.0.0.7", "10.0.0.7/32"),
            ("10.0.0.7:53", "10.0.0.7/32:53"),
            ("2001:db8::7", "2001:db8::7/128"),
            ("[2001:db8::7]", "2001:db8::7/128"),
            ("[2001:db8::7]:1-2", "[2001:db8::7/128]:1-2"),
        ] {
            assert_eq!(short.parse(), long.parse::<PeerRange>(), "{short}");
        }
    }

    #[test]
    fn what_is_no_range_says_what_would_be_one() {
        for text in ["", "10", "10.0.0.0/33", "10.0.0.0/-1", "example.org", "[fd00::/8", "[fd00::/8]53", "fd00::/8:"] {
            assert!(matches!(text.parse::<PeerRange>(), Err(PeerRangeError::Address(_))), "{text}");
        }
        for text in
            ["10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:9-8", "10.0.0.0/8:1-65536", "[fd00::/8]:x", "10.0.0.7:0-9"]
        {
            assert!(matches!(text.parse::<PeerRange>(), Err(PeerRangeError::Ports(_))), "{text}");
        }
        let error = "10.0.0.7/8".parse::<PeerRange>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.0.0.7/8 has bits set beyond its prefix length: write 10.0.0.0/8, or the address alone"
        );
    }
}
