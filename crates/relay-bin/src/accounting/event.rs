//! The events that shards send to the accounting thread, and the sender that collects them.

use std::{fmt, sync::Arc};

use relay_server::{
    AllocationId, AllocationPort, Crossing, Event, Families, FiveTuple, Flow, FlowKey, Relayed, RemovalReason, ShardId,
    Timestamp, Traffic,
};
use tokio::sync::oneshot;

use super::{
    keys::Key,
    queue::{LeftOut, Sender},
    snapshot::AccountingSnapshot,
};
use crate::names::Named as _;
use crate::offload::FlowMeter;

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The state machine removed it.
    Removed(RemovalReason),
    /// The relay stopped.
    Shutdown,
}

impl EndReason {
    /// The value of the same reason in the metric `allocations_removed`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Removed(reason) => reason.name(),
            Self::Shutdown => SHUTDOWN,
        }
    }

    /// The reason with this name, if this build knows one.
    pub(super) fn named(name: &str) -> Option<Self> {
        if name == SHUTDOWN { Some(Self::Shutdown) } else { RemovalReason::named(name).map(Self::Removed) }
    }
}

const SHUTDOWN: &str = "shutdown";

/// A new allocation, whose client has had the success response.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: u64,
    pub(super) user_id: Arc<str>,
    pub(super) five_tuple: FiveTuple,
    pub(super) port: AllocationPort,
    pub(super) families: Families,
    pub(super) at: Timestamp,
}

/// A message to the accounting thread.
pub(super) enum AccountingEvent {
    Created(ShardId, Created),
    Ended {
        key: Key,
        at: Timestamp,
        relayed: Relayed,
        reason: EndReason,
    },
    /// The shard sends data of this crossing straight to another shard's client, and counts it.
    CrossingOpened(ShardId, Crossing),
    CrossingClosed(ShardId, Crossing, Traffic),
    /// The kernel forwards a flow and counts it.
    FlowInstalled(Flow),
    /// The kernel no longer forwards a flow. What it has forwarded.
    FlowRemoved(FlowKey, Traffic),
    /// What a shard has counted so far: the answer to [`AccountingEvent::AskShards`].
    SoFar {
        shard: ShardId,
        allocations: Vec<(u64, Relayed)>,
        crossings: Vec<(Crossing, Traffic)>,
    },
    /// From now on this tells what the kernel has forwarded.
    Kernel(FlowMeter),
    /// How to ask all shards for [`AccountingEvent::SoFar`]. The closure returns how many were asked.
    AskShards(Box<dyn Fn() -> usize + Send>),
    /// The control endpoint asks for the users with the most bytes.
    TopUsers {
        count: usize,
        answer: oneshot::Sender<String>,
    },
    /// The next process needs the books: send them.
    ///
    /// Until another event about an allocation comes, no account is finished.
    Export(oneshot::Sender<AccountingSnapshot>),
    /// Another process has the books: stop without finishing any account.
    Abandon,
    /// The relay ends: finish all accounts and stop.
    Finish,
}

/// Sends the events of one shard to the accounting thread. Never blocks.
///
/// Waking a thread takes as long as half an allocation, so events are collected until [`Self::flush`].
#[derive(Debug)]
pub(crate) struct AccountingSender {
    shard: ShardId,
    collected: Vec<AccountingEvent>,
    events: Sender,
    left_out: LeftOut,
    /// Mixed into the numbers of allocations, so that they differ from those before a restart of the shard.
    life: u64,
}

impl Drop for AccountingSender {
    /// Flushes, even when the shard fails.
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for AccountingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountingEvent")
    }
}

impl AccountingSender {
    pub(super) fn new(shard: ShardId, events: Sender) -> Self {
        Self { shard, collected: Vec::new(), events, left_out: LeftOut::default(), life: 0 }
    }

    /// Makes the same ids of the shard's allocations as a sender whose [`Self::life`] is `life`. A shard that inherits the allocations of the
    /// process before this one needs it.
    pub(crate) const fn with_life(mut self, life: u64) -> Self {
        self.life = life;
        self
    }

    /// What tells the ids of allocations from those before a restart of the shard.
    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    /// A sender without a receiver.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::new(ShardId::new(0), super::queue::queue().0)
    }

    /// The shard has ended all its allocations, and will number new ones from the beginning.
    pub(crate) const fn start_again(&mut self) {
        // The bits above any number that a shard reaches: it would take a hundred years.
        self.life = self.life.wrapping_add(1 << 56);
    }

    const fn number(&self, id: AllocationId) -> u64 {
        id.as_u64() ^ self.life
    }

    /// Sends `event` if it begins or ends an allocation or a crossing.
    pub(crate) fn record(&mut self, now: Timestamp, event: &Event) {
        match event {
            Event::AllocationCreated { id, five_tuple, user_id, port, families, .. } => {
                let created = Created {
                    id: self.number(*id),
                    user_id: Arc::clone(user_id),
                    five_tuple: *five_tuple,
                    port: *port,
                    families: *families,
                    at: now,
                };
                self.tell(AccountingEvent::Created(self.shard, created));
            }
            Event::AllocationRemoved { id, account, reason, .. } => {
                let reason = EndReason::Removed(*reason);
                self.tell(AccountingEvent::Ended {
                    key: (self.shard, self.number(*id)),
                    at: now,
                    relayed: account.relayed,
                    reason,
                });
            }
            Event::CrossingOpened { crossing } => {
                self.tell(AccountingEvent::CrossingOpened(self.shard, *crossing));
                // The crossing counts for another shard's allocation, whose end must not be sent before.
                self.flush();
            }
            Event::CrossingClosed { crossing, crossed } => {
                self.tell(AccountingEvent::CrossingClosed(self.shard, *crossing, *crossed));
            }
            _ => {}
        }
    }

    /// Sends that the kernel forwards `flow` from now on.
    pub(crate) fn flow_installed(&mut self, flow: &Flow) {
        self.tell(AccountingEvent::FlowInstalled(*flow));
    }

    /// Sends that the kernel no longer forwards a flow, and what it has forwarded.
    pub(crate) fn flow_removed(&mut self, key: FlowKey, forwarded: Traffic) {
        self.tell(AccountingEvent::FlowRemoved(key, forwarded));
    }

    /// Sends what each allocation has relayed so far, and each crossing to another shard's client.
    pub(crate) fn so_far(
        &mut self,
        allocations: impl Iterator<Item = (AllocationId, Relayed)>,
        crossings: impl Iterator<Item = (Crossing, Traffic)>,
    ) {
        let allocations = allocations.map(|(id, relayed)| (self.number(id), relayed)).collect();
        self.tell(AccountingEvent::SoFar { shard: self.shard, allocations, crossings: crossings.collect() });
    }

    /// Sends the end of an allocation because the shard stops.
    pub(crate) fn stopped(&mut self, now: Timestamp, id: AllocationId, relayed: Relayed) {
        self.tell(AccountingEvent::Ended {
            key: (self.shard, self.number(id)),
            at: now,
            relayed,
            reason: EndReason::Shutdown,
        });
    }

    /// Sends the end of a crossing because the shard stops.
    pub(crate) fn crossing_stopped(&mut self, crossing: Crossing, crossed: Traffic) {
        self.tell(AccountingEvent::CrossingClosed(self.shard, crossing, crossed));
    }

    fn tell(&mut self, event: AccountingEvent) {
        if self.left_out.admits(&event, &self.events, self.collected.len()) {
            self.collected.push(event);
        }
    }

    /// Sends the collected events. A shard flushes before it sends other shards a message about one of its allocations, so that
    /// their events about it arrive later.
    pub(crate) fn flush(&mut self) {
        if !self.collected.is_empty() {
            // An error means that accounting has ended, and with it the relay.
            let _ = self.events.send(std::mem::take(&mut self.collected));
        }
    }
}
