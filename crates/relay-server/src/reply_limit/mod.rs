//! Limits the replies to senders that have shown no credentials.
//!
//! An attacker can forge the source of requests. A relay that answered all of them would flood the forged host. A limit per network
//! would let the attacker lock out all clients of that network. Hence two levels: each address has a budget, and each prefix (/24,
//! /56) has twice that budget, half of which is reserved for addresses that have used little of theirs. Binding responses and
//! challenges have separate budgets.
//!
//! There is no limit for Binding requests of a client that has an allocation, nor for requests signed with the right password. A
//! challenge that is no longer than its request counts only against its address, since it amplifies nothing. A client that shows
//! a nonce that this relay sent to its address has one more budget, which nobody else can use up.

mod buckets;
mod snapshot;

use std::{net::IpAddr, num::NonZeroU32};

use allocation::Timestamp;
use rand::RngCore;

use self::buckets::Buckets;
pub(crate) use self::snapshot::ReplyLimitSnapshot;

/// The burst, in seconds' worth of replies.
pub const REPLY_BURST_SECONDS: u32 = 4;

/// The budget of a prefix, as a multiple of an address's.
const ADDRESSES_PER_PREFIX: u32 = 2;

/// An address that has used less than 1/16 of its burst may use the reserved half of its prefix's budget.
const MODEST_PART: u32 = 16;

/// The number of buckets for addresses, and for prefixes. Each address and each prefix has two of them.
const ADDRESS_BUCKETS: usize = 32_768;
const PREFIX_BUCKETS: usize = 8_192;

/// The kind of a reply to a sender without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplyKind {
    /// A response to a Binding request.
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
    /// The budgets of addresses that have shown a nonce.
    proven: Buckets,
    /// Keys of the hash, so that nobody can find out which addresses share a bucket.
    key: [u64; 2],
}

/// The budgets of one kind of reply.
#[derive(Debug)]
struct Budgets {
    addresses: Buckets,
    prefixes: Buckets,
}

impl ReplyLimit {
    /// Gives each address `per_second` replies of each kind, with a burst of [`REPLY_BURST_SECONDS`].
    pub(crate) fn new(per_second: NonZeroU32, rng: &mut impl RngCore) -> Self {
        let budgets = || Budgets {
            addresses: Buckets::new(ADDRESS_BUCKETS, per_second),
            prefixes: Buckets::new(PREFIX_BUCKETS, per_second.saturating_mul(TWO)),
        };
        let proven = Buckets::new(ADDRESS_BUCKETS, per_second);
        let key = [rng.next_u64(), rng.next_u64()];
        Self { per_second, bindings: budgets(), challenges: budgets(), proven, key }
    }

    /// Whether `to` may be sent a reply of this kind. If so, it is counted.
    pub(crate) fn take(&mut self, now: Timestamp, to: IpAddr, kind: ReplyKind) -> bool {
        let address = self.address(to);
        // For most requests of a flood with one forged address, this is all the work.
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

    /// Whether `to` may be sent a reply that is no longer than its request. If so, it is counted.
    pub(crate) fn take_from_address(&mut self, now: Timestamp, to: IpAddr, kind: ReplyKind) -> bool {
        let address = self.address(to);
        self.budgets(kind).addresses.take_if_any(now, address)
    }

    /// Whether `to` may be sent another error response if `has_shown_nonce`. If so, it is counted.
    pub(crate) fn take_proven(&mut self, now: Timestamp, to: IpAddr, has_shown_nonce: impl FnOnce() -> bool) -> bool {
        let address = self.address(to);
        // The nonce is checked late, since that costs most.
        self.proven.has_any(now, address) && has_shown_nonce() && self.proven.take_if_any(now, address)
    }

    /// Stops counting one challenge to `to`, since it was answered.
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

    /// The hash of the address.
    fn address(&self, of: IpAddr) -> u64 {
        let (is_v4, network) = network(of);
        buckets::hash(self.key[0], network, is_v4)
    }

    /// The hash of its prefix.
    fn prefix(&self, of: IpAddr) -> u64 {
        let (is_v4, network) = network(of);
        buckets::hash(self.key[1], network >> 8, is_v4)
    }
}

/// The address of one subscriber: an IPv4 address, or an IPv6 /64. Returns whether it is IPv4, and its bits.
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
