use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::{Channel, ChannelNumber, PeerSocket};

/// A copy of the first channel's number and peer, if the channel is bound and the peer has an IPv4 address. It is small enough to
/// lie beside the 5-tuple, in the cache line that the data path reads anyway.
///
/// Most allocations have a single channel, so this is the one that is wanted. An IPv6 address would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortcut {
    peer: SocketAddrV4,
    /// Zero, which is not a channel number, if there is no such channel.
    number: u16,
}

impl Shortcut {
    pub(crate) const NONE: Self = Self { peer: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), number: 0 };

    /// A copy of the first of `channels`, or [`Self::NONE`].
    pub(crate) fn to(channels: &[Channel]) -> Self {
        match channels.first() {
            Some(Channel { peer, number, bound: true, .. }) => match peer.address() {
                SocketAddr::V4(peer) => Self { peer, number: number.get() },
                SocketAddr::V6(_) => Self::NONE,
            },
            _ => Self::NONE,
        }
    }

    /// The peer, if the channel has this `number`.
    pub(crate) fn peer(&self, number: ChannelNumber) -> Option<PeerSocket> {
        (self.number == number.get()).then(|| SocketAddr::V4(self.peer).into())
    }

    /// The number, if the channel is bound to `peer`.
    pub(crate) fn number(&self, peer: PeerSocket) -> Option<ChannelNumber> {
        match peer.address() {
            SocketAddr::V4(peer) if peer == self.peer => ChannelNumber::new(self.number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        Timestamp,
        testing::{number, peer},
    };

    /// A channel to an IPv4 peer if `both` is even, else to an IPv6 peer.
    fn channel(both: u16) -> Channel {
        Channel { peer: peer(both), number: number(both), bound: true, expires_at: Timestamp::ZERO }
    }

    #[test]
    fn leads_to_the_first_channel_and_to_no_other() {
        let shortcut = Shortcut::to(&[channel(0), channel(2)]);
        assert_eq!((shortcut.peer(number(0)), shortcut.number(peer(0))), (Some(peer(0)), Some(number(0))));
        assert_eq!((shortcut.peer(number(2)), shortcut.number(peer(2))), (None, None));
        assert_eq!(size_of::<Shortcut>(), 8);
    }

    #[test]
    fn leads_nowhere_unless_the_first_channel_is_bound_and_of_ipv4() {
        let lapsed = Channel { bound: false, ..channel(0) };
        let ipv6 = channel(1);
        assert!(ipv6.peer.address().is_ipv6());
        for channels in [&[][..], &[lapsed, channel(2)], &[ipv6, channel(2)]] {
            assert_eq!(Shortcut::to(channels), Shortcut::NONE);
        }
        assert_eq!(Shortcut::NONE.number(SocketAddr::from(([0, 0, 0, 0], 0)).into()), None);
    }

    #[test]
    fn an_ipv4_address_mapped_into_ipv6_is_another() {
        let SocketAddr::V4(v4) = peer(0).address() else { panic!("it is IPv4") };
        let mapped = SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port());
        assert_eq!(Shortcut::to(&[channel(0)]).number(mapped.into()), None);
        assert_eq!(Shortcut::to(&[Channel { peer: mapped.into(), ..channel(0) }]), Shortcut::NONE);
    }
}
