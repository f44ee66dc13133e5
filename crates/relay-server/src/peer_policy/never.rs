//! The addresses that no rule can allow as peers, or as clients.

use std::net::{IpAddr, Ipv6Addr};

use super::forbidden::PeerForbidden;

/// Why no rule can allow `address`; `None` if a rule can.
pub(super) const fn never(address: IpAddr) -> Option<PeerForbidden> {
    if address.is_unspecified() {
        return Some(PeerForbidden::Unspecified);
    }
    if address.is_multicast() {
        return Some(PeerForbidden::Multicast);
    }
    match address {
        // 240.0.0.0/4, whose last address is the broadcast address.
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some(PeerForbidden::Broadcast),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some(PeerForbidden::Ipv4Mapped),
        IpAddr::V6(v6) if is_tunnel(v6) => Some(PeerForbidden::Tunnel),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(PeerForbidden::LinkLocal),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Whether Allocate requests from `address` are refused.
///
/// [RFC 8656, section 21.4](https://www.rfc-editor.org/rfc/rfc8656#section-21.4)
pub(crate) const fn is_forbidden_client(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if is_tunnel(v6))
}

/// Whether a host can send from `address`.
pub(crate) const fn is_unicast(address: IpAddr) -> bool {
    !matches!(never(address), Some(PeerForbidden::Unspecified | PeerForbidden::Multicast | PeerForbidden::Broadcast))
}

/// Whether `address` is a Teredo or 6to4 address. Neither clients nor peers may have one, since the tunnel's end could send the
/// relay's data back to it: [RFC 8656, section 21.4](https://www.rfc-editor.org/rfc/rfc8656#section-21.4).
const fn is_tunnel(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x2001, 0, ..] | [0x2002, ..])
}
