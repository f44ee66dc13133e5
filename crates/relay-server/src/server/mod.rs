//! The state machine: the struct and its inputs and outputs here, each concern in a file of its own.

mod bandwidth;
mod borrowing;
mod crossings;
mod dont_fragment;
mod flows;
mod icmp;
mod indicated_flows;
mod indications;
mod inherit;
#[cfg(feature = "invariants")]
mod invariants;
mod opening;
mod peers;
mod quota;
mod relay_path;
mod removal;
mod request;
mod shard_messages;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use allocation::{Allocation, Allocations, ChannelNumber};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use stun_msg::{ClassicBinding, Classified, ClassifyError, SendIndication, classify};
use turn_auth::{AcceptedCredentials, Authenticator, NonceIssuer, RealmError, UnixTime};

use crate::{
    AddressStatus, AddressStatuses, AllocationId, AllocationPort, Config, DropReason, Event, Families, Family,
    FiveTuple, Forward, Output, OwnAddresses, PeerPolicy, PeerSocket, PortRange, QuotaHolder, RelayOpenError,
    RemovalReason, ShardId, Timestamp, TooEarly, bandwidth::BandwidthLimit, borrowings::Borrowings,
    crossings::Crossings, icmp_limit::IcmpLimit, indicated_peers::IndicatedPeers,
    pending_allocation::PendingAllocation, remote_quota::RemoteQuota, reply_limit::ReplyLimit,
    transaction_ids::TransactionIds, wall_clock::WallClock,
};

/// A STUN/TURN relay without its sockets.
///
/// Pass every datagram, every result of an [`Output::OpenRelay`] and every time-out to a `handle_*` method. After each of
/// them, take outputs from [`Self::poll_output`] until it returns `None`, then wait until [`Self::poll_timeout`] at the latest.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) authenticator: Authenticator,
    pub(crate) allocations: Allocations,
    pub(crate) pending: BTreeMap<AllocationId, PendingAllocation>,
    pub(crate) remote_quota: RemoteQuota,
    pub(crate) crossings: Crossings,
    /// `None` if replies are not limited.
    pub(crate) replies: Option<ReplyLimit>,
    /// `None` if bandwidth is not limited.
    pub(crate) bandwidth: Option<Box<BandwidthLimit>>,
    pub(crate) shard: ShardId,
    pub(crate) shard_count: u16,
    pub(crate) ports_of_all_shards: PortRange,
    pub(crate) transaction_ids: TransactionIds,
    pub(crate) icmp_limit: IcmpLimit,
    pub(crate) borrowings: Borrowings,
    pub(crate) draining: bool,
    pub(crate) address_status: AddressStatuses,
    /// Whether there may be permissions for addresses that are allowed at some ports only.
    pub(crate) has_limited_permissions: bool,
    /// Whether the data path of indications must check more than permissions: allowed ports, limits on bandwidth, or peers to
    /// remember.
    pub(crate) examines_indications: bool,
    pub(crate) indicated_peers: IndicatedPeers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) wall_clock: WallClock,
}

impl Server {
    /// A server with no allocations. `accepted` are the credentials it accepts; an [`AuthSecret`](crate::AuthSecret) accepts
    /// those of the deployed system. `seed` makes every random choice (ports, nonces, tokens) repeatable, and `unix_time` is the
    /// wall-clock time at `now`.
    ///
    /// # Errors
    ///
    /// When the configured realm cannot be a REALM.
    pub fn new(
        config: Config,
        accepted: impl Into<Arc<AcceptedCredentials>>,
        seed: [u8; 32],
        now: Timestamp,
        unix_time: UnixTime,
    ) -> Result<Self, RealmError> {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut draw = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let accepted = accepted.into();
        let nonces = NonceIssuer::from_credentials(&accepted).unwrap_or_else(|| {
            // From a separate stream, so that all other draws are the same for all credentials.
            let mut rng = ChaCha20Rng::from_seed(seed);
            rng.set_stream(1);
            let mut key = [0; 32];
            rng.fill_bytes(&mut key);
            NonceIssuer::new(key)
        });
        let nonces = nonces.with_period(config.nonce_lifetime.as_secs());
        let bandwidth = BandwidthLimit::new(config.bandwidth, config.ports);
        let is_bandwidth_limited = bandwidth.is_some();
        let indicated_peers = IndicatedPeers::of_config(&config, is_bandwidth_limited);
        Ok(Self {
            allocations: Allocations::new(config.ports, draw()).with_limits(config.limits),
            authenticator: Authenticator::new(accepted, nonces, &config.realm)?,
            // New draws come last, so that older ones keep their values for a seed.
            crossings: Crossings::new(&mut rng),
            replies: config.reply_limit.map(|per_second| ReplyLimit::new(per_second, &mut rng)),
            transaction_ids: TransactionIds::new(&mut rng),
            icmp_limit: IcmpLimit::default(),
            bandwidth,
            shard: ShardId::new(0),
            shard_count: 1,
            ports_of_all_shards: config.ports,
            borrowings: Borrowings::default(),
            address_status: AddressStatuses::default(),
            has_limited_permissions: false,
            examines_indications: is_bandwidth_limited || indicated_peers.are_wanted(),
            indicated_peers,
            config,
            pending: BTreeMap::new(),
            remote_quota: RemoteQuota::default(),
            draining: false,
            outputs: VecDeque::new(),
            wall_clock: WallClock::new(now, unix_time),
        })
    }

    /// Makes the server one of `count` shards of a relay, whose ports are all within `ports`. Each shard owns some of them, or none
    /// ([`Config::ports`]). A shard that has none left borrows from another.
    #[must_use]
    pub fn as_shard(mut self, shard: ShardId, count: u16, ports: PortRange) -> Self {
        self.allocations = self.allocations.with_ports_of_all_shards(ports);
        self.bandwidth = BandwidthLimit::new(self.config.bandwidth, ports);
        (self.shard, self.shard_count, self.ports_of_all_shards) = (shard, count, ports);
        self
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The live allocations. The same inputs give the same order. For inspection, not for the data path.
    pub fn allocations(&self) -> impl Iterator<Item = &Allocation> {
        self.allocations.iter()
    }

    /// The live allocation whose id has this number.
    #[must_use]
    pub fn allocation(&self, number: u64) -> Option<&Allocation> {
        self.allocations.get(self.allocations.id_of(number)?)
    }

    /// How many allocations are live.
    #[must_use]
    pub fn allocation_count(&self) -> usize {
        self.allocations.len()
    }

    /// Sets the wall-clock time at `now`. It is assumed to advance with `now` until the next call. A jump of a minute or more
    /// since the last call is reported as [`Event::WallClockJumped`].
    pub fn handle_wall_clock(&mut self, now: Timestamp, unix_time: UnixTime) {
        if self.wall_clock.has_jumped(now, unix_time) {
            self.emit(Event::WallClockJumped { from: self.wall_clock.at(now), to: unix_time });
        }
        self.wall_clock = WallClock::new(now, unix_time);
    }

    /// Handles a datagram to the listening port. Returns the data to relay, if it is ChannelData of a bound channel, or a Send
    /// indication to a peer for which there is a permission.
    pub fn handle_client_datagram(&mut self, now: Timestamp, from: FiveTuple, datagram: &[u8]) -> Option<Forward> {
        let mut refused = None;
        let forward = self.route_client_datagram(now, from, datagram, &mut refused);
        if let Some(reason) = refused {
            self.drop_from_client(from, reason);
        }
        forward
    }

    /// Like [`Self::handle_client_datagram`], for a caller whose queues let data overtake the request that it was sent after.
    /// Application data without a channel or permission is not handled. Pass it again after all requests that arrived before it,
    /// and at last to [`Self::handle_client_datagram`].
    ///
    /// Real clients send data right after CreatePermission or ChannelBind, without waiting for the response.
    ///
    /// # Errors
    ///
    /// When the datagram was not handled. Nothing has changed then.
    pub fn handle_client_datagram_in_order(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
    ) -> Result<Option<Forward>, TooEarly> {
        let mut refused = None;
        let forward = self.route_client_datagram(now, from, datagram, &mut refused);
        match refused {
            None => {}
            Some(DropReason::NoChannel | DropReason::NoPermission) => return Err(TooEarly),
            Some(reason) => self.drop_from_client(from, reason),
        }
        Ok(forward)
    }

    /// The reason for a refusal goes to `refused` instead of a `Result`, so that the large [`Forward`] is not moved.
    #[expect(clippy::inline_always, reason = "a call more costs the data path a tenth of its instructions")]
    #[inline(always)]
    fn route_client_datagram(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
        refused: &mut Option<DropReason>,
    ) -> Option<Forward> {
        self.expire_if_due(now);
        if self.bandwidth.is_some() {
            *refused = self.admit_channel_data(now, &from, datagram).err();
            if refused.is_some() {
                return None;
            }
        }
        match classify(datagram) {
            Ok(Classified::ChannelData(data)) => match ChannelNumber::new(data.channel) {
                Some(channel) => return self.relay_from_client(from, channel, data.payload, refused),
                None => *refused = Some(DropReason::NotStunNorChannelData),
            },
            Ok(Classified::Stun) if self.config.indications && SendIndication::is_send(datagram) => {
                return self.relay_send(now, from, datagram, refused);
            }
            Ok(Classified::Stun) => self.handle_stun(now, from, datagram),
            Err(error) => *refused = self.handle_unclassified(now, from, datagram, error).err(),
        }
        None
    }

    /// A datagram that is neither STUN nor ChannelData may be an RFC 3489 request, without the magic cookie. Kept out of the
    /// data path.
    #[inline(never)]
    fn handle_unclassified(
        &mut self,
        now: Timestamp,
        from: FiveTuple,
        datagram: &[u8],
        error: ClassifyError,
    ) -> Result<(), DropReason> {
        let request = ClassicBinding::parse(datagram).ok_or_else(|| DropReason::of_unclassified(error))?;
        self.handle_classic_binding(now, from, request);
        Ok(())
    }

    /// Handles a datagram to a relayed transport address. Returns the data to relay, if a channel is bound to `peer` or
    /// there is a permission for its address.
    #[expect(clippy::inline_always, reason = "a call more costs the data path a fifth of its instructions")]
    #[inline(always)]
    pub fn handle_peer_datagram(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        peer: PeerSocket,
        datagram: &[u8],
    ) -> Option<Forward> {
        self.expire_if_due(now);
        if self.bandwidth.is_some() && !self.admit_from_peer(now, port, peer, datagram.len()) {
            return None;
        }
        self.relay_from_peer(port, peer, datagram.len())
    }

    /// Reports the result of [`Output::ClaimQuota`] for `id`: whether one more allocation of the holder was counted.
    pub fn handle_quota_claimed(&mut self, now: Timestamp, id: AllocationId, holder: QuotaHolder, is_granted: bool) {
        self.expire_if_due(now);
        self.quota_claimed(id, holder, is_granted);
    }

    /// Reports the result of the last [`Output::OpenRelay`] for `id`.
    pub fn handle_relay_opened(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) {
        self.expire_if_due(now);
        self.relay_opened(now, id, family, result);
    }

    /// Ends an allocation whose open relay socket has failed for good.
    pub fn handle_relay_failed(&mut self, id: AllocationId) {
        self.remove_allocation(id, RemovalReason::RelayFailed);
    }

    /// Sets the accepted credentials, for the same realm. Allocations live on, and are refreshed with the credentials that they were
    /// made with.
    pub fn handle_accepted_credentials(&mut self, accepted: Arc<AcceptedCredentials>) {
        self.authenticator.accept(accepted);
    }

    /// Sets the relay's addresses. Allocations live on. Channels and permissions end if the peer policy now denies their peers, for
    /// example because these are on the relay's machine.
    pub fn handle_own_addresses(&mut self, addresses: OwnAddresses) {
        let OwnAddresses { own, status } = addresses;
        self.address_status = status;
        if self.config.own_addresses != own {
            self.config.own_addresses = own;
            self.revoke_peers();
        }
    }

    /// Sets the peer policy. Channels and permissions whose peers it denies end, and their flows are removed.
    pub fn handle_peer_policy(&mut self, policy: Arc<PeerPolicy>) {
        self.config.peer_policy = policy;
        self.revoke_peers();
    }

    /// Refuses new allocations from now on. Existing ones live on.
    pub const fn handle_drain(&mut self) {
        self.draining = true;
    }

    /// Does everything that is due at `now`. Afterwards [`Self::poll_timeout`] is `None` or later than `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.expire_if_due(now);
    }

    /// When to call [`Self::handle_timeout`] next; `None` if nothing is due. O(1). Changes only in `handle_*` methods.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.allocations.poll_timeout()
    }

    /// Whether the last datagram was not answered because of [`Config::reply_limit`]. It has changed nothing, so a recording may
    /// leave it out. Call this before taking outputs.
    #[must_use]
    pub fn has_withheld_reply(&self) -> bool {
        matches!(self.outputs.back(), Some(Output::Event(Event::ReplyWithheld { .. })))
    }

    /// The next output. The order is part of the contract: `OpenRelay` comes before the client's success response.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The status of the relay's public address of this family; `None` if there is none.
    pub(crate) fn address_status(&self, family: Family) -> Option<AddressStatus> {
        self.config.relay_addresses.of(family).map(|_| self.address_status.of(family))
    }

    pub(crate) fn unix_time(&self, now: Timestamp) -> UnixTime {
        self.wall_clock.at(now)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Reports that a client's datagram was dropped.
    pub(crate) fn drop_from_client(&mut self, from: FiveTuple, reason: DropReason) {
        self.emit(Event::Dropped { from: from.client.address(), reason });
    }

    /// Reports that a peer's datagram was dropped.
    #[inline(never)]
    pub(crate) fn drop_from_peer(&mut self, peer: PeerSocket, reason: DropReason) {
        self.emit(Event::Dropped { from: peer.address(), reason });
    }

    pub(crate) fn close_relays(&mut self, id: AllocationId, port: AllocationPort, families: Families) {
        for family in families.iter() {
            self.outputs.push_back(Output::CloseRelay { id, port, family });
        }
    }

    /// Whether this is one of several shards.
    pub(crate) const fn has_other_shards(&self) -> bool {
        self.shard_count > 1
    }

    #[inline]
    pub(crate) fn expire_if_due(&mut self, now: Timestamp) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.expire(now);
        }
    }
}
