//! What becomes of a worker that panics.
//!
//! A panic is a bug, and the state machine that it happened in is in no known state. So its allocations end, in the ordinary way: other
//! workers, the kernel's flows, quotas and accounting hear of each. Then the worker begins anew with an empty state machine. Its
//! listening sockets, its mailbox and its place among the workers stay: the kernel hands clients to the socket with a number, and a
//! socket that is closed changes the numbers of the others.
//!
//! Everything that the state machine and its driver have is memory-safe after a panic, and theirs alone. What workers share are
//! counters behind locks that are held for one look-up, and atomics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use relay_server::{AcceptedCredentials, Config, PeerPolicy, PortRange, Server, ShardId, Timestamp};
use turn_auth::UnixTime;

use super::{event_loop::EventLoop, inbound::Inbound, mailbox::Mail};
use crate::{
    addresses::AddressState,
    clock::TimeSource,
    faults::{Faults, Part},
};

/// How soon after a restart another panic makes the worker wait.
const SOON: Duration = Duration::from_secs(10);

/// How long it waits then, so that a panic that comes again and again leaves time for others, and few lines in the log.
const PAUSE: Duration = Duration::from_secs(1);

/// The streams of random numbers below this one are for other purposes.
const FIRST_STREAM: u64 = 1 << 32;

/// What a worker's state machines are made from, one life after the other.
pub(super) struct Blueprint {
    pub(super) config: Config,
    pub(super) accepted: Arc<AcceptedCredentials>,
    pub(super) seed: [u8; 32],
    pub(super) shard: ShardId,
    /// How many workers there are.
    pub(super) count: u16,
    pub(super) all_ports: PortRange,
}

impl Blueprint {
    /// The state machine of life number `life`, the first of which is 0.
    pub(super) fn server(&self, life: u64, known: &Known, now: Timestamp, unix: UnixTime) -> anyhow::Result<Server> {
        let mut config = self.config.clone();
        if let Some(policy) = &known.policy {
            config.peer_policy = Arc::clone(policy);
        }
        let accepted = known.accepted.as_ref().unwrap_or(&self.accepted);
        let server = Server::new(config, Arc::clone(accepted), self.seed_of(life), now, unix)?;
        Ok(server.as_shard(self.shard, self.count, self.all_ports))
    }

    /// No life draws the ports and tokens of another.
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

/// What a worker was told since it started, for its next life.
#[derive(Debug, Default)]
pub(super) struct Known {
    accepted: Option<Arc<AcceptedCredentials>>,
    policy: Option<Arc<PeerPolicy>>,
    pub(super) addresses: Option<Arc<AddressState>>,
    pub(super) is_draining: bool,
}

impl Known {
    /// Keeps what `mail` says.
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

/// Turns `event_loop` until it is told to stop, whatever panics.
///
/// # Errors
///
/// When the kernel does not let it wait, or a worker that has panicked cannot begin anew: then others cannot go on, either.
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
            // The log has it already.
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
