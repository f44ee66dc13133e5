use std::{fmt, sync::Arc};

use relay_server::{
    AllocationId, AllocationPort, Crossing, Event, Families, FiveTuple, Flow, FlowKey, Relayed, RemovalReason, ShardId,
    Timestamp, Traffic,
};
use tokio::sync::oneshot;

use super::queue::{LeftOut, Sender};

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The state machine ended it.
    Removed(RemovalReason),
    /// The relay stopped.
    Shutdown,
}

impl EndReason {
    /// The same words as in the metric `allocations_removed`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Removed(RemovalReason::Expired) => "expired",
            Self::Removed(RemovalReason::Deleted) => "deleted",
            Self::Removed(RemovalReason::Replaced) => "replaced",
            Self::Removed(RemovalReason::RelayFailed) => "relay_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// An allocation that its client has been told of.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: u64,
    pub(super) user_id: Arc<str>,
    pub(super) five_tuple: FiveTuple,
    pub(super) port: AllocationPort,
    pub(super) families: Families,
    pub(super) at: Timestamp,
}

/// Which allocation: ids are a shard's own.
pub(super) type Key = (ShardId, u64);

/// What the accounting thread is told.
pub(super) enum AccountingEvent {
    Created(ShardId, Created),
    Ended {
        key: Key,
        at: Timestamp,
        relayed: Relayed,
        reason: EndReason,
    },
    /// What this shard relays straight to the client of another one is counted by it.
    CrossingOpened(ShardId, Crossing),
    CrossingClosed(ShardId, Crossing, Traffic),
    /// The kernel forwards a flow, and counts it.
    FlowInstalled(Flow),
    /// It does not any more; what it has forwarded of it.
    FlowRemoved(FlowKey, Traffic),
    /// What a shard has counted so far, as [`AccountingEvent::AskShards`] asked for.
    SoFar {
        shard: ShardId,
        allocations: Vec<(u64, Relayed)>,
        crossings: Vec<(Crossing, Traffic)>,
    },
    /// How to ask all shards for [`AccountingEvent::SoFar`]: returns how many were asked.
    AskShards(Box<dyn Fn() -> usize + Send>),
    /// Somebody wants to know the users with the most bytes.
    TopUsers {
        count: usize,
        answer: oneshot::Sender<String>,
    },
    /// The relay ends, and so does accounting.
    Finish,
}

/// Tells the accounting thread what happens on one shard. Never waits.
///
/// To wake a thread takes as long as half an allocation does, so events are collected until [`Self::flush`].
#[derive(Debug)]
pub(crate) struct AccountingSender {
    shard: ShardId,
    collected: Vec<AccountingEvent>,
    events: Sender,
    left_out: LeftOut,
    /// What makes ids of allocations others than those before a restart of the shard.
    life: u64,
}

impl Drop for AccountingSender {
    /// Also where the shard fails.
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

    /// Nobody hears what it tells.
    #[cfg(test)]
    pub(crate) fn unheard() -> Self {
        Self::new(ShardId::new(0), super::queue::queue().0)
    }

    /// The shard has ended all its allocations, and counts them anew from now on.
    pub(crate) const fn start_again(&mut self) {
        // Above all that a shard counts: it would take a hundred years to.
        self.life = self.life.wrapping_add(1 << 56);
    }

    const fn number(&self, id: AllocationId) -> u64 {
        id.as_u64() ^ self.life
    }

    /// Tells of `event`, if that is of an allocation's beginning or end.
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
                // It is about another shard's allocation, whose end must not be told of before.
                self.flush();
            }
            Event::CrossingClosed { crossing, crossed } => {
                self.tell(AccountingEvent::CrossingClosed(self.shard, *crossing, *crossed));
            }
            _ => {}
        }
    }

    /// The kernel forwards `flow` from now on.
    pub(crate) fn flow_installed(&mut self, flow: &Flow) {
        self.tell(AccountingEvent::FlowInstalled(*flow));
    }

    /// The kernel does not forward the flow any more, and has forwarded this much.
    pub(crate) fn flow_removed(&mut self, key: FlowKey, forwarded: Traffic) {
        self.tell(AccountingEvent::FlowRemoved(key, forwarded));
    }

    /// What the shard's allocations have relayed so far, and what went straight to clients of other shards.
    pub(crate) fn so_far(
        &mut self,
        allocations: impl Iterator<Item = (AllocationId, Relayed)>,
        crossings: impl Iterator<Item = (Crossing, Traffic)>,
    ) {
        let allocations = allocations.map(|(id, relayed)| (self.number(id), relayed)).collect();
        self.tell(AccountingEvent::SoFar { shard: self.shard, allocations, crossings: crossings.collect() });
    }

    /// The shard stops, and this allocation ends with it.
    pub(crate) fn stopped(&mut self, now: Timestamp, id: AllocationId, relayed: Relayed) {
        self.tell(AccountingEvent::Ended {
            key: (self.shard, self.number(id)),
            at: now,
            relayed,
            reason: EndReason::Shutdown,
        });
    }

    /// The shard stops, and so does this way to another shard's client.
    pub(crate) fn crossing_stopped(&mut self, crossing: Crossing, crossed: Traffic) {
        self.tell(AccountingEvent::CrossingClosed(self.shard, crossing, crossed));
    }

    fn tell(&mut self, event: AccountingEvent) {
        if self.left_out.admits(&event, &self.events, self.collected.len()) {
            self.collected.push(event);
        }
    }

    /// Hands over what was collected. What other shards tell of this one's allocations must come later: so it is called before they hear
    /// of any that concerns them.
    pub(crate) fn flush(&mut self) {
        if !self.collected.is_empty() {
            // An error means that accounting has ended, and with it the relay.
            let _ = self.events.send(std::mem::take(&mut self.collected));
        }
    }
}
