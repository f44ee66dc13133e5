//! Limits on what is relayed: for each allocation, for each user, and in total.
//!
//! The limits are token buckets: one for bytes and one for packets in each direction. Packets over a limit are dropped, as on a
//! congested link, and clients' congestion control adapts. Only packets that the state machine relays are counted, so with any
//! limit it installs no flows.

mod bucket;
mod snapshot;
mod users;

use std::{num::NonZeroU64, sync::Arc};

use serde::{Deserialize, Serialize};

pub(crate) use self::snapshot::BandwidthSnapshot;
use self::{
    bucket::{Bucket, Filling},
    users::Users,
};
use crate::{AllocationPort, DropReason, PortRange, Timestamp};

/// The smallest capacity of a bucket of bytes: the largest datagram.
const LEAST_BURST: u64 = 1 << 16;

/// Limits on relayed data, for each direction separately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// For one allocation.
    pub per_allocation: Rate,
    /// For all allocations of one user together. If they are on several shards, each shard grants a share by their number.
    pub per_user: Rate,
    /// For all allocations of this server together.
    pub total: Rate,
}

/// A limit per second, which is also the burst. `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Bytes of application data, at most 12,500,000,000 (100 Gbit/s).
    pub bytes: Option<NonZeroU64>,
    /// Packets.
    pub packets: Option<NonZeroU64>,
}

impl Bandwidth {
    /// Whether there is any limit.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.per_allocation.is_limited() || self.per_user.is_limited() || self.total.is_limited()
    }
}

impl Rate {
    /// Whether there is a limit.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.bytes.is_some() || self.packets.is_some()
    }

    /// The fraction `part / whole` of this rate, at least 1.
    #[must_use]
    pub fn part(self, part: u64, whole: u64) -> Self {
        let part_of = |rate: NonZeroU64| {
            let share = u128::from(rate.get()) * u128::from(part) / u128::from(whole.max(1));
            NonZeroU64::new(u64::try_from(share).unwrap_or(u64::MAX)).unwrap_or(NonZeroU64::MIN)
        };
        Self { bytes: self.bytes.map(part_of), packets: self.packets.map(part_of) }
    }
}

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToPeer,
    FromPeer,
}

/// The buckets of all limits.
#[derive(Debug)]
pub(crate) struct BandwidthLimit {
    limits: Bandwidth,
    ports: PortRange,
    /// Indexed by the allocation's port.
    allocations: Vec<Option<Box<Metered>>>,
    users: Users,
    total: Meters,
}

/// The buckets of an allocation, and the place of its user.
#[derive(Debug)]
struct Metered {
    meters: Meters,
    user: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Meters {
    to_peers: Meter,
    from_peers: Meter,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Meter {
    bytes: Bucket,
    packets: Bucket,
}

impl BandwidthLimit {
    /// For allocations with ports in `ports`. `None` if nothing is limited.
    pub(crate) fn new(limits: Bandwidth, ports: PortRange) -> Option<Box<Self>> {
        limits.is_limited().then(|| {
            let allocations = std::iter::repeat_with(|| None).take(usize::from(ports.len())).collect();
            Box::new(Self { limits, ports, allocations, users: Users::default(), total: Meters::default() })
        })
    }

    /// Adds an allocation of a user that has `elsewhere` allocations on other shards.
    pub(crate) fn open(&mut self, port: AllocationPort, user_id: &Arc<str>, elsewhere: u32) {
        let Some(index) = self.index(port) else { return };
        let user = self.users.add(user_id, elsewhere.into());
        if let Some(before) = self.allocations[index].replace(Box::new(Metered { meters: Meters::default(), user })) {
            self.users.remove(before.user);
        }
    }

    /// Removes an allocation.
    pub(crate) fn close(&mut self, port: AllocationPort) {
        let metered = self.index(port).and_then(|index| self.allocations[index].take());
        if let Some(metered) = metered {
            self.users.remove(metered.user);
        }
    }

    /// Sets how many allocations the user has on other shards.
    pub(crate) fn set_elsewhere(&mut self, user_id: &str, elsewhere: u32) {
        self.users.set_elsewhere(user_id, elsewhere.into());
    }

    /// Whether the allocation with `port` may relay a packet with `bytes` bytes of application data now. If so, it is counted.
    ///
    /// # Errors
    ///
    /// The limit that it exceeds.
    pub(crate) fn admit(
        &self,
        now: Timestamp,
        port: AllocationPort,
        direction: Direction,
        bytes: usize,
    ) -> Result<(), DropReason> {
        let Bandwidth { per_allocation, per_user, total } = self.limits;
        let metered = self.index(port).and_then(|index| self.allocations[index].as_ref());
        let user = metered.and_then(|metered| self.users.get(metered.user));
        let limits = [
            (metered.map(|metered| &metered.meters), per_allocation, DropReason::AllocationBandwidth),
            (
                user.map(|user| &user.meters),
                user.map_or(per_user, |user| per_user.part(user.here, user.here + user.elsewhere)),
                DropReason::UserBandwidth,
            ),
            (Some(&self.total), total, DropReason::TotalBandwidth),
        ];
        let bytes = bytes as u64;
        for (meters, rate, reason) in &limits {
            if meters.is_some_and(|meters| !meters.of(direction).has(now, *rate, bytes)) {
                return Err(*reason);
            }
        }
        for (meters, rate, _) in &limits {
            if let Some(meters) = meters {
                meters.of(direction).take(now, *rate, bytes);
            }
        }
        Ok(())
    }

    fn index(&self, port: AllocationPort) -> Option<usize> {
        self.ports.contains(port).then(|| usize::from(port.get() - self.ports.lowest()))
    }
}

impl Meters {
    const fn of(&self, direction: Direction) -> &Meter {
        match direction {
            Direction::ToPeer => &self.to_peers,
            Direction::FromPeer => &self.from_peers,
        }
    }
}

impl Meter {
    fn has(&self, now: Timestamp, rate: Rate, bytes: u64) -> bool {
        self.buckets(rate, bytes)
            .into_iter()
            .flatten()
            .all(|(bucket, filling, tokens)| bucket.has(now, filling, tokens))
    }

    fn take(&self, now: Timestamp, rate: Rate, bytes: u64) {
        for (bucket, filling, tokens) in self.buckets(rate, bytes).into_iter().flatten() {
            bucket.take(now, filling, tokens);
        }
    }

    /// The buckets that are limited, and how many tokens a packet takes from each.
    fn buckets(&self, rate: Rate, bytes: u64) -> [Option<(&Bucket, Filling, u64)>; 2] {
        let filling = |rate: NonZeroU64, least: u64| Filling { rate, burst: rate.get().max(least) };
        [
            rate.bytes.map(|rate| (&self.bytes, filling(rate, LEAST_BURST), bytes)),
            rate.packets.map(|rate| (&self.packets, filling(rate, 1), 1)),
        ]
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1);

    fn packets(per_second: u64) -> Rate {
        Rate { packets: NonZeroU64::new(per_second), bytes: None }
    }

    fn limit(limits: Bandwidth) -> Box<BandwidthLimit> {
        BandwidthLimit::new(limits, PortRange::new(50_000, 50_009).unwrap()).unwrap()
    }

    fn port(number: u16) -> AllocationPort {
        AllocationPort::new(50_000 + number)
    }

    /// How many of ten packets are admitted, and why the others are not.
    fn admitted(limit: &BandwidthLimit, port: AllocationPort, direction: Direction) -> (usize, Option<DropReason>) {
        let results = [(); 10].map(|()| limit.admit(NOW, port, direction, 100));
        (results.iter().filter(|result| result.is_ok()).count(), results[9].err())
    }

    #[test]
    fn nothing_is_metered_where_nothing_is_limited() {
        assert!(BandwidthLimit::new(Bandwidth::default(), PortRange::DYNAMIC).is_none());
    }

    #[test]
    fn each_limit_holds_and_is_named_and_each_direction_counts_by_itself() {
        let limits = Bandwidth { per_allocation: packets(3), per_user: packets(5), total: packets(7) };
        let mut limit = limit(limits);
        let [alice, bob] = ["alice", "bob"].map(Arc::<str>::from);
        for (number, user) in [(0, &alice), (1, &alice), (2, &bob)] {
            limit.open(port(number), user, 0);
        }
        for direction in [Direction::ToPeer, Direction::FromPeer] {
            assert_eq!(admitted(&limit, port(0), direction), (3, Some(DropReason::AllocationBandwidth)));
            assert_eq!(admitted(&limit, port(1), direction), (2, Some(DropReason::UserBandwidth)));
            assert_eq!(admitted(&limit, port(2), direction), (2, Some(DropReason::TotalBandwidth)));
        }
    }

    #[test]
    fn what_is_refused_by_one_limit_counts_against_none() {
        let per_allocation = Rate { bytes: NonZeroU64::new(70_000), packets: None };
        let mut limit = limit(Bandwidth { per_allocation, per_user: packets(4), total: Rate::default() });
        limit.open(port(0), &"alice".into(), 0);
        let admit = |bytes| limit.admit(NOW, port(0), Direction::ToPeer, bytes);
        assert_eq!(admit(60_000), Ok(()));
        assert_eq!([(); 9].map(|()| admit(60_000)), [Err(DropReason::AllocationBandwidth); 9]);
        assert_eq!([(); 4].map(|()| admit(10)), [Ok(()), Ok(()), Ok(()), Err(DropReason::UserBandwidth)]);
    }

    #[test]
    fn the_largest_datagram_passes_however_low_the_rate() {
        let total = Rate { bytes: NonZeroU64::new(1), packets: None };
        let limit = limit(Bandwidth { total, ..Bandwidth::default() });
        assert_eq!(limit.admit(NOW, port(0), Direction::ToPeer, 65_535), Ok(()));
        assert_eq!(limit.admit(NOW, port(0), Direction::ToPeer, 2), Err(DropReason::TotalBandwidth));
    }

    #[test]
    fn shards_divide_what_a_user_may_by_the_users_allocations_on_each() {
        let mut limit = limit(Bandwidth { per_user: packets(8), ..Bandwidth::default() });
        let alice: Arc<str> = "alice".into();
        limit.open(port(0), &alice, 3);
        assert_eq!(admitted(&limit, port(0), Direction::ToPeer).0, 2);
        limit.set_elsewhere("alice", 1);
        assert_eq!(admitted(&limit, port(0), Direction::ToPeer).0, 2, "two of four are used up");
        limit.set_elsewhere("alice", 0);
        limit.open(port(1), &alice, 0);
        assert_eq!(admitted(&limit, port(1), Direction::ToPeer).0, 4);
        assert_eq!(packets(8).part(1, 100), packets(1), "a little is left for each");
    }

    #[test]
    fn what_has_ended_leaves_nothing() {
        let mut limit = limit(Bandwidth { per_user: packets(8), ..Bandwidth::default() });
        for round in 0..3 {
            for number in 0..10 {
                limit.open(port(number), &format!("user{}", (number + round) % 4).into(), 0);
            }
            (0..10).for_each(|number| limit.close(port(number)));
            limit.close(port(3));
            assert!(limit.users.is_empty() && limit.allocations.iter().all(Option::is_none));
        }
    }
}
