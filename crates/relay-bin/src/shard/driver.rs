use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use relay_server::{
    AcceptedCredentials, AllocationId, AllocationPort, ClientSocket, Event, Family, FiveTuple, Flow, FlowKey, Forward,
    Icmp, Output, PeerSocket, Rejection, RelayOpenError, ShardId, ShardMessage, Timestamp, TooEarly,
};
use tracing::Span;
use turn_auth::UnixTime;
use udp_batch::Cursor;

use super::{
    early::Early,
    ingress::{Datagram, Ingress, ReceiveBuffers},
    live_channels::LiveChannels,
    live_permissions::LivePermissions,
    mailbox::{Mail, Sender},
    memory::Trimmer,
    refused_indications::RefusedIndications,
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

/// How often to warn that no port is free.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What a driver needs of the outside world.
pub(super) trait Network {
    /// Opens a socket for an allocation and reads it from now on.
    fn open_relay(
        &mut self,
        now: Timestamp,
        id: AllocationId,
        port: AllocationPort,
        family: Family,
    ) -> Result<(), RelayOpenError>;

    /// Closes it again.
    fn close_relay(&mut self, port: AllocationPort, family: Family);

    /// Sends a STUN message to a client, at once.
    fn respond(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8], counters: &mut Counters);

    /// Sends what `forward` takes from `datagram`, at the latest in [`Self::flush`]. A header may be written into `buffers`, over
    /// what nobody needs any more.
    fn queue(&mut self, datagram: &Datagram, forward: &Forward, buffers: &mut ReceiveBuffers, counters: &mut Counters);

    /// Sends all that is queued.
    fn flush(&mut self, buffers: &ReceiveBuffers, counters: &mut Counters);

    /// Counts the datagrams that the kernel has dropped since the last call because they were not read in time.
    fn count_overruns(&mut self, counters: &mut Counters);

    /// The relay's addresses are these from now on.
    fn set_addresses(&mut self, addresses: &AddressState);

    /// Who a peer is that sent from `from`.
    fn peer_address(&self, from: SocketAddr) -> SocketAddr;
}

/// Carries datagrams and time into the state machine, and what it wants out.
pub(super) struct Driver<N, O> {
    server: RecordedServer,
    network: N,
    offload: O,
    trimmer: Trimmer,
    counters: Counters,
    channels: LiveChannels,
    permissions: LivePermissions,
    refused: RefusedIndications,
    early: Early,
    published: Published,
    others: Vec<(ShardId, Sender)>,
    no_port: Throttle,
    withheld: WithheldReplies,
    accounting: AccountingSender,
}

impl<N: Network, O: Offload> Driver<N, O> {
    pub(super) fn new(
        server: RecordedServer,
        network: N,
        offload: O,
        published: Published,
        others: Vec<(ShardId, Sender)>,
        accounting: AccountingSender,
    ) -> Self {
        Self {
            server,
            network,
            offload,
            trimmer: Trimmer::default(),
            counters: Counters::default(),
            channels: LiveChannels::default(),
            permissions: LivePermissions::default(),
            refused: RefusedIndications::default(),
            early: Early::default(),
            published,
            others,
            no_port: Throttle::new(WARN_EVERY),
            withheld: WithheldReplies::default(),
            accounting,
        }
    }

    /// The network.
    pub(super) const fn network_mut(&mut self) -> &mut N {
        &mut self.network
    }

    /// Takes what `buffers` received. What they hold is of no use any more afterwards.
    pub(super) fn handle_datagrams(&mut self, now: Timestamp, buffers: &mut ReceiveBuffers) {
        self.handle_batch(now, buffers);
        while !self.early.is_empty() {
            buffers.clear();
            if !self.early.take(buffers) {
                break;
            }
            self.handle_batch(now, buffers);
        }
    }

    /// Tries data again that overtook a request, if there is a reason to.
    pub(super) fn handle_early(&mut self, now: Timestamp, buffers: &mut ReceiveBuffers) {
        if self.early.take(buffers) {
            self.handle_datagrams(now, buffers);
        }
    }

    /// Whether data waits for a request that it may have overtaken.
    pub(super) const fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// `count` datagrams were read from the queue of requests of `family`, and perhaps it is empty.
    pub(super) const fn note_requests(&mut self, family: Family, count: u64, is_empty: bool) {
        self.early.note_requests(family, count, is_empty);
    }

    fn handle_batch(&mut self, now: Timestamp, buffers: &mut ReceiveBuffers) {
        let mut cursor = Cursor::default();
        while let Some(datagram) = buffers.next_datagram(&mut cursor) {
            // Each forwards from where its result lies: to move it takes as long as a look-up.
            match datagram.tag {
                Ingress::Listener(bound) => match self.handle_client_datagram(now, bound, &datagram, buffers) {
                    Ok(Some(forward)) => self.network.queue(&datagram, &forward, buffers, &mut self.counters),
                    Ok(None) | Err(TooEarly) => self.do_outputs(now, Some(buffers)),
                },
                Ingress::Relay(port) => {
                    let peer = PeerSocket::new(self.network.peer_address(datagram.from));
                    match self.server.handle_peer_datagram(now, port, peer, &buffers[datagram.range.clone()]) {
                        Some(forward) => self.network.queue(&datagram, &forward, buffers, &mut self.counters),
                        None => self.do_outputs(now, Some(buffers)),
                    }
                }
            }
        }
        self.network.flush(buffers, &mut self.counters);
        self.settle(now);
    }

    /// Takes what was received at a listening socket that is bound to `bound`, if not to all addresses. What came too early is kept.
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
        if result.is_err() && !self.early.keep(datagram, buffers, since) {
            return Ok(self.server.handle_client_datagram(now, from, bytes));
        }
        result
    }

    /// Takes what another shard says.
    pub(super) fn handle_shard_message(&mut self, now: Timestamp, message: &ShardMessage) {
        self.server.handle_shard_message(now, message);
        self.settle(now);
    }

    /// From now on what goes in and out is recorded with `recorder`, or not at all.
    pub(super) fn record_with(&mut self, now: Timestamp, recorder: Option<Recorder>) {
        self.server.record_with(now, recorder);
    }

    /// From now on these credentials are accepted.
    pub(super) fn accept_credentials(&mut self, now: Timestamp, accepted: Arc<AcceptedCredentials>) {
        self.server.handle_accepted_credentials(now, accepted);
    }

    /// The socket of an allocation is of no use any more.
    pub(super) fn handle_relay_failed(&mut self, now: Timestamp, id: AllocationId) {
        self.server.handle_relay_failed(now, id);
        self.settle(now);
    }

    /// What left by `port` did not reach `peer`.
    pub(super) fn handle_icmp(&mut self, now: Timestamp, port: AllocationPort, peer: PeerSocket, icmp: Icmp) {
        self.server.handle_icmp(now, port, peer, icmp);
        self.settle(now);
    }

    /// A socket could not be read, for now.
    pub(super) const fn handle_receive_error(&mut self) {
        self.counters.receive_errors += 1;
    }

    /// The relay's addresses are these from now on.
    pub(super) fn handle_addresses(&mut self, now: Timestamp, addresses: &AddressState) {
        self.network.set_addresses(addresses);
        self.server.handle_own_addresses(now, addresses.own_addresses());
        if self.offload.set_addresses(addresses) {
            // They name addresses that packets do not carry any more.
            for flow in self.server.server().flows() {
                self.install_flow(&flow);
            }
        }
        self.settle(now);
    }

    /// From now on new allocations are refused.
    pub(super) fn handle_drain(&mut self, now: Timestamp) {
        self.server.handle_drain(now);
        self.counters.draining += 1;
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.server.handle_timeout(now);
        self.settle(now);
    }

    /// The wall clock says `unix_time`.
    pub(super) fn handle_wall_clock(&mut self, now: Timestamp, unix_time: UnixTime) {
        self.server.handle_wall_clock(now, unix_time);
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.server.poll_timeout()
    }

    /// Whether so many allocations have ended that their memory should be given back to the system.
    pub(super) fn should_trim_memory(&mut self) -> bool {
        self.trimmer.is_due(self.server.server().allocation_count())
    }

    /// Tells accounting what has been relayed so far.
    pub(super) fn tell_accounts(&mut self) {
        let server = self.server.server();
        let allocations = server.allocations().map(|allocation| (allocation.id(), allocation.relayed()));
        self.accounting.so_far(allocations, server.crossings());
        self.accounting.flush();
    }

    /// The shard stops, and with it all allocations: accounting hears of each.
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

    /// Lets others see what was counted.
    pub(super) fn publish(&mut self) {
        self.accounting.flush();
        self.network.count_overruns(&mut self.counters);
        self.published.publish(&mut self.counters);
    }

    /// Ends every handler.
    fn settle(&mut self, now: Timestamp) {
        self.trimmer.observe(self.server.server().allocation_count());
        self.do_outputs(now, None);
    }

    /// Does what the state machine asks for. What is queued lies in `queued`.
    fn do_outputs(&mut self, now: Timestamp, queued: Option<&ReceiveBuffers>) {
        // From the wish for a relay socket to the answer: what comes before it depends on whoever may send anything.
        let mut allocate: Option<Span> = None;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { from, to, bytes } => {
                    self.server.note_response(from, to, &bytes);
                    self.network.respond(from, to.address(), &bytes, &mut self.counters);
                }
                Output::OpenRelay { id, port, family } => {
                    let span = allocate.get_or_insert_with(
                        || tracing::debug_span!("allocate", allocation = %id, outcome = tracing::field::Empty),
                    );
                    let _entered = span.enter();
                    let result = self.network.open_relay(now, id, port, family);
                    self.server.handle_relay_opened(now, id, family, result);
                }
                Output::CloseRelay { port, family, .. } => {
                    // What came before the end may be waiting to leave by this socket.
                    if let Some(buffers) = queued {
                        self.network.flush(buffers, &mut self.counters);
                    }
                    self.network.close_relay(port, family);
                }
                Output::InstallFlow(flow) => self.install_flow(&flow),
                Output::RemoveFlow(key) => self.remove_flow(&key),
                Output::TellShards(message) => self.tell_others(None, &message),
                Output::TellShard { to, message } => self.tell_others(Some(to), &message),
                Output::Event(event) => {
                    let entered = allocate.as_ref().map(Span::enter);
                    self.handle_event(now, &event);
                    drop(entered);
                    if let Event::Responded { outcome, .. } = &event
                        && let Some(span) = &allocate
                    {
                        match outcome {
                            Ok(()) => span.record("outcome", "success"),
                            Err(rejection) => span.record("outcome", tracing::field::display(rejection)),
                        };
                    }
                }
            }
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: &Event) {
        self.counters.record(event);
        self.channels.record(event, &mut self.counters);
        self.permissions.record(event, &mut self.counters);
        self.refused.record(event);
        self.accounting.record(now, event);
        if matches!(event, Event::ChannelBound { .. } | Event::PermissionInstalled { .. }) {
            self.early.note_grant();
        }
        match event {
            Event::AllocationCreated { .. } => tracing::debug!(?event, "allocation created"),
            Event::AllocationRemoved { .. } => tracing::debug!(?event, "allocation ended"),
            Event::Responded { outcome: Err(Rejection::NoFreePort), .. } => {
                tracing::debug!(?event, "refused");
                if let Some(times) = self.no_port.pass(now) {
                    tracing::warn!(
                        times,
                        "no port is free for an allocation: clients are answered 508; widen the range (--lowest-port, \
                         --highest-port), or add a relay"
                    );
                }
            }
            Event::ReplyWithheld { to, .. } => {
                tracing::trace!(?event, "not answered");
                self.withheld.observe(now, to.ip(), self.server.server());
            }
            Event::Dropped { .. } => tracing::trace!(?event, "dropped"),
            Event::IcmpTold { .. } => tracing::trace!(?event, "told a client of an ICMP error"),
            event => tracing::debug!(?event, "state changed"),
        }
    }

    /// Has the kernel forward `flow`, in place of one of the same key.
    fn install_flow(&mut self, flow: &Flow) {
        self.remove_flow(&flow.key);
        if self.offload.install(flow) {
            self.accounting.flow_installed(flow);
        }
    }

    fn remove_flow(&mut self, key: &FlowKey) {
        if let Some(forwarded) = self.offload.remove(key) {
            self.accounting.flow_removed(*key, forwarded);
        }
    }

    /// Tells all other shards, or one of them.
    fn tell_others(&mut self, only: Option<ShardId>, message: &ShardMessage) {
        if message.is_urgent() {
            self.accounting.flush();
        }
        for (_, other) in self.others.iter().filter(|(shard, _)| only.is_none_or(|only| only == *shard)) {
            other.send(Mail::FromShard(message.clone()));
        }
    }
}

/// The 5-tuple of the client that `datagram` came from, by a socket that is bound to `bound`; none if it is not known where it was
/// sent to.
fn five_tuple(bound: Option<IpAddr>, datagram: &Datagram) -> Option<FiveTuple> {
    let server = bound.or(datagram.to)?;
    Some(FiveTuple { client: ClientSocket::new(datagram.from), server })
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
