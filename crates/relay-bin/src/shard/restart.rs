//! Restarts a worker that has panicked.
//!
//! A panic is a bug, and leaves the state machine in an unknown state. So its allocations end in the ordinary way: messages and
//! events about each go to other workers, the kernel's flow table, quotas and accounting. Then the worker begins anew with an empty
//! state machine. It keeps its listening sockets, its mailbox and its number: the kernel assigns clients to a socket by the
//! socket's index, and closing a socket changes the indexes of the others.
//!
//! The state machine and its driver are memory-safe after a panic, and no other thread uses them. Workers share only atomics, and
//! counters behind locks that are held for one look-up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use relay_server::{AcceptedCredentials, Config, PeerPolicy, PortRange, Server, ShardId, Snapshot, Timestamp};
use turn_auth::UnixTime;

use super::{event_loop::EventLoop, inbound::Inbound, mailbox::Mail};
use crate::{
    addresses::AddressState,
    clock::TimeSource,
    faults::{Faults, Part},
};

/// A panic within this time of the last start makes the worker wait.
const SOON: Duration = Duration::from_secs(10);

/// How long it waits, so that a repeated panic leaves CPU time for others and few lines in the log.
const PAUSE: Duration = Duration::from_secs(1);

/// Streams of random numbers below this one have other uses.
const FIRST_STREAM: u64 = 1 << 32;

/// What a worker's state machines are made from, one for each life.
pub(super) struct Blueprint {
    pub(super) config: Config,
    pub(super) accepted: Arc<AcceptedCredentials>,
    pub(super) seed: [u8; 32],
    pub(super) shard: ShardId,
    /// The number of workers.
    pub(super) count: u16,
    pub(super) all_ports: PortRange,
}

impl Blueprint {
    /// The state machine of life number `life`. The first life is 0.
    pub(super) fn server(&self, life: u64, known: &Known, now: Timestamp, unix: UnixTime) -> anyhow::Result<Server> {
        let mut config = self.config.clone();
        if let Some(policy) = &known.policy {
            config.peer_policy = Arc::clone(policy);
        }
        let accepted = known.accepted.as_ref().unwrap_or(&self.accepted);
        let server = Server::new(config, Arc::clone(accepted), self.seed_of(life), now, unix)?;
        Ok(server.as_shard(self.shard, self.count, self.all_ports))
    }

    /// The state machine that another process had.
    pub(super) fn restore(&self, snapshot: Snapshot) -> anyhow::Result<Server> {
        let (had, wanted) = (snapshot.shard(), (self.shard, self.count));
        anyhow::ensure!(had == wanted, "the state is that of worker {had:?}, and this is worker {wanted:?}");
        Ok(snapshot.restore(self.config.clone(), Arc::clone(&self.accepted))?)
    }

    /// A different seed for each life, so that no life draws the ports and tokens of another.
    fn seed_of(&self, life: u64) -> [u8; 32] {
        if life == 0 {
            return self.seed;
        }
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        rng.set_stream(FIRST_STREAM + life);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        seed
    }
}

/// The settings that a worker has received by mail since it started, for its next life.
#[derive(Debug, Default)]
pub(super) struct Known {
    accepted: Option<Arc<AcceptedCredentials>>,
    policy: Option<Arc<PeerPolicy>>,
    pub(super) addresses: Option<Arc<AddressState>>,
    pub(super) is_draining: bool,
}

impl Known {
    /// Keeps the setting in `mail`, if it is one.
    pub(super) fn note(&mut self, mail: &Mail) {
        match mail {
            Mail::Addresses(addresses) => self.addresses = Some(Arc::clone(addresses)),
            Mail::PeerPolicy(policy) => self.policy = Some(Arc::clone(policy)),
            Mail::Accept(accepted) => self.accepted = Some(Arc::clone(accepted)),
            Mail::Drain => self.is_draining = true,
            _ => {}
        }
    }
}

/// Runs `event_loop` until [`Mail::Stop`], through all panics.
///
/// # Errors
///
/// When the kernel cannot report ready sockets, or a worker that has panicked cannot begin anew: then the whole relay must end.
pub(super) fn run<S: Inbound, C: TimeSource>(
    mut event_loop: EventLoop<S, C>,
    blueprint: &Blueprint,
    faults: &Faults,
) -> anyhow::Result<()> {
    let number = blueprint.shard.get();
    let mut began = event_loop.time();
    for life in 1.. {
        match catch_unwind(AssertUnwindSafe(|| event_loop.run())) {
            Ok(result) => return result,
            // The panic hook has logged it.
            Err(_) => faults.note(Part::Worker),
        }
        if event_loop.time() < began + SOON {
            thread::sleep(PAUSE);
        }
        began = event_loop.time();
        let allocations = catch_unwind(AssertUnwindSafe(|| event_loop.begin_anew(blueprint, life)));
        let allocations = allocations.map_err(|_| {
            anyhow!("it panicked, and again as it ended its allocations: this is a bug; the messages above say where")
        })?;
        let allocations = allocations.context("it cannot begin anew")?;
        tracing::error!(
            allocations,
            "worker {number} has panicked, which is a bug, and serves again: its allocations have ended, and their clients are answered 437 \
             until they allocate anew; clients of other workers are not affected"
        );
    }
    Ok(())
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod tests;
