//! What the driver does while its relay is handed over: see [`crate::shard::handover`].

use anyhow::{Context as _, ensure};
use relay_server::{Snapshot, Timestamp};

use super::Driver;
use crate::{
    offload::Offload,
    shard::{handover::Inherited, sockets::Sockets},
};

impl<O: Offload> Driver<O> {
    /// From now on nothing happens but what other shards cause: the kernel forwards nothing, and nothing is recorded.
    pub(in crate::shard) fn stand_still(&mut self, now: Timestamp) {
        if self.server.is_recorded() {
            tracing::warn!(
                "the recording ends here: a relay that is handed over to another process is not recorded further"
            );
        }
        self.server.record_with(now, None);
        for flow in self.server.server().flows() {
            self.remove_flow(&flow.key);
        }
        self.accounting.flush();
    }

    /// The whole state of the state machine.
    pub(in crate::shard) fn snapshot(&self, now: Timestamp) -> Snapshot {
        self.server.server().snapshot(now)
    }

    /// [`AccountingSender::life`](crate::accounting::AccountingSender::life).
    pub(in crate::shard) const fn accounting_life(&self) -> u64 {
        self.accounting.life()
    }

    /// Everything goes on as before [`Self::stand_still`].
    pub(in crate::shard) fn go_on(&mut self) {
        for flow in self.server.server().flows() {
            self.install_flow(&flow);
        }
    }

    /// The state machine has the allocations of another process: takes their sockets over, and goes on counting.
    pub(in crate::shard) fn take_over(
        &mut self,
        now: Timestamp,
        sockets: &mut Sockets,
        inherited: Inherited,
    ) -> anyhow::Result<()> {
        let Inherited { state, sockets: files } = inherited;
        let server = self.server.server();
        ensure!(state.relays.len() == files.len(), "{} sockets came, not {}", files.len(), state.relays.len());
        sockets.set_listener_drops(&state.listener_drops);
        for (described, file) in state.relays.iter().zip(files) {
            let allocation = server.allocation(described.id).with_context(|| format!("{described:?} is nobody's"))?;
            sockets.adopt(*described, allocation, file).with_context(|| format!("cannot take over {described:?}"))?;
        }
        self.go_on();
        // What the options of this process do not allow any more ends.
        self.settle(now, sockets);
        Ok(())
    }
}

impl Driver<Box<dyn Offload + Send>> {
    /// From now on `offload` forwards flows, where none did before.
    pub(in crate::shard) fn offload_to(&mut self, offload: Box<dyn Offload + Send>) {
        self.offload = offload;
        self.go_on();
    }
}
