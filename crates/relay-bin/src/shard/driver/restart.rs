//! How a driver recovers from a panic: it ends all allocations, then starts with a new state machine.

use relay_server::{Server, Timestamp};

use super::Driver;
use crate::{
    offload::Offload,
    record::RecordedServer,
    shard::{
        early::Early, live_channels::LiveChannels, live_permissions::LivePermissions, memory::Trimmer,
        network::Network, refused_indications::RefusedIndications, stats::Loss,
    },
};

impl<O: Offload> Driver<O> {
    /// Ends all allocations, and so releases their sockets, flows, quotas and ports. Returns how many there were.
    pub(in crate::shard) fn end_allocations(&mut self, now: Timestamp, network: &mut impl Network) -> usize {
        #[cfg(test)]
        self.burn_fuse();
        // A replay cannot reproduce the panic. The recording up to here is the best evidence of the bug.
        self.server.record_with(now, None);
        let count = self.server.server().allocation_count();
        let ids: Vec<_> = self.server.server().allocations().map(relay_server::Allocation::id).collect();
        for id in ids {
            self.server.handle_relay_failed(now, id);
        }
        self.do_outputs(now, network, None);
        for (crossing, crossed) in self.server.server().crossings() {
            self.accounting.crossing_stopped(crossing, crossed);
        }
        self.accounting.flush();
        count
    }

    /// Continues with `server`, a new state machine.
    pub(in crate::shard) fn start_again(&mut self, mut server: Server) {
        let former = self.server.server();
        server.inherit(former);
        // Clients retransmit these requests.
        let waiting = self.early.len() + former.requests_waiting();
        (0..waiting).for_each(|_| self.counters.lose(Loss::WorkerPanicked));
        self.server = RecordedServer::new(server, None);
        self.trimmer = Trimmer::default();
        (self.channels, self.permissions) = (LiveChannels::default(), LivePermissions::default());
        (self.refused, self.early) = (RefusedIndications::default(), Early::default());
        self.accounting.start_again();
    }

    /// Refuses new allocations again, as before the panic.
    pub(in crate::shard) fn drain_again(&mut self, now: Timestamp) {
        self.server.handle_drain(now);
    }
}

#[cfg(test)]
impl<O: Offload> Driver<O> {
    /// Sets a panic after `fuse` datagrams of clients. It happens once.
    pub(in crate::shard) const fn with_fuse(mut self, fuse: Option<u32>) -> Self {
        self.fuse = fuse;
        self
    }

    /// Panics now, and again in [`Self::end_allocations`].
    pub(in crate::shard) fn fail_for_good(&mut self) {
        self.fuse = Some(1);
        panic!("on purpose");
    }

    /// Counts down to the panic that [`Self::with_fuse`] has set. Called between a datagram and its outputs.
    pub(super) fn burn_fuse(&mut self) {
        if let Some(left) = &mut self.fuse {
            *left = left.saturating_sub(1);
        }
        if self.fuse == Some(0) {
            self.fuse = None;
            panic!("on purpose");
        }
    }
}
