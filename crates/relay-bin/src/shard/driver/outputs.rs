//! Carries out what the state machine puts out: sends, opens sockets, installs flows, sends messages, counts and logs events.

use relay_server::{Event, Flow, FlowKey, Output, RelayOpenError, ShardId, ShardMessage, Timestamp};
use tracing::Span;

use super::Driver;
use crate::{
    offload::Offload,
    shard::{ingress::ReceiveBuffers, mailbox::Mail, network::Network},
};

impl<O: Offload> Driver<O> {
    /// Carries out all outputs. `queued` has the bytes of datagrams that are queued to be sent.
    pub(super) fn do_outputs(&mut self, now: Timestamp, network: &mut impl Network, queued: Option<&ReceiveBuffers>) {
        // The span lasts from OpenRelay to the response. It does not begin earlier: anybody may send a request that is refused.
        let mut allocate: Option<Span> = None;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { from, to, bytes } => {
                    self.server.note_response(from, to, &bytes);
                    network.respond(from, to.address(), &bytes, &mut self.counters);
                }
                Output::OpenRelay { id, port, family, own_client } => {
                    let span = allocate.get_or_insert_with(
                        || tracing::debug_span!("allocate", allocation = %id, outcome = tracing::field::Empty),
                    );
                    let _entered = span.enter();
                    let result = if own_client.is_some_and(|client| network.is_relayed(client)) {
                        Err(RelayOpenError::OwnClient)
                    } else {
                        network.open_relay(now, id, port, family)
                    };
                    self.server.handle_relay_opened(now, id, family, result);
                }
                Output::CloseRelay { port, family, .. } => {
                    // Data that came before the end may be queued for this socket.
                    if let Some(buffers) = queued {
                        network.flush(buffers, &mut self.counters);
                    }
                    network.close_relay(port, family);
                }
                Output::InstallFlow(flow) => self.install_flow(&flow),
                Output::RemoveFlow(key) => self.remove_flow(&key),
                Output::TellShards(message) => self.tell_others(None, &message),
                Output::TellShard { to, message } => self.tell_others(Some(to), &message),
                Output::ClaimQuota { id, holder, limit } => {
                    let is_granted = self.shared_quota.claim(&holder, limit);
                    self.server.handle_quota_claimed(now, id, holder, is_granted);
                }
                Output::ReleaseQuota { holder } => self.shared_quota.release(&holder),
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
            Event::Responded { outcome: Err(rejection), .. } => {
                tracing::debug!(?event, "refused");
                self.limit_warnings.observe(now, *rejection);
            }
            Event::ReplyWithheld { to, .. } => {
                tracing::trace!(?event, "not answered");
                self.withheld.observe(now, to.ip(), self.server.server());
            }
            Event::PeerRefused { five_tuple, peer, reason } => {
                if let Some(times) = self.peer_refused.pass(now) {
                    let client = five_tuple.client.address();
                    tracing::debug!(%client, %peer, times, "a peer is refused with 403: {reason}");
                }
            }
            Event::PeerRevoked { id, address, reason } => {
                if let Some(times) = self.peer_revoked.pass(now) {
                    tracing::info!(allocation = %id, %address, times, "a peer is not allowed any more: {reason}");
                }
            }
            // Every shard gets this event; only the first counts and logs it.
            Event::WallClockJumped { from, to } if self.is_first() => {
                self.counters.wall_clock_jumps += 1;
                let (seconds, direction) = (to.0.abs_diff(from.0), if to > from { "ahead" } else { "back" });
                tracing::warn!(
                    seconds,
                    "the wall clock was set {direction} by {seconds} s, or the machine was suspended: which credentials are accepted follows it, \
                     allocations that there are live on; if clients are answered 401 now, look at the machine's time (`timedatectl`)"
                );
            }
            Event::WallClockJumped { .. } => {}
            Event::Dropped { .. } => tracing::trace!(?event, "dropped"),
            Event::IcmpTold { .. } => tracing::trace!(?event, "told a client of an ICMP error"),
            event => tracing::debug!(?event, "state changed"),
        }
    }

    /// Whether this is shard 0.
    fn is_first(&self) -> bool {
        self.others.iter().all(|(shard, _)| *shard != ShardId::new(0))
    }

    /// Has the kernel forward `flow`, in place of a flow with the same key.
    pub(super) fn install_flow(&mut self, flow: &Flow) {
        self.remove_flow(&flow.key);
        if self.offload.install(flow) {
            self.accounting.flow_installed(flow);
        }
    }

    pub(super) fn remove_flow(&mut self, key: &FlowKey) {
        if let Some(forwarded) = self.offload.remove(key) {
            self.accounting.flow_removed(*key, forwarded);
        }
    }

    /// Sends `message` to all other shards, or only to one.
    fn tell_others(&mut self, only: Option<ShardId>, message: &ShardMessage) {
        if message.is_urgent() {
            self.accounting.flush();
        }
        for (_, other) in self.others.iter().filter(|(shard, _)| only.is_none_or(|only| only == *shard)) {
            other.send(Mail::FromShard(message.clone()));
        }
    }
}
