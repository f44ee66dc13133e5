use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use relay_server::Timestamp;

/// How many replies a bucket gives at once.
const BURST: u32 = 128;
/// And how many more in each second.
const PER_SECOND: u64 = 4;

/// How many buckets there are; each prefix has two of them.
const BUCKETS: usize = 8_192;

/// Limits the replies to whoever has not shown a credential, so that nobody can have this relay flood others by asking in their
/// name: by prefix, /24 or /56, since who forges one address of a network can forge all.
///
/// Clients that authenticate give back what their first, unauthenticated request took, so that many clients behind one NAT do
/// not run out. The memory is fixed. Prefixes share buckets by chance: two of them, so that a flood from one prefix does not
/// take both buckets of another.
pub(super) struct ReplyLimit {
    buckets: Box<[Bucket]>,
    /// So that nobody can tell which prefixes share a bucket.
    key: u64,
}

/// All zeros is a full bucket, so what is not used takes no memory.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// How many replies were taken and are not refilled.
    taken: u32,
    /// When it was refilled, in units of the time that one reply takes to refill.
    refilled: u32,
}

impl ReplyLimit {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, "reply limit").hash(&mut hasher);
        Self { buckets: vec![Bucket::default(); BUCKETS].into_boxed_slice(), key: hasher.finish() }
    }

    /// Whether `to` may be sent a reply; if so, it counts as sent.
    pub(super) fn take(&mut self, now: Timestamp, to: IpAddr) -> bool {
        let index = self.fuller(now, to);
        let bucket = &mut self.buckets[index];
        let may = bucket.taken < BURST;
        bucket.taken += u32::from(may);
        may
    }

    /// `to` has authenticated: it is no stranger, and what it took as one does not count.
    pub(super) fn give_back(&mut self, now: Timestamp, to: IpAddr) {
        for index in self.places(to) {
            let bucket = self.refill(now, index);
            if bucket.taken > 0 {
                bucket.taken -= 1;
                return;
            }
        }
    }

    /// The bucket of `to` that has more left.
    fn fuller(&mut self, now: Timestamp, to: IpAddr) -> usize {
        let [one, other] = self.places(to);
        if self.refill(now, one).taken <= self.refill(now, other).taken { one } else { other }
    }

    fn refill(&mut self, now: Timestamp, index: usize) -> &mut Bucket {
        // Wraps after some decades.
        let unit = now.as_nanos() / (1_000_000_000 / PER_SECOND);
        let unit = u32::try_from(unit & u64::from(u32::MAX)).unwrap_or_default();
        let bucket = &mut self.buckets[index];
        bucket.taken = bucket.taken.saturating_sub(unit.wrapping_sub(bucket.refilled));
        bucket.refilled = unit;
        bucket
    }

    fn places(&self, of: IpAddr) -> [usize; 2] {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        match of {
            IpAddr::V4(address) => address.octets()[..3].hash(&mut hasher),
            IpAddr::V6(address) => address.octets()[..7].hash(&mut hasher),
        }
        let hash = hasher.finish();
        let place = |bits: u64| usize::try_from(bits % (BUCKETS as u64)).unwrap_or_default();
        [place(hash), place(hash >> 32)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: &str = "192.0.2.1";
    const MOST: u32 = 2 * BURST;

    fn limit() -> ReplyLimit {
        ReplyLimit::new(&[7; 32])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn taken(limit: &mut ReplyLimit, now: Timestamp, to: IpAddr) -> u32 {
        (0..).take_while(|_| limit.take(now, to)).count().try_into().unwrap()
    }

    #[test]
    fn a_burst_and_then_a_few_per_second() {
        let mut limit = limit();
        assert_eq!(taken(&mut limit, Timestamp::ZERO, ip(STRANGER)), MOST);
        for second in 1..=3 {
            // Both buckets are refilled.
            let some = taken(&mut limit, Timestamp::from_secs(second), ip(STRANGER));
            assert_eq!(u64::from(some), 2 * PER_SECOND);
        }
        assert_eq!(taken(&mut limit, Timestamp::from_secs(1_000), ip(STRANGER)), MOST);
    }

    #[test]
    fn by_prefix() {
        let mut limit = limit();
        for (one, same, other) in
            [(STRANGER, "192.0.2.254", "192.0.3.1"), ("2001:db8:1:2::1", "2001:db8:1:ff::1", "2001:db8:1:100::1")]
        {
            assert!(taken(&mut limit, Timestamp::ZERO, ip(one)) > 0);
            assert!(!limit.take(Timestamp::ZERO, ip(same)));
            assert!(limit.take(Timestamp::ZERO, ip(other)));
        }
    }

    #[test]
    fn who_authenticates_does_not_run_out() {
        let mut limit = limit();
        for _ in 0..10 * MOST {
            assert!(limit.take(Timestamp::ZERO, ip(STRANGER)));
            limit.give_back(Timestamp::ZERO, ip(STRANGER));
        }
        // And gains nothing beyond that.
        assert_eq!(taken(&mut limit, Timestamp::ZERO, ip(STRANGER)), MOST);
    }

    #[test]
    fn others_are_not_locked_out_by_one() {
        let mut limit = limit();
        taken(&mut limit, Timestamp::ZERO, ip(STRANGER));
        for third in 0..=255 {
            for second in 0..=3 {
                assert!(limit.take(Timestamp::ZERO, IpAddr::from([198, second, third, 1])));
            }
        }
    }
}
