use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::PortRange;

/// What a [`Server`](crate::Server) needs to know about the relay that it is the mind of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses told to clients in XOR-RELAYED-ADDRESS; a family without one is not offered.
    pub relay_addresses: RelayAddresses,
    /// Every address that packets to the relay may carry as their destination (local ones, and the public ones when the
    /// relay sits behind a one-to-one NAT). Peers at these addresses and [`Self::listen_port`] are refused.
    pub own_addresses: Vec<IpAddr>,
    /// The UDP port that clients send to; 3478 by default.
    pub listen_port: u16,
    /// The ports this server draws relayed transport addresses from.
    pub ports: PortRange,
    /// The REALM of every challenge.
    pub realm: String,
    /// How many allocations one username may hold, and what happens beyond.
    pub username_limit: UsernameLimit,
}

/// The public addresses of the relay, at least one of them set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayAddresses {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// How many allocations one username may hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsernameLimit {
    /// One; a new one from another 5-tuple takes the place of the old (a NAT that changed its mapping looks like this).
    ReplaceOldest,
    /// This many; beyond it the answer is 486 (Allocation Quota Reached).
    RefuseBeyond(u32),
}
