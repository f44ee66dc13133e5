use std::collections::VecDeque;

use crate::{
    AllocationId, AllocationPort, Config, Family, FiveTuple, Forward, Output, PeerSocket, RelayOpenError, Timestamp,
};

/// A STUN/TURN relay without its sockets.
///
/// Feed every datagram, every answer to [`Output::OpenRelay`] and every time-out to a `handle_*` method; after each of
/// them take outputs from [`Self::poll_output`] until it is empty, then wait no longer than [`Self::poll_timeout`] says.
#[derive(Debug)]
pub struct Server {
    config: Config,
    outputs: VecDeque<Output>,
}

impl Server {
    /// A server with no allocations. `secret` signs credentials, `seed` makes every random choice (ports, nonces, tokens)
    /// repeatable, and `unix_seconds` is the wall-clock time at `now`.
    #[must_use]
    pub fn new(config: Config, secret: &str, seed: [u8; 32], now: Timestamp, unix_seconds: u64) -> Self {
        let _ = (secret, seed, now, unix_seconds);
        Self { config, outputs: VecDeque::new() }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The wall clock says `unix_seconds` at `now`; between two calls it is taken to advance with `now`.
    pub fn handle_wall_clock(&mut self, now: Timestamp, unix_seconds: u64) {
        let _ = (now, unix_seconds);
    }

    /// A datagram arrived at the listening port. Returns what to relay, if it is ChannelData of a bound channel.
    pub fn handle_client_datagram(&mut self, now: Timestamp, from: FiveTuple, datagram: &[u8]) -> Option<Forward> {
        let _ = (now, from, datagram);
        None
    }

    /// A datagram arrived at a relayed transport address. Returns what to relay, if a channel is bound to `peer`.
    pub fn handle_peer_datagram(
        &mut self,
        now: Timestamp,
        port: AllocationPort,
        peer: PeerSocket,
        datagram: &[u8],
    ) -> Option<Forward> {
        let _ = (now, port, peer, datagram);
        None
    }

    /// Answers an [`Output::OpenRelay`].
    pub fn handle_relay_opened(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        family: Family,
        result: Result<(), RelayOpenError>,
    ) {
        let _ = (now, id, family, result);
    }

    /// An open relay socket failed for good: its allocation ends.
    pub fn handle_relay_failed(&mut self, now: Timestamp, id: AllocationId) {
        let _ = (now, id);
    }

    /// `username` has allocated on another shard: its allocations here end, if [`Config::username_limit`] says so.
    pub fn handle_username_moved(&mut self, now: Timestamp, username: &str) {
        let _ = (now, username);
    }

    /// From now on new allocations are refused; existing ones live on.
    pub fn handle_drain(&mut self) {}

    /// Does what is due at `now`; afterwards [`Self::poll_timeout`] is later than `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// When to call [`Self::handle_timeout`] next. O(1); changes only in `handle_*` methods.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many allocations are live.
    #[must_use]
    pub fn allocations(&self) -> usize {
        0
    }
}
