//! Starts the shards, waits for the end, and says how it went.

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, anyhow};
use relay_server::{AddressStatuses, PortRange, QuotaBy, ShardId};
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    addresses::{self, AddressState, AddressWatch},
    banner,
    cli::Options,
    clock::Clock,
    config::Config,
    credentials::{PRINTED_USER, Watch},
    drain::{self, Drained, Phase, Phases},
    health::Pulse,
    limits::{self, Files},
    listen::{self, Listening},
    logging::FilterControl,
    offload::{self, OffloadStatistics, Xdp},
    operations::{self, CONTROL_ENDPOINT, HEALTH_CHECK_ADDR, Operations},
    output::Output,
    portal::Portal,
    ports,
    problems::Problems,
    record::{RecordControl, ShardStart},
    shard::{self, HeldPorts, Mail, Mailbox, Poller, Setup},
    shutdown::{EndSignal, Signals},
    stats::{self, Published},
    telemetry::Observer,
    threads::Threads,
    version,
};

/// How long shards may take to end. They only finish what they are at.
const GRACE: Duration = Duration::from_secs(5);

const CANNOT_WATCH: &str = "cannot make an event queue (is the limit on open files reached?)";

/// Relays until told to end, as `options` say, and lets `operations` watch. `config` is what they come to, if this machine has
/// all that they name.
///
/// # Errors
///
/// When it cannot start, or a shard fails.
pub(crate) fn run(
    options: &Options,
    config: Result<Config, Problems>,
    operations: &mut Operations,
    filter: FilterControl,
    output: &Output,
) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::catch()?;
        match addresses::settle(options, config, &mut signals).await? {
            Some(config) => serve(&config, operations, filter, output, signals).await,
            None => Ok(()),
        }
    })
}

async fn serve(
    config: &Config,
    operations: &mut Operations,
    filter: FilterControl,
    output: &Output,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let files = limits::raise_open_files(config);
    log_start(config);
    config.credentials.log();
    let places = Places::bind(config, files)?;
    let health = operations::bind(&config.operations.health, HEALTH_CHECK_ADDR)?;
    let control = operations::bind(&config.operations.control, CONTROL_ENDPOINT)?;
    let xdp = config.offload.as_ref().map(Xdp::start).transpose()?;
    let mut portal = match &config.portal {
        Some(portal) => Some(Portal::start(portal, config)?),
        None => None,
    };
    let phases = Phases::new();
    let watched = Watched::new(config);
    let addresses = addresses::follow(config)?;
    let observer = watched.observer(&phases, portal.as_ref(), xdp.as_ref(), output);
    let record = Arc::new(RecordControl::new(config.record_directory.clone(), watched.clock));
    operations.serve(operations::Setup { health, control, files, observer, filter, record: Arc::clone(&record) });
    if let Some(portal) = &mut portal {
        tokio::select! {
            registered = portal.wait_until_registered() => registered?,
            signal = signals.next() => {
                tracing::info!(%signal, "stopped before the portal let it serve");
                return Ok(());
            }
        }
    }
    let mut shards = tokio::select! {
        shards = Shards::start(config, places, addresses, xdp.as_ref(), &watched, record) => shards?,
        signal = signals.next() => {
            tracing::info!(%signal, "stopped before it served");
            return Ok(());
        }
    };
    let mail = shards.mail.clone();
    let watch = Watch::start(&config.credentials, move |accepted| {
        mail.iter().for_each(|shard| shard.send(Mail::Accept(Arc::clone(&accepted))));
    })?;
    signals.reload_with(watch);
    phases.advance(Phase::Serving);
    tracing::info!("the relay is up");
    if portal.is_none() {
        banner::print(config, Clock::unix_time(), &output.stdout);
    }

    let signal = tokio::select! {
        signal = signals.next() => signal,
        ended = shards.threads.wait_for_one() => {
            ended?;
            return Err(anyhow!("a worker ended by itself: this is a bug"));
        }
        ended = portal_ended(&mut portal) => {
            ended?;
            return Err(anyhow!("the portal client ended by itself: this is a bug"));
        }
    };
    if let Some(portal) = &mut portal {
        portal.leave();
    }
    let limit = config.operations.drain_timeout;
    if signal == EndSignal::Terminate && !limit.is_zero() {
        phases.advance(Phase::Draining);
        shards.tell(|| Mail::Drain);
        finish_allocations(limit, &mut shards, &mut signals, &watched.published).await?;
    }
    if let Some(xdp) = &xdp {
        // What arrives from now on is relayed through the sockets, as long as they are open.
        xdp.detach();
    }
    tracing::info!(%signal, "stopping; once more ends at once");
    phases.advance(Phase::Stopping);
    tokio::select! {
        stopped = async { tokio::join!(shards.stop(), good_bye(&mut portal)).0 } => stopped?,
        signal = signals.next() => tracing::warn!(%signal, "not waiting for the workers"),
    }
    let in_kernel = xdp.map(|xdp| format!("{xdp}; ")).unwrap_or_default();
    tracing::info!("relay stopped: {in_kernel}{}", stats::fold(&watched.published));
    Ok(())
}

/// Relays on for the allocations that there are.
async fn finish_allocations(
    limit: Duration,
    shards: &mut Shards,
    signals: &mut Signals,
    workers: &[Published],
) -> anyhow::Result<()> {
    let allocations = stats::fold(workers).allocations();
    tracing::info!(allocations, ?limit, "draining: no new allocations, those that there are may end; a signal ends it");
    tokio::select! {
        drained = drain::wait(workers, limit) => match drained {
            Drained::Empty => tracing::info!("drained: no allocation is left"),
            Drained::TimedOut(allocations) => {
                tracing::warn!(allocations, "the time for draining is up: these allocations are cut off");
            }
        },
        signal = signals.next() => tracing::info!(%signal, "the drain is cut short"),
        ended = shards.threads.wait_for_one() => {
            ended?;
            return Err(anyhow!("a worker ended by itself: this is a bug"));
        }
    }
    Ok(())
}

/// Never, without a portal.
async fn portal_ended(portal: &mut Option<Portal>) -> anyhow::Result<()> {
    match portal {
        Some(portal) => portal.wait_for_end().await,
        None => std::future::pending().await,
    }
}

/// Waits until the portal knows that the relay goes, which is a courtesy.
async fn good_bye(portal: &mut Option<Portal>) {
    if let Some(portal) = portal {
        let _ = timeout(GRACE, portal.wait_for_end()).await;
    }
}

fn log_start(config: &Config) {
    let addresses: Vec<IpAddr> = config.families().map(|family| family.public).collect();
    tracing::info!(
        version = version::text(),
        ?addresses,
        listen_port = config.listen_port,
        lowest_port = config.ports.lowest(),
        highest_port = config.ports.highest(),
        workers = config.workers,
        realm = config.realm,
        "starting"
    );
    if config.seed_is_given {
        tracing::warn!(
            "the random number seed is given (--rng-seed): ports, reservation tokens and a drawn secret can be guessed; for tests only"
        );
    }
}

/// What the shards serve at: held before the portal hears of this relay, so that it hears only of one that can serve.
struct Places {
    /// The allocation ports of each shard.
    parts: Vec<PortRange>,
    /// The listening sockets of each shard.
    listeners: Vec<Vec<Listening>>,
    files: Files,
}

impl Places {
    fn bind(config: &Config, files: Files) -> anyhow::Result<Self> {
        let parts = ports::partition(config.ports, config.workers);
        let listeners = listen::bind(config)?;
        listen::check_allocation_ports(config)?;
        Ok(Self { parts, listeners, files })
    }
}

/// What the shards show of themselves, and the clock that they share.
struct Watched {
    clock: Clock,
    published: Vec<Published>,
    pulses: Vec<Pulse>,
    /// How the relay's addresses are, as far as all shards were told.
    addresses: watch::Sender<Arc<AddressState>>,
}

impl Watched {
    fn new(config: &Config) -> Self {
        let workers = config.workers.get();
        Self {
            clock: Clock::start(),
            published: std::iter::repeat_with(Published::default).take(workers).collect(),
            pulses: std::iter::repeat_with(Pulse::default).take(workers).collect(),
            addresses: watch::Sender::new(Arc::new(config.addresses.clone())),
        }
    }

    fn observer(&self, phases: &Phases, portal: Option<&Portal>, xdp: Option<&Xdp>, output: &Output) -> Observer {
        let offload: Box<dyn OffloadStatistics> = match xdp {
            Some(xdp) => Box::new(xdp.statistics()),
            None => Box::new(offload::Null),
        };
        Observer {
            clock: self.clock,
            start_unix_nanos: Clock::unix_nanos(),
            published: self.published.clone(),
            pulses: self.pulses.clone(),
            phase: phases.watch(),
            portal: portal.map(Portal::state),
            addresses: self.addresses.subscribe(),
            offload: Mutex::new(offload),
            log: Arc::clone(&output.stderr),
        }
    }
}

/// The running shards.
struct Shards {
    threads: Threads,
    record: Arc<RecordControl>,
    ready: Vec<oneshot::Receiver<()>>,
    mail: Vec<shard::Sender>,
}

impl Shards {
    async fn start(
        config: &Config,
        places: Places,
        mut addresses: AddressWatch,
        xdp: Option<&Xdp>,
        watched: &Watched,
        record: Arc<RecordControl>,
    ) -> anyhow::Result<Self> {
        let Places { parts, listeners, files } = places;
        let started = (watched.clock.now(), Clock::unix_time());
        let state = Arc::clone(&addresses.borrow_and_update());
        let held_ports = HeldPorts::new();
        let starts: Vec<_> = parts
            .into_iter()
            .zip(config.worker_seeds())
            .map(|(ports, seed)| ShardStart { server: server_config(config, &state, ports), seed, started })
            .collect();
        let mut mail = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in &starts {
            let poller = Poller::new().context(CANNOT_WATCH)?;
            let (sender, mailbox) = Mailbox::new(&poller).context(CANNOT_WATCH)?;
            mail.push(sender);
            mailboxes.push((poller, mailbox));
        }
        let mut recorders = record.begin(config, &starts, mail.clone()).await?.into_iter();
        let mut shards = Self { threads: Threads::new(), record, ready: Vec::new(), mail };
        if state.statuses() != AddressStatuses::default() || *state != config.addresses {
            // What shards are made from does not say so; they hear of it before they serve.
            shards.tell(|| Mail::Addresses(Arc::clone(&state)));
        }
        let shown = watched.published.iter().cloned().zip(watched.pulses.iter().cloned());
        let each = starts.into_iter().zip(listeners).zip(mailboxes).zip(shown);
        for (index, (((start, listeners), (poller, mailbox)), (published, pulse))) in each.enumerate() {
            let (tell_ready, ready) = oneshot::channel();
            let shard = |number: usize| u16::try_from(number).map(ShardId::new).context("there are too many workers");
            let others = shards.mail.iter().enumerate().filter(|(other, _)| *other != index);
            let others = others.map(|(other, sender)| Ok((shard(other)?, sender.clone())));
            let setup = Setup {
                server: start.server,
                all_ports: config.ports,
                accepted: Arc::clone(&config.credentials.accepted),
                seed: start.seed,
                clock: watched.clock,
                listeners,
                addresses: Arc::clone(&state),
                held_ports: held_ports.clone(),
                files,
                offload: match xdp {
                    Some(xdp) => Box::new(xdp.worker()),
                    None => Box::new(offload::Null),
                },
                published,
                poller,
                mailbox,
                shard: shard(index)?,
                others: others.collect::<anyhow::Result<_>>()?,
                started,
                recorder: recorders.next(),
                ready: tell_ready,
                pulse,
            };
            shards.threads.spawn(move || shard::run(setup))?;
            shards.ready.push(ready);
        }
        watched.addresses.send_replace(state);
        tokio::spawn(tell_of_addresses(addresses, shards.mail.clone(), watched.addresses.clone()));
        shards.wait_until_ready().await?;
        Ok(shards)
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        for ready in &mut self.ready {
            if ready.await.is_err() {
                // It ended before it served, and knows why.
                self.threads.wait_for_one().await?;
                return Err(anyhow!("a worker ended before it served: this is a bug"));
            }
        }
        Ok(())
    }

    fn tell(&self, mail: impl Fn() -> Mail) {
        self.mail.iter().for_each(|sender| sender.send(mail()));
    }

    /// Ends them, and waits until they have.
    async fn stop(&mut self) -> anyhow::Result<()> {
        self.tell(|| Mail::Stop);
        match timeout(GRACE, self.threads.wait_for_all()).await {
            Ok(result) => {
                // The workers are gone, and their ends of the queue with them.
                self.record.finish().await;
                result
            }
            Err(_) => Err(anyhow!("a worker did not end within {} seconds", GRACE.as_secs())),
        }
    }
}

/// Tells the shards how the relay's addresses are, and then the others: a relay that says that it is ready answers so.
async fn tell_of_addresses(
    mut addresses: AddressWatch,
    shards: Vec<shard::Sender>,
    told: watch::Sender<Arc<AddressState>>,
) {
    // An error means that nobody follows the addresses any more: the relay ends.
    while addresses.changed().await.is_ok() {
        let state = Arc::clone(&addresses.borrow_and_update());
        shards.iter().for_each(|shard| shard.send(Mail::Addresses(Arc::clone(&state))));
        told.send_replace(state);
    }
}

fn server_config(config: &Config, addresses: &AddressState, ports: PortRange) -> relay_server::Config {
    relay_server::Config {
        relay_addresses: config.relay_addresses(),
        own_addresses: addresses.own.clone(),
        listen_port: config.listen_port,
        ports,
        realm: config.realm.clone(),
        username_limit: config.username_limit,
        // The portal gives each client a username of its own.
        quota_by: if config.portal.is_some() { QuotaBy::Username } else { QuotaBy::UserId },
        // Whoever has what a relay with a drawn secret prints has the secret, too: it is there to be tried.
        unlimited_user: config.credentials.is_drawn.then(|| PRINTED_USER.into()),
        strict_expiry: config.credentials.strict_expiry,
        // The kernel spreads the clients behind one address over the workers.
        reply_limit: config.reply_limit.map(|limit| share(limit, config.workers)),
        indications: config.relaying.indications,
        default_family: config.relaying.default_family,
    }
}

/// The part of `limit` that one of `workers` may use up, at least 1.
fn share(limit: NonZeroU32, workers: NonZeroUsize) -> NonZeroU32 {
    let workers = u32::try_from(workers.get()).unwrap_or(u32::MAX);
    NonZeroU32::new(limit.get().div_ceil(workers)).unwrap_or(NonZeroU32::MIN)
}
