//! Makes a server from a snapshot.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use allocation::{Allocation, Allocations};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use turn_auth::{AcceptedCredentials, Authenticator, NonceIssuer, RealmError, UnixTime};
use zeroize::Zeroizing;

use super::Snapshot;
use crate::{
    AllocationId, Config, Family, PortRange, Server, bandwidth::BandwidthLimit, borrowings::Borrowings,
    crossings::Crossings, indicated_peers::IndicatedPeers, reply_limit::ReplyLimit, wall_clock::WallClock,
};

/// Why a snapshot cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The configuration has other ports than the server had.
    #[error("the snapshot is of a server with the ports {had}, and the configuration has {configured}")]
    Ports {
        /// The ports in the snapshot.
        had: PortRange,
        /// The ports in the configuration.
        configured: PortRange,
    },
    /// The configured realm cannot be a REALM.
    #[error(transparent)]
    Realm(#[from] RealmError),
    /// The allocations contradict one another. No server has such a state.
    #[error("the snapshot contradicts itself: {0}")]
    Allocations(#[from] allocation::SnapshotError),
    /// Other parts contradict one another.
    #[error("the snapshot contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Snapshot {
    /// Makes a server with this configuration and these credentials. With those that the first server had, the same inputs give
    /// the same outputs. Channels, permissions and flows that the configuration does not allow end, so take the outputs.
    /// Timestamps must have the same epoch.
    ///
    /// # Errors
    ///
    /// When the configuration has other ports or an invalid realm, or the snapshot contradicts itself.
    pub fn restore(
        self,
        config: Config,
        accepted: impl Into<Arc<AcceptedCredentials>>,
    ) -> Result<Server, RestoreError> {
        if self.ports() != config.ports {
            return Err(RestoreError::Ports { had: self.ports(), configured: config.ports });
        }
        let ports_of_all_shards = self.ports_of_all_shards();
        let nonces = NonceIssuer::new(*self.nonce_key).with_period(config.nonce_lifetime.as_secs());
        let authenticator = Authenticator::new(accepted, nonces, &config.realm)?;
        let allocations = self.allocations.restore(config.limits)?;
        check_families(&allocations)?;

        // Only for the keys of hash tables, which no output depends on. They may differ from the first server's.
        let mut rng = ChaCha20Rng::from_seed(*table_seed(&self.nonce_key));
        let mut replies = config.reply_limit.map(|per_second| ReplyLimit::new(per_second, &mut rng));
        if let (Some(replies), Some(snapshot)) = (&mut replies, &self.replies) {
            replies.put_back(snapshot);
        }
        let mut crossings = Crossings::new(&mut rng);
        for (crossing, crossed) in self.crossings {
            if crossings.put_back(crossing, crossed).is_some() {
                return Err(RestoreError::Contradiction("a crossing is there twice"));
            }
        }
        let mut bandwidth = BandwidthLimit::new(config.bandwidth, ports_of_all_shards);
        if let (Some(bandwidth), Some(snapshot)) = (&mut bandwidth, self.bandwidth) {
            bandwidth.put_back(snapshot, |port| {
                let user_id = allocations.by_port(port)?.owner().user_id();
                Some((Arc::clone(user_id), self.remote_quota.count(user_id)))
            });
        }
        let mut indicated_peers = IndicatedPeers::of_config(&config, bandwidth.is_some());
        for (id, peers) in self.indicated_peers {
            let id = find(&allocations, id, "peers of an allocation that is not there")?;
            for peer in peers {
                let permissions = allocations.get(id).map_or(&[][..], Allocation::permissions);
                if !permissions.iter().any(|permission| permission.address() == peer.address().ip()) {
                    return Err(RestoreError::Contradiction("an indicated peer has no permission"));
                }
                // The configuration may allow fewer peers than before.
                indicated_peers.insert(id, peer);
            }
        }
        let mut pending = BTreeMap::new();
        for (id, snapshot) in self.pending {
            let id = find(&allocations, id, "an allocation is being opened that is not there")?;
            let restored = snapshot.restore().ok_or(RestoreError::Contradiction("a key has an impossible length"))?;
            pending.insert(id, restored);
        }
        let mut borrowings = Borrowings { next: self.next_borrowing, lender: self.lender, ..Borrowings::default() };
        for (number, snapshot) in self.borrowings {
            let restored = snapshot.restore().ok_or(RestoreError::Contradiction("a key has an impossible length"))?;
            let five_tuple = restored.request.requester.five_tuple;
            let is_new = borrowings.by_client.insert(five_tuple, number).is_none()
                && borrowings.by_number.insert(number, restored).is_none();
            if !is_new || allocations.by_five_tuple(&five_tuple).is_some() || number >= self.next_borrowing {
                return Err(RestoreError::Contradiction("two requests of one client wait for a port"));
            }
        }
        let (read_at, unix_time) = self.wall_clock;
        let mut server = Server {
            config,
            authenticator,
            allocations,
            pending,
            remote_quota: self.remote_quota,
            crossings,
            replies,
            bandwidth,
            shard: self.shard,
            shard_count: self.shard_count,
            ports_of_all_shards,
            transaction_ids: self.transaction_ids,
            icmp_limit: self.icmp_limit,
            borrowings,
            draining: self.draining,
            address_status: self.address_status,
            has_limited_permissions: false,
            examines_indications: false,
            indicated_peers,
            outputs: VecDeque::new(),
            wall_clock: WallClock::new(read_at, UnixTime(unix_time)),
        };
        server.revoke_peers();
        Ok(server)
    }
}

/// Checks that no channel and no permission is of a family that its allocation does not have.
fn check_families(allocations: &Allocations) -> Result<(), RestoreError> {
    for allocation in allocations.iter() {
        let channels = allocation.channels().iter().map(|channel| channel.peer().address().ip());
        let mut peers = channels.chain(allocation.permissions().iter().map(|permission| permission.address()));
        if !peers.all(|address| allocation.families().contains(Family::of(address))) {
            return Err(RestoreError::Contradiction("an allocation has peers of a family that it does not have"));
        }
    }
    Ok(())
}

fn find(allocations: &Allocations, id: u64, otherwise: &'static str) -> Result<AllocationId, RestoreError> {
    allocations.id_of(id).ok_or(RestoreError::Contradiction(otherwise))
}

/// The seed for hash keys. Not the nonce key itself: an attacker may learn hash keys over time.
fn table_seed(nonce_key: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut rng = ChaCha20Rng::from_seed(*nonce_key);
    rng.set_stream(u64::MAX);
    let mut seed = Zeroizing::new([0; 32]);
    rand::RngCore::fill_bytes(&mut rng, &mut *seed);
    seed
}
