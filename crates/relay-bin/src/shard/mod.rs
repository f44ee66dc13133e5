//! One shard: one thread, one state machine, one event loop over all its sockets.
//!
//! The thread owns all of it, so a relayed packet takes no lock and crosses no thread. Other threads send messages to the shard's
//! [mailbox](Sender).

mod address_map;
mod driver;
mod early;
mod event_loop;
mod handover;
mod icmp;
mod inbound;
mod ingress;
mod limit_warnings;
mod live_channels;
mod live_permissions;
mod mailbox;
mod memory;
mod network;
mod outbound;
mod poller;
pub(crate) mod ports;
mod pulse;
mod refused_indications;
mod relay_table;
mod restart;
mod send_failures;
mod shared_quota;
#[cfg(test)]
mod simulation;
mod sockets;
pub(crate) mod stats;
mod withheld_replies;

use std::sync::{Arc, mpsc};

use anyhow::Context;
use relay_server::{PortRange, ShardId, Snapshot, Timestamp};
use tokio::sync::oneshot;
use turn_auth::{AcceptedCredentials, UnixTime};

use self::{
    driver::Driver,
    event_loop::EventLoop,
    restart::{Blueprint, Known},
    sockets::Sockets,
    stats::Published,
};
use crate::{
    accounting::AccountingSender,
    addresses::AddressState,
    clock::Clock,
    faults::Faults,
    files::Files,
    listen::Listening,
    offload::Offload,
    record::{RecordedServer, Recorder},
};

pub(crate) use self::{
    address_map::HeldPorts,
    handover::{GiveTo, HandoverStep, Inherited},
    mailbox::{Mail, Mailbox, Sender},
    poller::Poller,
    pulse::{Pulse, STUCK_AFTER},
    shared_quota::SharedQuota,
};

/// The parts of a shard. They can be sent to the shard's thread.
pub(crate) struct Setup {
    pub(crate) server: relay_server::Config,
    /// The allocation ports of all shards.
    pub(crate) all_ports: PortRange,
    /// The credentials that it accepts.
    pub(crate) accepted: Arc<AcceptedCredentials>,
    pub(crate) seed: [u8; 32],
    pub(crate) clock: Clock,
    /// The listening sockets, bound to the listening port.
    pub(crate) listeners: Vec<Listening>,
    /// The relay's addresses at the start.
    pub(crate) addresses: Arc<AddressState>,
    /// The ports that allocations of all shards hold.
    pub(crate) held_ports: HeldPorts,
    /// The number of allocations of each user, and of each limited network, on all shards.
    pub(crate) shared_quota: SharedQuota,
    pub(crate) files: Files,
    pub(crate) faults: Faults,
    pub(crate) offload: Box<dyn Offload + Send>,
    pub(crate) published: Published,
    /// Where the shard waits for packets and mail.
    pub(crate) poller: Poller,
    pub(crate) mailbox: Mailbox,
    /// The number of this shard.
    pub(crate) shard: ShardId,
    /// The other shards.
    pub(crate) others: Vec<(ShardId, Sender)>,
    /// The start time, on both clocks.
    pub(crate) started: (Timestamp, UnixTime),
    pub(crate) recorder: Option<Recorder>,
    /// What it takes over from another process.
    pub(crate) inherited: Option<Inherited>,
    /// Told when it may begin to read: all other shards are ready, too. `None` to begin at once.
    pub(crate) go: Option<mpsc::Receiver<()>>,
    /// Signalled once the shard serves.
    pub(crate) ready: oneshot::Sender<()>,
    /// Shows that the shard turns.
    pub(crate) pulse: Pulse,
    /// Sends the events of its allocations to accounting.
    pub(crate) accounting: AccountingSender,
    /// For tests: panic after this many datagrams of clients.
    #[cfg(test)]
    pub(crate) fuse: Option<u32>,
}

/// Runs a shard on the calling thread until [`Mail::Stop`].
///
/// # Errors
///
/// When it cannot start, the kernel cannot report ready sockets, or it panics and cannot begin anew.
pub(crate) fn run(setup: Setup) -> anyhow::Result<()> {
    let Setup { server, all_ports, accepted, seed, clock, listeners, addresses, held_ports, files, faults, .. } = setup;
    let Setup {
        offload,
        published,
        poller,
        mailbox,
        shard,
        others,
        started,
        recorder,
        ready,
        pulse,
        accounting,
        shared_quota,
        ..
    } = setup;
    let count = u16::try_from(others.len() + 1).context("there are too many workers")?;
    let tells_icmp = server.indications;
    let blueprint = Blueprint { config: server, accepted, seed, shard, count, all_ports };
    let server = match &setup.inherited {
        None => blueprint.server(0, &Known::default(), started.0, started.1)?,
        Some(Inherited { state, .. }) => {
            let snapshot = Snapshot::from_bytes(&state.snapshot).context("cannot read the state of a worker")?;
            blueprint.restore(snapshot).context("cannot go on with the state of a worker")?
        }
    };
    let server = RecordedServer::new(server, recorder);
    let watcher = poller.watcher().context("cannot watch sockets")?;
    let mut sockets =
        Sockets::new(listeners, all_ports, &addresses, held_ports, watcher, files, faults.clone(), tells_icmp)
            .context("cannot use a listening socket")?;
    let mut driver = Driver::new(server, offload, published, others, accounting).with_shared_quota(shared_quota);
    if let Some(inherited) = setup.inherited {
        driver.take_over(started.0, &mut sockets, inherited)?;
    }
    #[cfg(test)]
    let driver = driver.with_fuse(setup.fuse);
    let event_loop = EventLoop::new(driver, sockets, poller, mailbox, clock, pulse);
    // Nobody receives this if another shard has failed meanwhile.
    let _ = ready.send(());
    if let Some(go) = setup.go
        && go.recv().is_err()
    {
        // Another worker could not go on.
        return Ok(());
    }
    restart::run(event_loop, &blueprint, &faults)
}
