//! Limits the replies to senders that have shown no credentials.
//!
//! Anybody can send a request in another host's name, so a relay that answers everything floods others on request. And anybody can
//! send many requests in the name of one network, so a limit that this network shares locks its clients out. Hence two levels: each
//! address has a budget of its own, and each prefix (/24, /56) has twice that budget, half of which only addresses may use that have
//! taken little of theirs. Answers to Binding and challenges have budgets of their own.
//!
//! Not limited: a client that has an allocation and asks for its address (Binding), and whoever knows the password. A challenge that
//! is no longer than the request in front of it counts against the budget of its address only, since it amplifies nothing. Whoever
//! shows a nonce that this relay sent to its address has a budget that nobody can use up in its name.

mod buckets;
mod snapshot;

use std::{net::IpAddr, num::NonZeroU32};

use allocation::Timestamp;
use rand::RngCore;

use self::buckets::Buckets;
pub(crate) use self::snapshot::ReplyLimitSnapshot;

/// How many seconds' worth of replies are given at once after a time of silence.
pub const REPLY_BURST_SECONDS: u32 = 4;

/// How much more than one address a prefix gets.
const ADDRESSES_PER_PREFIX: u32 = 2;

/// An address that has taken less than this part of its burst may use the reserved half of its prefix's budget.
const MODEST_PART: u32 = 16;

/// How many buckets there are for addresses, and for prefixes. Each address and each prefix has two of them.
const ADDRESS_BUCKETS: usize = 32_768;
const PREFIX_BUCKETS: usize = 8_192;

/// What a reply to somebody without credentials is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplyKind {
    /// The answer to a Binding request.
    Binding,
    /// An error response to a request that is not authenticated, most often 401 with a nonce.
    Challenge,
}

/// Counts replies by address and by prefix, in a fixed amount of memory.
#[derive(Debug)]
pub(crate) struct ReplyLimit {
    per_second: NonZeroU32,
    bindings: Budgets,
    challenges: Budgets,
    /// Of addresses that have shown a nonce.
    proven: Buckets,
    /// So that nobody can tell which addresses share a bucket.
    key: [u64; 2],
}

/// The budgets of one kind of reply.
#[derive(Debug)]
struct Budgets {
    addresses: Buckets,
    prefixes: Buckets,
}

impl ReplyLimit {
    /// Gives each address `per_second` replies of each kind, and [`REPLY_BURST_SECONDS`] times as many at once.
    pub(crate) fn new(per_second: NonZeroU32, rng: &mut impl RngCore) -> Self {
        let budgets = || Budgets {
            addresses: Buckets::new(ADDRESS_BUCKETS, per_second),
            prefixes: Buckets::new(PREFIX_BUCKETS, per_second.saturating_mul(TWO)),
        };
        let proven = Buckets::new(ADDRESS_BUCKETS, per_second);
        let key = [rng.next_u64(), rng.next_u64()];
        Self { per_second, bindings: budgets(), challenges: budgets(), proven, key }
    }

    /// Whether `to` may be sent a reply of this kind; if so, it counts as sent.
    pub(crate) fn take(&mut self, now: Timestamp, to: IpAddr, kind: ReplyKind) -> bool {
        let address = self.address(to);
        // What a flood in one address's name costs ends here.
        if !self.budgets(kind).addresses.has_any(now, address) {
            return false;
        }
        let prefix = self.prefix(to);
        let Budgets { addresses, prefixes } = self.budgets(kind);
        let is_modest = addresses.taken(now, address) < addresses.burst() / MODEST_PART;
        let most = if is_modest { prefixes.burst() } else { prefixes.burst() / ADDRESSES_PER_PREFIX };
        if prefixes.taken(now, prefix) >= most {
            return false;
        }
        addresses.take(address);
        prefixes.take(prefix);
        true
    }

    /// Whether `to` may be sent a reply that is no longer than what it answers; if so, it counts as sent.
    pub(crate) fn take_from_address(&mut self, now: Timestamp, to: IpAddr, kind: ReplyKind) -> bool {
        let address = self.address(to);
        self.budgets(kind).addresses.take_if_any(now, address)
    }

    /// Whether `to` may be refused once more if `has_shown_nonce`; if so, that counts.
    pub(crate) fn take_proven(&mut self, now: Timestamp, to: IpAddr, has_shown_nonce: impl FnOnce() -> bool) -> bool {
        let address = self.address(to);
        // The nonce is looked at last, since that costs most.
        self.proven.has_any(now, address) && has_shown_nonce() && self.proven.take_if_any(now, address)
    }

    /// `to` has answered a challenge: that one does not count.
    pub(crate) fn give_back(&mut self, now: Timestamp, to: IpAddr) {
        let (address, prefix) = (self.address(to), self.prefix(to));
        self.challenges.addresses.give_back(now, address);
        self.challenges.prefixes.give_back(now, prefix);
    }

    const fn budgets(&mut self, kind: ReplyKind) -> &mut Budgets {
        match kind {
            ReplyKind::Binding => &mut self.bindings,
            ReplyKind::Challenge => &mut self.challenges,
        }
    }

    /// A hash of the address.
    fn address(&self, of: IpAddr) -> u64 {
        let (is_v4, network) = network(of);
        buckets::hash(self.key[0], network, is_v4)
    }

    /// A hash of its prefix.
    fn prefix(&self, of: IpAddr) -> u64 {
        let (is_v4, network) = network(of);
        buckets::hash(self.key[1], network >> 8, is_v4)
    }
}

/// What one subscriber has counts as one address: an IPv4 address, or an IPv6 /64. Whether it is the former, and its bits.
fn network(of: IpAddr) -> (bool, u64) {
    match of.to_canonical() {
        IpAddr::V4(ip) => (true, ip.to_bits().into()),
        IpAddr::V6(ip) => (false, u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
    }
}

/// [`ADDRESSES_PER_PREFIX`].
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(ADDRESSES_PER_PREFIX - 1);

#[cfg(test)]
mod tests;
