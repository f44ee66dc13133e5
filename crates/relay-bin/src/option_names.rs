//! The names of options that log messages and errors mention, so that people know what to change.

use std::{fmt, net::IpAddr};

/// An option's flag and environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    flag: &'static str,
    variable: &'static str,
}

impl Name {
    pub(crate) const fn new(flag: &'static str, variable: &'static str) -> Self {
        Self { flag, variable }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.flag, self.variable)
    }
}

pub(crate) const ALLOW_PEER: Name = Name::new("--allow-peer", "ALLOW_PEER");
pub(crate) const AUTH_SECRET_FILE: Name = Name::new("--auth-secret-file", "AUTH_SECRET_FILE");
pub(crate) const BEHIND_NAT: Name = Name::new("--behind-nat", "BEHIND_NAT");
pub(crate) const PRINT_CREDENTIALS: Name = Name::new("--print-credentials", "PRINT_CREDENTIALS");
pub(crate) const CHANNELS_PER_ALLOCATION: Name = Name::new("--channels-per-allocation", "CHANNELS_PER_ALLOCATION");
pub(crate) const CONTROL_ENDPOINT: Name = Name::new("--control-endpoint", "CONTROL_ENDPOINT");
pub(crate) const DENY_PEER: Name = Name::new("--deny-peer", "DENY_PEER");
pub(crate) const EBPF_MAX_FLOWS: Name = Name::new("--ebpf-max-flows", "EBPF_MAX_FLOWS");
pub(crate) const EBPF_OFFLOADING: Name = Name::new("--ebpf-offloading", "EBPF_OFFLOADING");
pub(crate) const HEALTH_CHECK_ADDR: Name = Name::new("--health-check-addr", "HEALTH_CHECK_ADDR");
pub(crate) const HIGHEST_PORT: Name = Name::new("--highest-port", "HIGHEST_PORT");
pub(crate) const INDICATIONS: Name = Name::new("--indications", "INDICATIONS");
pub(crate) const LISTEN_PORT: Name = Name::new("--listen-port", "LISTEN_PORT");
pub(crate) const LOWEST_PORT: Name = Name::new("--lowest-port", "LOWEST_PORT");
pub(crate) const MAX_CHANNELS: Name = Name::new("--max-channels", "MAX_CHANNELS");
pub(crate) const MAX_PERMISSIONS: Name = Name::new("--max-permissions", "MAX_PERMISSIONS");
pub(crate) const PERMISSIONS_PER_ALLOCATION: Name =
    Name::new("--permissions-per-allocation", "PERMISSIONS_PER_ALLOCATION");
pub(crate) const PEER_RULES_FILE: Name = Name::new("--peer-rules-file", "PEER_RULES_FILE");
pub(crate) const PUBLIC_IP4_ADDR: Name = Name::new("--public-ip4-addr", "PUBLIC_IP4_ADDR");
pub(crate) const PUBLIC_IP6_ADDR: Name = Name::new("--public-ip6-addr", "PUBLIC_IP6_ADDR");
pub(crate) const USERS_FILE: Name = Name::new("--users-file", "USERS_FILE");

/// The option for the public address in the family of `address`.
pub(crate) const fn public_name(address: IpAddr) -> Name {
    match address {
        IpAddr::V4(_) => PUBLIC_IP4_ADDR,
        IpAddr::V6(_) => PUBLIC_IP6_ADDR,
    }
}
