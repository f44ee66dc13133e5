//! The end of everything after a panic, and what comes then.

use std::time::Duration;

use relay_server::{Server, Timestamp};

use super::Driver;
use crate::{
    offload::Offload,
    record::RecordedServer,
    shard::{
        early::Early, live_channels::LiveChannels, live_permissions::LivePermissions, memory::Trimmer,
        network::Network, refused_indications::RefusedIndications,
    },
};

/// Longer than any reservation, and than any request that waits for a port.
const LONG: Duration = Duration::from_hours(24);

impl<O: Offload> Driver<O> {
    /// Ends all allocations, reservations and requests that wait, so that nobody else holds anything for them: how many allocations
    /// there were.
    pub(in crate::shard) fn end_allocations(&mut self, now: Timestamp, network: &mut impl Network) -> usize {
        #[cfg(test)]
        self.burn_fuse();
        // A replay could not follow. What is recorded until now is the best there is about the bug.
        self.server.record_with(now, None);
        let count = self.server.server().allocation_count();
        self.fail_all(now, network);
        // What is due by then is due now.
        self.server.handle_timeout(now + LONG);
        self.do_outputs(now, network, None);
        // A request that waited for a port of another worker may have got one that was free again.
        self.fail_all(now, network);
        for (crossing, crossed) in self.server.server().crossings() {
            self.accounting.crossing_stopped(crossing, crossed);
        }
        self.accounting.flush();
        count
    }

    fn fail_all(&mut self, now: Timestamp, network: &mut impl Network) {
        let ids: Vec<_> = self.server.server().allocations().map(relay_server::Allocation::id).collect();
        for id in ids {
            self.server.handle_relay_failed(now, id);
        }
        self.do_outputs(now, network, None);
    }

    /// Begins anew with `server`, which nothing was told so far.
    pub(in crate::shard) fn start_again(&mut self, server: Server) {
        self.server = RecordedServer::new(server, None);
        self.trimmer = Trimmer::default();
        (self.channels, self.permissions) = (LiveChannels::default(), LivePermissions::default());
        (self.refused, self.early) = (RefusedIndications::default(), Early::default());
        self.accounting.start_again();
    }

    /// From now on new allocations are refused, as before a panic.
    pub(in crate::shard) fn drain_again(&mut self, now: Timestamp) {
        self.server.handle_drain(now);
    }
}

#[cfg(test)]
impl<O: Offload> Driver<O> {
    /// Panics after so many datagrams of clients, once.
    pub(in crate::shard) const fn with_fuse(mut self, fuse: Option<u32>) -> Self {
        self.fuse = fuse;
        self
    }

    /// Panics, and once more when allocations are to be ended.
    pub(in crate::shard) fn fail_for_good(&mut self) {
        self.fuse = Some(1);
        panic!("on purpose");
    }

    /// A datagram was handled, and what follows from it was not done.
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
