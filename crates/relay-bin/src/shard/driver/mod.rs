//! Connects the state machine of one shard to its sockets, flow table and counters.

mod handover;
#[cfg(test)]
mod inspect;
mod outputs;
mod restart;

use std::{net::IpAddr, sync::Arc, time::Duration};

use relay_server::{
    AcceptedCredentials, AllocationId, AllocationPort, ClientSocket, Family, FiveTuple, Forward, Icmp, PeerPolicy,
    PeerSocket, ShardId, ShardMessage, Timestamp, TooEarly,
};
use turn_auth::UnixTime;
use udp_batch::Cursor;

use super::{
    early::Early,
    ingress::{Datagram, Ingress, ReceiveBuffers},
    limit_warnings::LimitWarnings,
    live_channels::LiveChannels,
    live_permissions::LivePermissions,
    mailbox::Sender,
    memory::Trimmer,
    network::Network,
    refused_indications::RefusedIndications,
    shared_quota::SharedQuota,
    stats::{Counters, Loss, Published},
    withheld_replies::WithheldReplies,
};
use crate::{
    accounting::AccountingSender,
    addresses::AddressState,
    offload::Offload,
    record::{RecordedServer, Recorder},
    throttle::Throttle,
};

/// How often to log refused and revoked peers.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Feeds datagrams, messages and time into the state machine, and carries out its outputs.
pub(super) struct Driver<O> {
    server: RecordedServer,
    offload: O,
    trimmer: Trimmer,
    counters: Counters,
    channels: LiveChannels,
    permissions: LivePermissions,
    refused: RefusedIndications,
    early: Early,
    published: Published,
    others: Vec<(ShardId, Sender)>,
    shared_quota: SharedQuota,
    limit_warnings: LimitWarnings,
    peer_refused: Throttle,
    peer_revoked: Throttle,
    withheld: WithheldReplies,
    accounting: AccountingSender,
    #[cfg(test)]
    fuse: Option<u32>,
}

impl<O: Offload> Driver<O> {
    /// A driver of `server`, which may have allocations already.
    pub(super) fn new(
        server: RecordedServer,
        offload: O,
        published: Published,
        others: Vec<(ShardId, Sender)>,
        accounting: AccountingSender,
    ) -> Self {
        let (channels, permissions) = (LiveChannels::of(server.server()), LivePermissions::of(server.server()));
        Self {
            server,
            offload,
            trimmer: Trimmer::default(),
            counters: Counters::default(),
            channels,
            permissions,
            refused: RefusedIndications::default(),
            early: Early::default(),
            published,
            others,
            shared_quota: SharedQuota::default(),
            limit_warnings: LimitWarnings::new(),
            peer_refused: Throttle::new(TELL_EVERY),
            peer_revoked: Throttle::new(TELL_EVERY),
            withheld: WithheldReplies::default(),
            accounting,
            #[cfg(test)]
            fuse: None,
        }
    }

    /// Counts allocations against limits that hold for all shards together.
    pub(super) fn with_shared_quota(mut self, shared_quota: SharedQuota) -> Self {
        self.shared_quota = shared_quota;
        self
    }

    /// Handles the datagrams in `buffers`, then retries early data if it may succeed now. The contents of `buffers` are invalid
    /// afterwards.
    pub(super) fn handle_datagrams(
        &mut self,
        now: Timestamp,
        network: &mut impl Network,
        buffers: &mut ReceiveBuffers,
    ) {
        self.handle_batch(now, network, buffers);
        while !self.early.is_empty() {
            buffers.clear();
            if !self.early.take(buffers) {
                break;
            }
            self.handle_batch(now, network, buffers);
        }
    }

    /// Retries data that overtook a request, if a request was granted or read since.
    pub(super) fn handle_early(&mut self, now: Timestamp, network: &mut impl Network, buffers: &mut ReceiveBuffers) {
        if self.early.take(buffers) {
            self.handle_datagrams(now, network, buffers);
        }
    }

    /// Whether any data is kept because it may have overtaken a request.
    pub(super) const fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Records that `count` datagrams were read from the request queue of `family`, and whether that emptied it.
    pub(super) const fn note_requests(&mut self, family: Family, count: u64, is_empty: bool) {
        self.early.note_requests(family, count, is_empty);
    }

    fn handle_batch(&mut self, now: Timestamp, network: &mut impl Network, buffers: &mut ReceiveBuffers) {
        let mut cursor = Cursor::default();
        while let Some(datagram) = buffers.next_datagram(&mut cursor) {
            // Each arm forwards its own result: moving it takes as long as a look-up.
            match datagram.tag {
                Ingress::Listener(bound) => match self.handle_client_datagram(now, bound, &datagram, buffers) {
                    Ok(Some(forward)) => network.queue(&datagram, &forward, buffers, &mut self.counters),
                    Ok(None) | Err(TooEarly) => self.do_outputs(now, network, Some(buffers)),
                },
                Ingress::Relay(port) => {
                    let peer = PeerSocket::new(network.peer_address(datagram.from));
                    match self.server.handle_peer_datagram(now, port, peer, &buffers[datagram.range.clone()]) {
                        Some(forward) => network.queue(&datagram, &forward, buffers, &mut self.counters),
                        None => self.do_outputs(now, network, Some(buffers)),
                    }
                }
            }
        }
        network.flush(buffers, &mut self.counters);
        self.settle(now, network);
    }

    /// Handles a datagram of a listening socket; `bound` is the socket's address, `None` if it is bound to all. Data that came too
    /// early is kept.
    fn handle_client_datagram(
        &mut self,
        now: Timestamp,
        bound: Option<IpAddr>,
        datagram: &Datagram,
        buffers: &ReceiveBuffers,
    ) -> Result<Option<Forward>, TooEarly> {
        let Some(from) = five_tuple(bound, datagram) else {
            self.counters.lose(Loss::NoDestination);
            return Ok(None);
        };
        let bytes = &buffers[datagram.range.clone()];
        let since = self.early.next_tried();
        let result = self.server.handle_client_datagram_in_order(now, from, bytes);
        #[cfg(test)]
        self.burn_fuse();
        if result.is_err() && !self.early.keep(datagram, buffers, since) {
            return Ok(self.server.handle_client_datagram(now, from, bytes));
        }
        result
    }

    /// Handles a message of another shard.
    pub(super) fn handle_shard_message(&mut self, now: Timestamp, network: &mut impl Network, message: &ShardMessage) {
        self.server.handle_shard_message(now, message);
        self.settle(now, network);
    }

    /// Records the state at `now`, and all inputs and outputs from then on, with `recorder`; `None` stops recording.
    pub(super) fn record_with(&mut self, now: Timestamp, network: &mut impl Network, recorder: Option<Recorder>) {
        if recorder.is_some() {
            // A snapshot contains neither what is due nor outputs that nobody has taken.
            self.handle_timeout(now, network);
        }
        self.server.record_with(now, recorder);
    }

    /// Replaces the accepted credentials.
    pub(super) fn accept_credentials(&mut self, now: Timestamp, accepted: Arc<AcceptedCredentials>) {
        self.server.handle_accepted_credentials(now, accepted);
    }

    /// Replaces the rules about peers.
    pub(super) fn handle_peer_policy(&mut self, now: Timestamp, network: &mut impl Network, policy: Arc<PeerPolicy>) {
        self.server.handle_peer_policy(now, policy);
        self.settle(now, network);
    }

    /// Ends the allocation `id`: its socket failed.
    pub(super) fn handle_relay_failed(&mut self, now: Timestamp, network: &mut impl Network, id: AllocationId) {
        self.server.handle_relay_failed(now, id);
        self.settle(now, network);
    }

    /// Handles an ICMP error about a datagram from `port` to `peer`.
    pub(super) fn handle_icmp(
        &mut self,
        now: Timestamp,
        network: &mut impl Network,
        port: AllocationPort,
        peer: PeerSocket,
        icmp: Icmp,
    ) {
        self.server.handle_icmp(now, port, peer, icmp);
        self.settle(now, network);
    }

    /// Counts an error of a receive call.
    pub(super) const fn handle_receive_error(&mut self) {
        self.counters.receive_errors += 1;
    }

    /// Counts `count` datagrams that the kernel dropped because they were not read in time.
    pub(super) const fn note_overruns(&mut self, count: u64) {
        self.counters.receive_overruns += count;
    }

    /// Replaces the relay's addresses.
    pub(super) fn handle_addresses(&mut self, now: Timestamp, network: &mut impl Network, addresses: &AddressState) {
        network.set_addresses(addresses);
        self.server.handle_own_addresses(now, addresses.own_addresses());
        if self.offload.set_addresses(addresses) {
            // The flows in the kernel still carry the old addresses.
            for flow in self.server.server().flows() {
                self.install_flow(&flow);
            }
        }
        self.settle(now, network);
    }

    /// Refuses new allocations from now on.
    pub(super) fn handle_drain(&mut self, now: Timestamp) {
        self.server.handle_drain(now);
        self.counters.draining += 1;
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Timestamp, network: &mut impl Network) {
        self.server.handle_timeout(now);
        self.settle(now, network);
    }

    /// Passes on the time of the wall clock.
    pub(super) fn handle_wall_clock(&mut self, now: Timestamp, network: &mut impl Network, unix_time: UnixTime) {
        self.server.handle_wall_clock(now, unix_time);
        self.settle(now, network);
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.server.poll_timeout()
    }

    /// Whether so many allocations have ended that their memory should go back to the system.
    pub(super) fn should_trim_memory(&mut self) -> bool {
        self.trimmer.is_due(self.server.server().allocation_count())
    }

    /// Sends accounting what each allocation has relayed so far.
    pub(super) fn tell_accounts(&mut self) {
        let server = self.server.server();
        let allocations = server.allocations().map(|allocation| (allocation.id(), allocation.relayed()));
        self.accounting.so_far(allocations, server.crossings());
        self.accounting.flush();
    }

    /// Removes all flows from the kernel, and sends accounting the end of every crossing and allocation, as the shard stops.
    pub(super) fn close_accounts(&mut self, now: Timestamp) {
        for flow in self.server.server().flows() {
            self.remove_flow(&flow.key);
        }
        let server = self.server.server();
        for (crossing, crossed) in server.crossings() {
            self.accounting.crossing_stopped(crossing, crossed);
        }
        for allocation in server.allocations() {
            self.accounting.stopped(now, allocation.id(), allocation.relayed());
        }
    }

    /// Publishes the counters to other threads.
    pub(super) fn publish(&mut self) {
        self.accounting.flush();
        self.published.publish(&mut self.counters);
    }

    /// Installs flows that the kernel's table had no room for, as far as it has room now.
    pub(super) fn install_waiting_flows(&mut self) {
        while let Some(flow) = self.offload.install_waiting() {
            self.accounting.flow_installed(&flow);
        }
    }

    /// The last step of every handler.
    fn settle(&mut self, now: Timestamp, network: &mut impl Network) {
        self.trimmer.observe(self.server.server().allocation_count());
        self.do_outputs(now, network, None);
    }
}

/// The 5-tuple of the client that sent `datagram` to a socket bound to `bound`. `None` if the destination address is not known.
fn five_tuple(bound: Option<IpAddr>, datagram: &Datagram) -> Option<FiveTuple> {
    let server = bound.or(datagram.to)?;
    Some(FiveTuple { client: ClientSocket::new(datagram.from), server })
}

#[cfg(test)]
mod tests;
