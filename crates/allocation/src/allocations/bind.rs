use super::Allocations;
use crate::{
    AllocationId, BindError, CHANNEL_BINDING_LIFETIME, Channel, ChannelNumber, Limits, PeerSocket, Timestamp,
    UnknownAllocation,
};

/// What binding a channel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The channel is new.
    New,
    /// The channel was bound already, and its lifetime starts again.
    Refreshed,
    /// The channel had lapsed and relays again.
    Rebound,
}

impl Allocations {
    /// Binds `number` to `peer` in allocation `id`, for [`CHANNEL_BINDING_LIFETIME`] from now.
    ///
    /// [RFC 8656, section 12.2](https://www.rfc-editor.org/rfc/rfc8656#section-12.2)
    ///
    /// # Errors
    ///
    /// When the number is bound to another peer, the peer to another number, a [limit](crate::Limits) on channels is reached, or
    /// there is no such allocation.
    pub fn bind_channel(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        number: ChannelNumber,
        peer: PeerSocket,
    ) -> Result<Bound, BindError> {
        self.handle_timeout(now);
        let allocation = self.slots.get_mut(id).ok_or(UnknownAllocation(id))?;
        let expires_at = now + CHANNEL_BINDING_LIFETIME;
        if let Some(&channel) = allocation.channels.by_number(&self.hash, number) {
            if channel.peer != peer {
                return Err(BindError::ChannelInUse);
            }
            let renewed = Channel { bound: true, expires_at, ..channel };
            allocation.change_channels(|channels| {
                channels.by_number_mut(&self.hash, number).map(|channel| *channel = renewed)
            });
            self.timers.rearm(channel.timer(id), renewed.timer(id));
            return Ok(if channel.bound { Bound::Refreshed } else { Bound::Rebound });
        }
        if allocation.channels.by_peer(&self.hash, peer).is_some() {
            return Err(BindError::PeerHasAnotherChannel);
        }
        let Limits { channels_per_allocation, channels: in_all, .. } = self.limits;
        if allocation.channels.len() >= usize::from(channels_per_allocation) {
            return Err(BindError::TooManyChannels { limit: channels_per_allocation });
        }
        if self.channel_count >= in_all {
            return Err(BindError::NoChannelLeft { limit: in_all });
        }
        let channel = Channel { peer, number, bound: true, expires_at };
        allocation.change_channels(|channels| channels.insert(&self.hash, channel));
        self.channel_count += 1;
        self.timers.arm(channel.timer(id));
        Ok(Bound::New)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::{
        AllocationPort, CHANNEL_REUSE_DELAY, ChannelPeerError, DEFAULT_CHANNEL_LIMIT, Expired, PeerChannelError,
        PortRange, PortRequest,
        testing::{T0, five_tuple, number, peer, request},
    };

    /// One allocation that outlives everything here.
    fn one(client: u16) -> (Allocations, AllocationId, AllocationPort) {
        let mut allocations = Allocations::new(PortRange::DYNAMIC, [1; 32]);
        let allocation = allocations.allocate(T0, request(client, PortRequest::Any)).unwrap();
        let (id, port) = (allocation.id(), allocation.port());
        allocations.refresh(T0, id, None, Duration::from_secs(100 * 3600)).unwrap();
        (allocations, id, port)
    }

    #[test]
    fn a_binding_relays_both_ways_for_600_s() {
        let (mut allocations, id, port) = one(1);
        assert_eq!(allocations.bind_channel(T0, id, number(0), peer(9)), Ok(Bound::New));
        let lapse = T0 + Duration::from_secs(600);
        assert_eq!(allocations.poll_timeout(), Some(lapse));
        let found = |allocations: &Allocations| {
            let towards_peer = allocations.channel_peer(&five_tuple(1), number(0)).map(|(_, peer)| peer);
            let towards_client = allocations.peer_channel(port, peer(9)).map(|(_, number)| number);
            (towards_peer, towards_client)
        };
        allocations.handle_timeout(Timestamp::from_nanos(lapse.as_nanos() - 1));
        assert_eq!(found(&allocations), (Ok(peer(9)), Ok(number(0))));
        allocations.handle_timeout(lapse);
        assert_eq!(found(&allocations), (Err(ChannelPeerError::NoChannel), Err(PeerChannelError::UnknownPeer)));
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelExpired { .. })));
        assert!(allocations.poll_expired().is_none());
    }

    #[test]
    fn a_lapsed_pair_is_kept_for_itself_for_300_s() {
        let (mut allocations, id, _) = one(1);
        allocations.bind_channel(T0, id, number(0), peer(0)).unwrap();
        let lapse = T0 + CHANNEL_BINDING_LIFETIME;
        let released = lapse + Duration::from_secs(300);
        assert_eq!(CHANNEL_REUSE_DELAY, Duration::from_secs(300));
        for now in [lapse, Timestamp::from_nanos(released.as_nanos() - 1)] {
            assert_eq!(allocations.bind_channel(now, id, number(0), peer(1)), Err(BindError::ChannelInUse));
            assert_eq!(allocations.bind_channel(now, id, number(1), peer(0)), Err(BindError::PeerHasAnotherChannel));
        }
        assert_eq!(allocations.bind_channel(released, id, number(1), peer(0)), Ok(Bound::New));
        assert_eq!(allocations.bind_channel(released, id, number(0), peer(1)), Ok(Bound::New));
    }

    #[test]
    fn a_lapsed_pair_may_bind_again_at_once_and_relays() {
        let (mut allocations, id, port) = one(1);
        allocations.bind_channel(T0, id, number(0), peer(0)).unwrap();
        let lapse = T0 + CHANNEL_BINDING_LIFETIME;
        assert_eq!(allocations.bind_channel(lapse, id, number(0), peer(0)), Ok(Bound::Rebound));
        assert_eq!(allocations.channel_peer(&five_tuple(1), number(0)).map(|(_, peer)| peer), Ok(peer(0)));
        assert_eq!(allocations.peer_channel(port, peer(0)).map(|(_, number)| number), Ok(number(0)));
        assert_eq!(allocations.bind_channel(lapse, id, number(0), peer(0)), Ok(Bound::Refreshed));
        assert_eq!(allocations.poll_timeout(), Some(lapse + CHANNEL_BINDING_LIFETIME));
    }

    #[test]
    fn late_calls_tell_of_both_ends_of_a_channel_in_order() {
        let (mut allocations, id, _) = one(1);
        allocations.bind_channel(T0, id, number(0), peer(0)).unwrap();
        allocations.handle_timeout(T0 + Duration::from_secs(24 * 3600));
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelExpired { .. })));
        assert!(matches!(allocations.poll_expired(), Some(Expired::ChannelReleased { .. })));
        assert!(allocations.get(id).unwrap().channels().is_empty());
    }

    #[test]
    fn refuses_one_channel_too_many() {
        let (allocations, id, _) = one(1);
        let mut allocations = allocations.with_limits(Limits { channels_per_allocation: 2, ..Limits::default() });
        for both in 0..2 {
            allocations.bind_channel(T0, id, number(both), peer(both)).unwrap();
        }
        let refused = allocations.bind_channel(T0, id, number(2), peer(2));
        assert_eq!(refused, Err(BindError::TooManyChannels { limit: 2 }));
        assert_eq!(allocations.bind_channel(T0, id, number(1), peer(1)), Ok(Bound::Refreshed));
    }

    #[test]
    fn refuses_one_channel_too_many_in_all_until_one_is_free() {
        let (allocations, first, _) = one(1);
        let limits = Limits { channels: 3, ..Limits::default() };
        let mut allocations = allocations.with_limits(limits);
        let second = allocations.allocate(T0, request(2, PortRequest::Any)).unwrap().id();
        for both in 0..2 {
            allocations.bind_channel(T0, first, number(both), peer(both)).unwrap();
        }
        allocations.bind_channel(T0, second, number(0), peer(0)).unwrap();
        for id in [first, second] {
            let refused = allocations.bind_channel(T0, id, number(2), peer(2));
            assert_eq!(refused, Err(BindError::NoChannelLeft { limit: 3 }));
        }
        assert_eq!(allocations.bind_channel(T0, first, number(1), peer(1)), Ok(Bound::Refreshed));
        allocations.remove(second);
        assert_eq!(allocations.bind_channel(T0, first, number(2), peer(2)), Ok(Bound::New));
        // Lapsed channels count, too: they take memory.
        let lapse = T0 + CHANNEL_BINDING_LIFETIME;
        assert!(allocations.bind_channel(lapse, first, number(3), peer(3)).is_err());
        assert_eq!(allocations.bind_channel(lapse + CHANNEL_REUSE_DELAY, first, number(3), peer(3)), Ok(Bound::New));
        allocations.assert_consistent();
    }

    #[test]
    fn takes_the_channel_numbers_of_rfc_8656_by_default() {
        assert_eq!(DEFAULT_CHANNEL_LIMIT, 0x4FFF - 0x4000 + 1);
        let (mut allocations, id, _) = one(1);
        for both in 0..DEFAULT_CHANNEL_LIMIT {
            assert_eq!(allocations.bind_channel(T0, id, number(both), peer(both)), Ok(Bound::New));
        }
        allocations.assert_consistent();
        assert!(allocations.remove(id).is_some());
        allocations.assert_empty();
    }

    #[test]
    fn refreshing_100_000_times_leaves_the_queue_as_it_is() {
        let (mut allocations, id, _) = one(1);
        for both in 0..100 {
            allocations.bind_channel(T0, id, number(both), peer(both)).unwrap();
        }
        let timers = allocations.timers.iter().count();
        for second in 1..=1000 {
            for both in 0..100 {
                let now = T0 + Duration::from_secs(second);
                assert_eq!(allocations.bind_channel(now, id, number(both), peer(both)), Ok(Bound::Refreshed));
            }
        }
        assert_eq!(allocations.timers.iter().count(), timers);
        allocations.assert_consistent();
    }
}
