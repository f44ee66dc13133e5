//! One direction between a client and a peer, as the caller of this crate describes it.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{
    address::{Address, Be16},
    encapsulation::Encapsulation,
    indication,
    route::{FlowKey, Route},
};

/// One direction between a client and a peer, or between two clients: a packet from `remote` to `local` is sent on from `source` to
/// `destination`, with another encapsulation.
///
/// A Send indication belongs to this flow if it is for `destination`. A Data indication names `remote` as the peer. In both
/// cases, the other side is a peer and not another client.
///
/// Addresses are those in the packets that this host sees: behind a 1:1 NAT, its private ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The packet's source.
    pub remote: SocketAddr,
    /// The packet's destination: an address and port of the relay, of the same family as `remote`.
    pub local: SocketAddr,
    /// How the packet carries application data when it arrives; [`Encapsulation::Bare`] from peers.
    pub arrives_in: Encapsulation,
    /// The new source: an address and port of the relay.
    pub source: SocketAddr,
    /// The new destination, of the same family as `source`.
    pub destination: SocketAddr,
    /// How the packet carries application data when it leaves; [`Encapsulation::Bare`] to peers.
    pub leaves_in: Encapsulation,
}

/// Why a [`Flow`] cannot be a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowError {
    /// The two addresses of one side are of different families.
    MixedFamilies {
        /// One address.
        from: SocketAddr,
        /// The other address.
        to: SocketAddr,
    },
    /// An address that a packet cannot be relayed from or to: multicast, broadcast, unspecified, or with port 0.
    NotUnicast(SocketAddr),
    /// Not a channel number of RFC 5766 or RFC 8656: outside 0x4000-0x7FFF.
    NotAChannel(u16),
    /// An indication whose other side is not a peer.
    IndicationWithoutPeer,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MixedFamilies { from, to } => write!(f, "{from} and {to} are of different address families"),
            Self::NotUnicast(address) => write!(f, "{address} is not the address of one host"),
            Self::NotAChannel(number) => write!(f, "{number:#06x} is not a channel number"),
            Self::IndicationWithoutPeer => f.write_str("an indication is relayed to or from a peer only"),
        }
    }
}

impl core::error::Error for FlowError {}

impl Flow {
    /// The key of this flow's packets.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        let (remote, port) = (self.remote, self.local.port());
        match self.arrives_in {
            Encapsulation::Bare => FlowKey::new(remote, port, None),
            Encapsulation::Channel(number) => FlowKey::new(remote, port, Some(number)),
            Encapsulation::Indication => FlowKey::of_send(remote, port, self.destination),
        }
    }

    /// How the kernel forwards this flow's packets.
    ///
    /// `flow_label` (20 bits) goes into IPv6 headers. It should be the same for all packets of a flow and hard to guess
    /// (<https://www.rfc-editor.org/rfc/rfc6437#section-3>).
    ///
    /// # Errors
    /// If the flow is invalid.
    pub fn route(&self, flow_label: u32) -> Result<Route, FlowError> {
        for (from, to) in [(self.remote, self.local), (self.source, self.destination)] {
            if Address::from(from.ip()).is_v4() != Address::from(to.ip()).is_v4() {
                return Err(FlowError::MixedFamilies { from, to });
            }
        }
        for address in [self.remote, self.local, self.source, self.destination] {
            if address.port() == 0 || !is_unicast(address.ip().to_canonical()) {
                return Err(FlowError::NotUnicast(address));
            }
        }
        for encapsulation in [self.arrives_in, self.leaves_in] {
            if let Encapsulation::Channel(number) = encapsulation
                && number >> 14 != 0b01
            {
                return Err(FlowError::NotAChannel(number));
            }
        }
        let leaves_in = match (self.arrives_in, self.leaves_in) {
            (Encapsulation::Indication | Encapsulation::Bare | Encapsulation::Channel(_), Encapsulation::Bare) => {
                Be16::default()
            }
            (Encapsulation::Bare | Encapsulation::Channel(_), Encapsulation::Channel(number)) => Be16::new(number),
            (Encapsulation::Bare, Encapsulation::Indication) => indication::DATA,
            _ => return Err(FlowError::IndicationWithoutPeer),
        };
        Ok(Route::new(
            self.key(),
            self.local.ip().into(),
            (self.source.ip().into(), Be16::new(self.source.port())),
            (self.destination.ip().into(), Be16::new(self.destination.port())),
            leaves_in,
            flow_label,
        ))
    }
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            remote: "192.0.2.1:1111".parse().unwrap(),
            local: "198.51.100.9:3478".parse().unwrap(),
            arrives_in: Encapsulation::Channel(0x4000),
            source: "[2001:db8::9]:50000".parse().unwrap(),
            destination: "[2001:db8::2]:2222".parse().unwrap(),
            leaves_in: Encapsulation::Bare,
        }
    }

    #[test]
    fn a_sound_flow_is_a_route() {
        assert!(flow().route(0).is_ok());
    }

    #[test]
    fn sides_of_two_families_are_refused() {
        let refused = Flow { local: "[2001:db8::9]:3478".parse().unwrap(), ..flow() };
        assert!(matches!(refused.route(0), Err(FlowError::MixedFamilies { .. })));
    }

    #[test]
    fn addresses_of_no_or_many_hosts_are_refused() {
        for destination in ["[ff02::1]:1", "[::]:1", "[2001:db8::2]:0"] {
            let destination = destination.parse().unwrap();
            assert_eq!(Flow { destination, ..flow() }.route(0), Err(FlowError::NotUnicast(destination)));
        }
        for remote in ["255.255.255.255:1", "224.0.0.1:1", "0.0.0.0:1"] {
            let remote = remote.parse().unwrap();
            assert_eq!(Flow { remote, ..flow() }.route(0), Err(FlowError::NotUnicast(remote)));
        }
    }

    #[test]
    fn indications_have_a_peer_at_the_other_side() {
        use Encapsulation::{Bare, Channel, Indication};
        for (arrives_in, leaves_in, is_right) in [
            (Indication, Bare, true),
            (Bare, Indication, true),
            (Indication, Indication, false),
            (Indication, Channel(0x4000), false),
            (Channel(0x4000), Indication, false),
        ] {
            let route = Flow { arrives_in, leaves_in, ..flow() }.route(0);
            assert_eq!(route.is_ok(), is_right, "{arrives_in:?} to {leaves_in:?}");
        }
    }

    #[test]
    fn a_send_indication_is_known_by_its_peer_too() {
        let send = Flow { arrives_in: Encapsulation::Indication, ..flow() };
        let key = |peer: &str| FlowKey::of_send(send.remote, 3478, peer.parse().unwrap());
        assert_eq!(send.key(), key("[2001:db8::2]:2222"));
        for other in ["[2001:db8::2]:2223", "[2001:db8::3]:2222", "192.0.2.1:2222"] {
            assert_ne!(send.key(), key(other));
        }
        assert_ne!(send.key(), flow().key());
        assert_ne!(send.key(), FlowKey::new(send.remote, 3478, None));
    }

    #[test]
    fn numbers_of_no_channel_are_refused() {
        for number in [0, 0x3fff, 0x8000, 0xffff] {
            let arrives_in = Encapsulation::Channel(number);
            assert_eq!(Flow { arrives_in, ..flow() }.route(0), Err(FlowError::NotAChannel(number)));
        }
    }
}
