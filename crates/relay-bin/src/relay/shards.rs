//! Starts the shards of a running relay, sends them mail, and stops them.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, mpsc},
};

use anyhow::{Context, anyhow};
use relay_server::{AddressStatuses, PortRange, QuotaBy, QuotaHolder, ShardId};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    bound_sockets::BoundSockets,
    shard_figures::ShardFigures,
    threads::{GRACE, Threads},
};
use crate::{
    accounting::Accounting,
    addresses::{AddressState, AddressWatch},
    clock::Clock,
    credentials::PRINTED_USER,
    offload::{self, Xdp},
    options::Config,
    record::{RecordControl, ShardStart, TellShard},
    shard::{self, HeldPorts, Inherited, Mail, Mailbox, Poller, Setup, SharedQuota},
};

const CANNOT_WATCH: &str = "cannot make an event queue (is the limit on open files reached?)";

/// The running shards.
pub(super) struct Shards {
    pub(super) threads: Threads,
    record: Arc<RecordControl>,
    ready: Vec<oneshot::Receiver<()>>,
    pub(super) mail: Vec<shard::Sender>,
    pub(super) shared_quota: SharedQuota,
    /// Lets workers begin that have taken over.
    begin: Vec<mpsc::Sender<()>>,
}

impl Shards {
    #[expect(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
    pub(super) async fn start(
        config: &Config,
        bound: BoundSockets,
        mut addresses: AddressWatch,
        xdp: Option<&Xdp>,
        watched: &ShardFigures,
        record: Arc<RecordControl>,
        accounting: &Accounting,
        inherited: Option<(Vec<Inherited>, BTreeMap<QuotaHolder, u32>)>,
    ) -> anyhow::Result<Self> {
        let BoundSockets { parts, listeners, files } = bound;
        let started = (watched.clock.now(), Clock::unix_time());
        let state = Arc::clone(&addresses.borrow_and_update());
        let held_ports = HeldPorts::new();
        let takes_over = inherited.is_some();
        let (inherited, shared_quota) = match inherited {
            Some((workers, quota)) => (workers, SharedQuota::of(quota)),
            None => (Vec::new(), SharedQuota::default()),
        };
        let mut inherited = inherited.into_iter();
        let peers = match &config.offload {
            Some(offload) if xdp.is_some() => offload.peers(),
            // The kernel path begins later, and needs the peers that the other process has remembered.
            Some(offload) if takes_over => offload::peers_later(offload, config.bandwidth.is_limited()),
            _ => 0,
        };
        let starts: Vec<_> = parts
            .into_iter()
            .zip(config.worker_seeds())
            .map(|(ports, seed)| ShardStart { server: server_config(config, &state, ports, peers), seed, started })
            .collect();
        let mut mail = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in &starts {
            let poller = Poller::new().context(CANNOT_WATCH)?;
            let (sender, mailbox) = Mailbox::new(&poller).context(CANNOT_WATCH)?;
            mail.push(sender);
            mailboxes.push((poller, mailbox));
        }
        let tell = |shard: &shard::Sender| -> TellShard {
            let shard = shard.clone();
            Box::new(move |recorder| shard.send(Mail::RecordWith(recorder)))
        };
        let recorders = record.begin(
            // A recording begins with a state machine that has nothing.
            config.record.as_ref().filter(|_| !takes_over),
            config.ports,
            Arc::clone(&config.credentials.accepted),
            &starts,
            mail.iter().map(tell).collect(),
        );
        let mut recorders = recorders.await?.into_iter();
        let mut shards =
            Self { threads: Threads::new(), record, ready: Vec::new(), mail, shared_quota, begin: Vec::new() };
        if state.statuses() != AddressStatuses::default() || *state != config.addresses {
            // The state machine's configuration has no address status, so it is sent before the shards serve.
            shards.tell(|| Mail::Addresses(Arc::clone(&state)));
        }
        let shown = watched.published.iter().cloned().zip(watched.pulses.iter().cloned());
        let each = starts.into_iter().zip(listeners).zip(mailboxes).zip(shown);
        for (index, (((start, listeners), (poller, mailbox)), (published, pulse))) in each.enumerate() {
            let (tell_ready, ready) = oneshot::channel();
            let shard = |number: usize| u16::try_from(number).map(ShardId::new).context("there are too many workers");
            let others = shards.mail.iter().enumerate().filter(|(other, _)| *other != index);
            let others = others.map(|(other, sender)| Ok((shard(other)?, sender.clone())));
            let inherited = inherited.next();
            let life = inherited.as_ref().map_or(0, |inherited| inherited.state.accounting_life);
            let setup = Setup {
                server: start.server,
                all_ports: config.ports,
                accepted: Arc::clone(&config.credentials.accepted),
                seed: start.seed,
                clock: watched.clock,
                listeners,
                addresses: Arc::clone(&state),
                held_ports: held_ports.clone(),
                shared_quota: shards.shared_quota.clone(),
                files,
                faults: watched.faults.clone(),
                offload: match xdp {
                    Some(xdp) => Box::new(xdp.worker()),
                    None => Box::new(offload::NoOffload),
                },
                published,
                poller,
                mailbox,
                shard: shard(index)?,
                others: others.collect::<anyhow::Result<_>>()?,
                started,
                recorder: recorders.next(),
                inherited,
                go: takes_over.then(|| shards.begins_with()),
                ready: tell_ready,
                pulse,
                accounting: accounting.sender(shard(index)?).with_life(life),
                #[cfg(test)]
                fuse: None,
            };
            shards.threads.spawn(move || shard::run(setup))?;
            shards.ready.push(ready);
        }
        watched.addresses.send_replace(state);
        tokio::spawn(tell_of_addresses(addresses, shards.mail.clone(), watched.addresses.clone()));
        shards.wait_until_ready().await?;
        Ok(shards)
    }

    /// What tells the next worker to begin.
    fn begins_with(&mut self) -> mpsc::Receiver<()> {
        let (begin, begins) = mpsc::channel();
        self.begin.push(begin);
        begins
    }

    /// Those that have taken over begin to read.
    pub(super) fn begin(&mut self) {
        for begin in self.begin.drain(..) {
            // An error means that it has ended, and says so itself.
            let _ = begin.send(());
        }
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for ready in &mut self.ready {
            if ready.await.is_err() {
                // The worker ended before it served. Its result has the reason.
                self.threads.wait_for_one().await?;
                return Err(anyhow!("a worker ended before it served: this is a bug"));
            }
        }
        Ok(())
    }

    pub(super) fn tell(&self, mail: impl Fn() -> Mail) {
        self.mail.iter().for_each(|sender| sender.send(mail()));
    }

    /// Stops all shards and waits until they have ended.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.tell(|| Mail::Stop);
        match timeout(GRACE, self.threads.wait_for_all()).await {
            Ok(result) => {
                // All recorders are dropped with the workers.
                self.record.finish().await;
                result
            }
            Err(_) => Err(anyhow!("a worker did not end within {} seconds", GRACE.as_secs())),
        }
    }
}

/// Sends address changes to the shards, then publishes them: once the relay says that it is ready, its responses agree.
async fn tell_of_addresses(
    mut addresses: AddressWatch,
    shards: Vec<shard::Sender>,
    told: watch::Sender<Arc<AddressState>>,
) {
    // An error means that the address watcher has ended, and the relay ends too.
    while addresses.changed().await.is_ok() {
        let state = Arc::clone(&addresses.borrow_and_update());
        shards.iter().for_each(|shard| shard.send(Mail::Addresses(Arc::clone(&state))));
        told.send_replace(state);
    }
}

/// `peers` is the number of peers whose indications the kernel has room for.
fn server_config(config: &Config, addresses: &AddressState, ports: PortRange, peers: u32) -> relay_server::Config {
    relay_server::Config {
        relay_addresses: config.relay_addresses(),
        own_addresses: addresses.own.clone(),
        listen_port: config.listen_port,
        ports,
        realm: config.realm.clone(),
        username_limit: config.username_limit,
        // The portal gives each client its own username.
        quota_by: if config.portal.is_some() { QuotaBy::Username } else { QuotaBy::UserId },
        allocations_per_prefix: config.allocations_per_prefix,
        // The banner of a relay with a drawn secret shows the secret, too: a limit on its user would limit nobody.
        unlimited_user: config.credentials.is_drawn.then(|| PRINTED_USER.into()),
        strict_expiry: config.credentials.strict_expiry,
        nonce_lifetime: config.credentials.nonce_lifetime,
        // The kernel spreads the clients behind one address over the workers.
        reply_limit: config.reply_limit.map(|limit| share(limit, config.workers)),
        limits: config.limits,
        bandwidth: config.bandwidth,
        indications: config.relaying.indications,
        // The workers share the kernel's table.
        indicated_peers: peers / u32::try_from(config.workers.get()).unwrap_or(u32::MAX),
        dont_fragment: udp_batch::can_send_unfragmented(),
        default_family: config.relaying.default_family,
        peer_policy: config.peers.policy(),
    }
}

/// Each worker's part of `limit`, at least 1.
fn share(limit: NonZeroU32, workers: NonZeroUsize) -> NonZeroU32 {
    let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
    NonZeroU32::new(limit.get().div_ceil(workers)).unwrap_or(NonZeroU32::MIN)
}
