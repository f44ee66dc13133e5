use std::{
    hash::{DefaultHasher, Hasher as _},
    num::NonZeroU32,
};

use allocation::Timestamp;

use super::REPLY_BURST_SECONDS;

/// Token buckets for any number of holders in fixed memory. Each holder has two buckets and draws from the fuller one. So another
/// holder that happens to share one of them cannot take all its tokens.
#[derive(Debug)]
pub(super) struct Buckets {
    buckets: Box<[Bucket]>,
    /// The capacity of one bucket, in tokens.
    burst: u32,
    /// The time in which a bucket regains one token, in nanoseconds.
    refill: u64,
}

/// A zeroed bucket is full, so the memory of unused buckets is never touched.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The number of missing tokens.
    taken: u32,
    /// The time of the last refill, in units of [`Buckets::refill`].
    refilled: u32,
}

impl Buckets {
    /// Gives each holder `per_second` tokens, half of them in each of its buckets. Rounds `places` up to a power of two.
    pub(super) fn new(places: usize, per_second: NonZeroU32) -> Self {
        let per_bucket = per_second.get().div_ceil(2);
        Self {
            buckets: vec![Bucket::default(); places.next_power_of_two()].into_boxed_slice(),
            burst: per_bucket.saturating_mul(REPLY_BURST_SECONDS),
            refill: (1_000_000_000 / u64::from(per_bucket)).max(1),
        }
    }

    /// The most tokens that a holder can have.
    pub(super) const fn burst(&self) -> u32 {
        self.burst.saturating_mul(2)
    }

    /// How many tokens the two buckets of a holder lack, given the holder's hash.
    pub(super) fn taken(&mut self, now: Timestamp, holder: u64) -> u32 {
        self.places(holder).into_iter().map(|place| self.refilled(now, place).taken).fold(0, u32::saturating_add)
    }

    /// Whether the holder has a token left.
    pub(super) fn has_any(&mut self, now: Timestamp, holder: u64) -> bool {
        self.taken(now, holder) < self.burst()
    }

    /// Takes a token if there is one. Returns whether there was.
    pub(super) fn take_if_any(&mut self, now: Timestamp, holder: u64) -> bool {
        let may = self.has_any(now, holder);
        if may {
            self.take(holder);
        }
        may
    }

    /// Takes a token. Call [`Self::taken`] first, with the current time.
    pub(super) fn take(&mut self, holder: u64) {
        let [one, other] = self.places(holder);
        let fuller = if self.buckets[one].taken <= self.buckets[other].taken { one } else { other };
        let bucket = &mut self.buckets[fuller];
        bucket.taken = (bucket.taken + 1).min(self.burst);
    }

    /// Returns a token, unless the buckets are full.
    pub(super) fn give_back(&mut self, now: Timestamp, holder: u64) {
        let emptier = self.places(holder).into_iter().max_by_key(|place| self.refilled(now, *place).taken);
        if let Some(place) = emptier {
            let bucket = &mut self.buckets[place];
            bucket.taken = bucket.taken.saturating_sub(1);
        }
    }

    /// The buckets that are not full at `now`, as (place, missing tokens, time of the last refill).
    pub(super) fn taken_places(&self, now: Timestamp) -> Vec<(u16, u32, u32)> {
        let unit = self.unit(now);
        let buckets = (0..).zip(&self.buckets);
        let taken = buckets.filter(|(_, bucket)| bucket.taken > unit.wrapping_sub(bucket.refilled));
        taken.map(|(place, bucket)| (place, bucket.taken, bucket.refilled)).collect()
    }

    /// Restores the buckets that [`Self::taken_places`] returned.
    pub(super) fn put_back(&mut self, taken: &[(u16, u32, u32)]) {
        for (place, taken, refilled) in taken {
            if let Some(bucket) = self.buckets.get_mut(usize::from(*place)) {
                *bucket = Bucket { taken: (*taken).min(self.burst), refilled: *refilled };
            }
        }
    }

    // Wraps after months. A bucket that was not used for that long may be refilled late.
    fn unit(&self, now: Timestamp) -> u32 {
        u32::try_from((now.as_nanos() / self.refill) & u64::from(u32::MAX)).unwrap_or_default()
    }

    fn refilled(&mut self, now: Timestamp, place: usize) -> &mut Bucket {
        let unit = self.unit(now);
        let bucket = &mut self.buckets[place];
        bucket.taken = bucket.taken.saturating_sub(unit.wrapping_sub(bucket.refilled));
        bucket.refilled = unit;
        bucket
    }

    fn places(&self, holder: u64) -> [usize; 2] {
        let mask = self.buckets.len() - 1;
        [holder, holder >> 32].map(|bits| usize::try_from(bits & 0xFFFF_FFFF).unwrap_or_default() & mask)
    }
}

/// Hashes a holder's number with a secret key.
pub(super) fn hash(key: u64, number: u64, is_v4: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    hasher.write_u64(number);
    hasher.write_u8(is_v4.into());
    hasher.finish()
}
