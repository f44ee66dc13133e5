//! This machine's addresses, read from files below `/proc`. Needs no netlink.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::Network;

/// All addresses; `None` if the files cannot be read.
pub(super) fn networks() -> Option<Vec<Network>> {
    let v4 = fs::read_to_string("/proc/self/net/fib_trie").ok()?;
    // The file does not exist without IPv6.
    let v6 = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    let mut networks = parse_fib_trie(&v4);
    networks.extend(v6.lines().filter_map(parse_if_inet6));
    networks.sort_unstable();
    networks.dedup();
    Some(networks)
}

/// Parses the routing tables. A line has an address, `|-- 10.0.0.7`; the lines after it have its routes, `/32 host LOCAL`.
fn parse_fib_trie(text: &str) -> Vec<Network> {
    let (mut local, mut links) = (Vec::new(), Vec::new());
    let mut address = None;
    for line in text.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
            continue;
        }
        let mut words = line.split_whitespace();
        let prefix = words.next().and_then(|word| word.strip_prefix('/')).and_then(|number| number.parse().ok());
        let (Some(address), Some(prefix)) = (address, prefix) else { continue };
        match (words.next(), words.next(), prefix) {
            (_, Some("LOCAL"), 32) => local.push(address),
            (Some("link"), Some("UNICAST"), prefix) => links.push(Network { address, prefix }),
            _ => {}
        }
    }
    let prefix = |address| links.iter().filter(|link| link.contains(address)).map(|link| link.prefix).max();
    local.into_iter().map(|address| Network { address, prefix: prefix(address).unwrap_or(32) }).collect()
}

/// Parses a line: the address, the interface's number, the prefix length, and more.
fn parse_if_inet6(line: &str) -> Option<Network> {
    let mut words = line.split_whitespace();
    let address = u128::from_str_radix(words.next()?, 16).ok()?;
    let prefix = u8::from_str_radix(words.nth(1)?, 16).ok()?;
    Some(Network { address: Ipv6Addr::from_bits(address).into(), prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, prefix: u8) -> Network {
        Network { address: address.parse().unwrap(), prefix }
    }

    #[test]
    fn addresses_and_their_networks_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    |-- 127.0.0.0\n /8 host LOCAL\n |-- 127.0.0.1\n /32 host LOCAL\n |-- 127.255.255.255\n /32 link BROADCAST\n\
                    |-- 192.0.2.0\n /24 link UNICAST\n |-- 192.0.2.2\n /32 host LOCAL\n |-- 198.51.100.7\n /32 host LOCAL\n";
        let expected = [network("127.0.0.1", 32), network("192.0.2.2", 24), network("198.51.100.7", 32)];
        assert_eq!(parse_fib_trie(trie), expected);
        let line = "fd000000000000000000000000000002 04 40 00 82     eth0";
        assert_eq!(parse_if_inet6(line), Some(network("fd00::2", 64)));
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in
            ["", "/32 host LOCAL", "|-- here\n/32 host LOCAL", "|-- 10.0.0.7\n/x host LOCAL", "|-- 10.0.0.7\n/32"]
        {
            assert_eq!(parse_fib_trie(text), [], "{text}");
        }
        for text in
            ["", "fd00", "x 04 40", "fd000000000000000000000000000002 04", "fd000000000000000000000000000002 04 zz"]
        {
            assert_eq!(parse_if_inet6(text), None, "{text}");
        }
    }
}
