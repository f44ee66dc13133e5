use ipnet::IpNet;

use super::{range::PeerRange, special::SpecialUse};

/// Why a peer may not be relayed to.
///
/// The server chooses the restrictions and answers with 403 (Forbidden):
/// [RFC 8656, section 12.2](https://www.rfc-editor.org/rfc/rfc8656#section-12.2) and
/// [section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PeerForbidden {
    /// `0.0.0.0` or `::`.
    #[error("the address is unspecified")]
    Unspecified,
    /// `224.0.0.0/4` or `ff00::/8`.
    #[error("the address is a multicast address")]
    Multicast,
    /// `255.255.255.255`, or the rest of the class E range.
    #[error("the address is a broadcast or reserved address")]
    Broadcast,
    /// `::ffff:0:0/96`: an IPv4-mapped address, which would bypass the checks for IPv4.
    #[error("the address is an IPv4 address written as an IPv6 address")]
    Ipv4Mapped,
    /// `2001::/32` (Teredo) or `2002::/16` (6to4): a tunnel's end may send the data back to the relay.
    #[error("the address is that of a Teredo or 6to4 tunnel")]
    Tunnel,
    /// `fe80::/10`: a link-local address needs an interface, which no request can name.
    #[error("the address is an IPv6 link-local address, which needs an interface that no request can name")]
    LinkLocal,
    /// Port zero, which no datagram can be sent to.
    #[error("the port is zero")]
    PortZero,
    /// The relay's own listening address. It would send to itself.
    #[error("the address is the relay's own")]
    OwnListener,
    /// Another port of the relay's machine, where other programs listen.
    #[error("the relay's machine has this address (--allow-peer ADDRESS:PORT)")]
    OwnMachine,
    /// An address range with a special use.
    #[error("{range} {usage} (--allow-peer {range})")]
    Special {
        /// The range.
        range: IpNet,
        /// Its use.
        usage: SpecialUse,
    },
    /// A rule of the relay's operator denies it.
    #[error("a rule denies {range}")]
    Rule {
        /// The range of that rule.
        range: PeerRange,
    },
}

impl PeerForbidden {
    /// A short name, for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Ipv4Mapped => "ipv4_mapped",
            Self::Tunnel => "tunnel",
            Self::LinkLocal => "link_local",
            Self::PortZero => "port_zero",
            Self::OwnListener => "own_listener",
            Self::OwnMachine => "own_machine",
            Self::Special { usage, .. } => usage.name(),
            Self::Rule { .. } => "rule",
        }
    }
}
