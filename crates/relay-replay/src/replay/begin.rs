//! Begins the replay of a relay that was running when its recording began.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use packet_trace::{Clock, ShardSnapshot, TraceHeader};
use relay_server::{Allocation, Config, Server, Snapshot};

use super::{Replay, Shard, config, credentials};
use crate::{
    AllocationView, Change, ChannelView, NotReplayed, PermissionView, allocation_view::RelayedView, timeline::Timeline,
};

impl Replay {
    /// The relay that `header` describes. Each shard begins with its state ([`Self::begin`]).
    pub(crate) fn of_snapshots(header: &TraceHeader) -> Self {
        Self { clock: header.clock, shards: header.shards.iter().map(|_| None).collect() }
    }

    /// Restores a shard, and shows what it had.
    ///
    /// # Errors
    ///
    /// When the state is of no shard of this relay, or cannot be restored.
    pub(crate) fn begin(&mut self, timeline: &mut Timeline, snapshot: &ShardSnapshot) -> Result<(), NotReplayed> {
        let bad = |what: String| NotReplayed::BadState { shard: snapshot.shard, what };
        let slot = usize::try_from(snapshot.shard).ok().and_then(|shard| self.shards.get_mut(shard));
        let slot = slot.ok_or_else(|| bad("the recording has no such worker".to_owned()))?;
        if slot.is_some() {
            return Err(bad("it comes a second time".to_owned()));
        }
        let server = restore(snapshot).map_err(bad)?;
        let shard = slot.insert(Shard::new(snapshot.shard, server, snapshot.with_secret));
        shard.show_beginning(timeline, snapshot.unix_nanos, self.clock);
        Ok(())
    }
}

fn restore(snapshot: &ShardSnapshot) -> Result<Server, String> {
    let state = Snapshot::from_bytes(&snapshot.state).map_err(|error| error.to_string())?;
    let (config, accepted) = (config::config(&snapshot.config)?, credentials::of_snapshot(snapshot)?);
    state.restore(config, accepted).map_err(|error| error.to_string())
}

impl Shard {
    /// Adds a row with the allocations that there are, if there are any.
    fn show_beginning(&mut self, timeline: &mut Timeline, unix_nanos: u64, clock: Clock) {
        let mut allocations = BTreeMap::new();
        for allocation in self.server.allocations() {
            let number = timeline.next_allocation();
            self.numbers.insert(allocation.id().as_u64(), number);
            self.by_port.insert(allocation.port().get(), number);
            self.by_client.insert(allocation.five_tuple(), number);
            allocations.insert(number, view(allocation, self.index, self.server.config(), clock));
        }
        let is_draining = self.server.is_draining();
        if !allocations.is_empty() || is_draining {
            timeline.internal(self.index, unix_nanos);
            timeline.change(Change::Began { shard: self.index, allocations: Arc::new(allocations), is_draining });
        }
        // The recorded relay has done already what the configuration demands, so there is nothing, unless the file is damaged.
        let outputs = self.outputs();
        self.take(timeline, None, outputs);
    }
}

fn view(allocation: &Allocation, shard: u32, config: &Config, clock: Clock) -> AllocationView {
    let relayed = allocation.families().iter().filter_map(|family| {
        Some(RelayedView {
            address: config.relay_addresses.socket(family, allocation.port())?,
            lifetime: u32::try_from(allocation.lifetime().as_secs()).unwrap_or(u32::MAX),
            expires_at: clock.to_unix(allocation.family_expires_at(family)?.as_nanos()),
        })
    });
    let channels = allocation.channels().iter().map(|channel| {
        let view = ChannelView {
            peer: channel.peer().address(),
            bound: channel.is_bound(),
            expires_at: clock.to_unix(channel.expires_at().as_nanos()),
            reusable_at: clock.to_unix(channel.reusable_at().as_nanos()),
            packets: 0,
        };
        (channel.number().get(), view)
    });
    let permissions = allocation.permissions().iter().map(|permission| {
        let expires_at = clock.to_unix(permission.expires_at().as_nanos());
        (permission.address(), PermissionView { expires_at, packets: 0 })
    });
    let five_tuple = allocation.five_tuple();
    AllocationView {
        id: allocation.id().as_u64().to_string(),
        shard,
        client: five_tuple.client.address(),
        server: SocketAddr::new(five_tuple.server, config.listen_port),
        username: allocation.owner().username().to_string(),
        relayed: relayed.collect(),
        channels: channels.collect(),
        permissions: permissions.collect(),
        bytes_up: 0,
        bytes_down: 0,
    }
}
