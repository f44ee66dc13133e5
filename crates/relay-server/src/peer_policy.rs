use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Config;

/// The one place that decides which peers may be relayed to.
///
/// [RFC 8656, section 12.2](https://www.rfc-editor.org/rfc/rfc8656#section-12.2) and
/// [section 10.2](https://www.rfc-editor.org/rfc/rfc8656#section-10.2) leave the restrictions to the server and have them
/// answered with 403 (Forbidden).
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
    /// `::ffff:0:0/96`: an IPv4 address in disguise, which the checks of its real family would not see.
    #[error("the address is an IPv4 address written as an IPv6 address")]
    Ipv4Mapped,
    /// `2001::/32` (Teredo) or `2002::/16` (6to4): what is sent there comes out of a tunnel, and may come back.
    #[error("the address is that of a Teredo or 6to4 tunnel")]
    Tunnel,
    /// `fe80::/10`: a link-local address, which means nothing without an interface, and a request names none.
    #[error("the address is an IPv6 link-local address, which needs an interface that no request can name")]
    LinkLocal,
    /// Port zero, which no datagram can be sent to.
    #[error("the port is zero")]
    PortZero,
    /// The relay's own listening address: it would talk to itself.
    #[error("the address is the relay's own")]
    OwnListener,
}

/// Whether data may be relayed to and from `peer`.
///
/// # Errors
///
/// Why not.
pub(crate) fn check(config: &Config, peer: SocketAddr) -> Result<(), PeerForbidden> {
    check_address(peer.ip()).and_then(|()| check_port(config, peer))
}

/// Whether a permission may be given for `address`, whatever the port.
///
/// # Errors
///
/// Why not.
pub(crate) const fn check_permission(address: IpAddr) -> Result<(), PeerForbidden> {
    check_address(address)
}

/// Whether no client at `address` may allocate.
///
/// [RFC 8656, section 21.4](https://www.rfc-editor.org/rfc/rfc8656#section-21.4)
pub(crate) const fn is_forbidden_client(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if is_tunnel(v6))
}

const fn check_address(address: IpAddr) -> Result<(), PeerForbidden> {
    if address.is_unspecified() {
        return Err(PeerForbidden::Unspecified);
    }
    if address.is_multicast() {
        return Err(PeerForbidden::Multicast);
    }
    match address {
        IpAddr::V4(v4) if is_reserved(v4) => Err(PeerForbidden::Broadcast),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(PeerForbidden::Ipv4Mapped),
        IpAddr::V6(v6) if is_tunnel(v6) => Err(PeerForbidden::Tunnel),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(PeerForbidden::LinkLocal),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// Whether a peer may have this port, at an address that it may have.
///
/// # Errors
///
/// Why not.
pub(crate) fn check_port(config: &Config, peer: SocketAddr) -> Result<(), PeerForbidden> {
    if peer.port() == 0 {
        return Err(PeerForbidden::PortZero);
    }
    if peer.port() == config.listen_port && config.is_own_address(peer.ip()) {
        return Err(PeerForbidden::OwnListener);
    }
    Ok(())
}

/// `240.0.0.0/4`, which ends in the broadcast address.
const fn is_reserved(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 240
}

/// [RFC 8656, section 21.4](https://www.rfc-editor.org/rfc/rfc8656#section-21.4): neither clients nor peers may be at addresses
/// of Teredo or 6to4, since a tunnel's end could send to the relay what the relay sends to it.
const fn is_tunnel(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x2001, 0, ..] | [0x2002, ..])
}
