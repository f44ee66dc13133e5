use std::{
    fmt,
    hash::Hasher,
    net::{IpAddr, SocketAddr},
};

use foldhash::{SharedSeed, fast::FoldHasher};
use rand::RngCore;

use crate::{ChannelNumber, FiveTuple, PeerSocket};

/// A hash function keyed from the caller's random number generator: attackers cannot predict it, and the same seed gives
/// the same hashes.
///
/// It is foldhash, which is fast on the short keys of the data path and takes its seeds as arguments. foldhash does
/// not resist an attacker who sees hashes or the order of a table. Neither leaves the process, and only
/// authenticated clients add keys to tables.
pub struct KeyedHash {
    seed: u64,
    shared: SharedSeed,
}

impl KeyedHash {
    /// With keys drawn from `rng`.
    pub fn new(rng: &mut impl RngCore) -> Self {
        Self { seed: rng.next_u64(), shared: SharedSeed::from_u64(rng.next_u64()) }
    }

    /// The hash of a number.
    #[inline]
    #[must_use]
    pub fn number(&self, number: u64) -> u64 {
        let mut hasher = self.hasher();
        hasher.write_u64(number);
        hasher.finish()
    }

    pub(crate) fn five_tuple(&self, five_tuple: &FiveTuple) -> u64 {
        let mut hasher = self.hasher();
        write_address(&mut hasher, five_tuple.client.address());
        match five_tuple.server {
            IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => hasher.write_u128(ip.to_bits()),
        }
        hasher.finish()
    }

    pub(crate) fn peer(&self, peer: PeerSocket) -> u64 {
        let mut hasher = self.hasher();
        write_address(&mut hasher, peer.address());
        hasher.finish()
    }

    pub(crate) fn address(&self, address: IpAddr) -> u64 {
        let mut hasher = self.hasher();
        match address {
            IpAddr::V4(ip) => hasher.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => hasher.write_u128(ip.to_bits()),
        }
        hasher.finish()
    }

    pub(crate) fn channel(&self, number: ChannelNumber) -> u64 {
        let mut hasher = self.hasher();
        hasher.write_u16(number.get());
        hasher.finish()
    }

    pub(crate) fn user_id(&self, id: &str) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(id.as_bytes());
        hasher.finish()
    }

    fn hasher(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.seed, &self.shared)
    }
}

/// Writes as few words as possible: the standard library's `Hash` for addresses writes several times as many.
fn write_address(hasher: &mut FoldHasher<'_>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => hasher.write_u64((u64::from(v4.ip().to_bits()) << 16) | u64::from(v4.port())),
        SocketAddr::V6(v6) => {
            hasher.write_u128(v6.ip().to_bits());
            hasher.write_u64((u64::from(v6.scope_id()) << 16) | u64::from(v6.port()));
        }
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedHash").finish_non_exhaustive()
    }
}
