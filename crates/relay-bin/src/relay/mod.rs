//! The life of the relay: starts everything, waits for the end, drains and stops.

mod banner;
mod drain;
mod settle;
mod shards;
mod signals;
mod threads;

use std::{
    io::{self, IsTerminal as _},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, anyhow};
use relay_server::PortRange;
use tokio::{runtime::Builder, sync::watch, time::timeout};

use self::{
    drain::Drained,
    shards::Shards,
    signals::{EndSignal, Signals},
};
use crate::{
    accounting::Accounting,
    addresses::{self, AddressState, FamilyAddresses},
    clock::Clock,
    credentials,
    faults::Faults,
    files::{self, Files},
    listen::{self, Listening},
    logging::FilterControl,
    offload::{self, OffloadStatistics, Xdp},
    operations::{self, Operations},
    option_names::{CONTROL_ENDPOINT, HEALTH_CHECK_ADDR},
    options::{Config, Options, Problems},
    output::{Losses, Output},
    peers,
    phase::{Phase, Phases},
    portal::Portal,
    record::RecordControl,
    shard::{
        Mail, Pulse, ports,
        stats::{self, Published},
    },
    telemetry::{Observer, Tracer},
    version,
};

/// How long shards may take to stop. They only finish their current turn.
const GRACE: Duration = Duration::from_secs(5);

/// Relays until a signal ends it, and gives `operations` access to the running relay. `config` is the result of `options`; it is an
/// error if this machine lacks an address that they name.
///
/// # Errors
///
/// When the relay cannot start, or a shard fails.
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
        match settle::settle(options, config, &mut signals).await? {
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
    let files =
        files::raise_open_files(config.families().count(), config.workers, listen::SOCKETS_PER_WORKER, config.ports);
    log_start(config);
    config.credentials.log();
    config.peers.log();
    let bound = BoundSockets::bind(config, files)?;
    let health = operations::bind(&config.operations.health, HEALTH_CHECK_ADDR)?;
    let control = operations::bind(&config.operations.control, CONTROL_ENDPOINT)?;
    let is_limited = config.bandwidth.is_limited();
    let xdp = config.offload.as_ref().map(|offload| offload::start(offload, is_limited)).transpose()?.flatten();
    let mut portal = match &config.portal {
        Some(portal) => Some(Portal::start(
            portal,
            config.relay_addresses(),
            config.listen_port,
            config.credentials.secret(),
            config.portal_seed(),
        )?),
        None => None,
    };
    let phases = Phases::new();
    let watched = ShardFigures::new(config);
    let addresses = addresses::follow(config.addresses.clone(), config.tracker.clone())?;
    let observer = Arc::new(watched.observer(&phases, portal.as_ref(), xdp.as_ref(), output));
    let record = Arc::new(RecordControl::new(config.record_directory.clone(), watched.clock, watched.faults.clone()));
    let tracer = operations.tracer().map(Tracer::subscriber);
    let accounting = Accounting::start(
        watched.clock,
        config.relay_addresses(),
        Arc::clone(&output.stderr),
        tracer,
        xdp.as_ref().map(Xdp::flow_meter),
        watched.faults.clone(),
        None,
    )?;
    operations.serve(operations::Setup {
        health,
        control,
        files,
        observer,
        filter,
        record: Arc::clone(&record),
        users: accounting.user_totals(),
    });
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
        shards = Shards::start(config, bound, addresses, xdp.as_ref(), &watched, record, &accounting) => shards?,
        signal = signals.next() => {
            tracing::info!(%signal, "stopped before it served");
            return Ok(());
        }
    };
    let mail = shards.mail.clone();
    let of_credentials = credentials::watch(&config.credentials, &watched.faults, move |accepted| {
        mail.iter().for_each(|shard| shard.send(Mail::Accept(Arc::clone(&accepted))));
    })?;
    let mail = shards.mail.clone();
    let of_peers = peers::watch(&config.peers, &watched.faults, move |policy| {
        mail.iter().for_each(|shard| shard.send(Mail::PeerPolicy(Arc::clone(&policy))));
    })?;
    signals.reload_with([of_credentials, of_peers]);
    let mail = shards.mail.clone();
    accounting.ask_shards_with(move || {
        mail.iter().for_each(|shard| shard.send(Mail::TellAccounts));
        mail.len()
    });
    phases.advance(Phase::Serving);
    tracing::info!("the relay is up");
    if portal.is_none() {
        banner::print(config, Clock::unix_time(), &output.stdout, io::stdout().is_terminal());
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
        // Packets are relayed through the sockets from now on, as long as those are open.
        xdp.detach();
    }
    tracing::info!(%signal, "stopping; once more ends at once");
    phases.advance(Phase::Stopping);
    tokio::select! {
        stopped = async { tokio::join!(shards.stop(), good_bye(&mut portal)).0 } => stopped?,
        signal = signals.next() => tracing::warn!(%signal, "not waiting for the workers"),
    }
    // Logs the accounts of allocations that end here.
    drop(accounting);
    let in_kernel = xdp.map(|xdp| format!("{xdp}; ")).unwrap_or_default();
    tracing::info!("relay stopped: {in_kernel}{}", stats::fold(&watched.published));
    Ok(())
}

/// Waits until all allocations have ended, with a time limit.
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

/// Waits for the end of the portal client. Without a portal it never returns.
async fn portal_ended(portal: &mut Option<Portal>) -> anyhow::Result<()> {
    match portal {
        Some(portal) => portal.wait_for_end().await,
        None => std::future::pending().await,
    }
}

/// Waits until the portal knows that the relay leaves, for at most [`GRACE`]: this is only a courtesy.
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

/// The sockets of the shards. They are bound before the relay registers, so that the portal never gets a relay that cannot serve.
struct BoundSockets {
    /// The allocation ports of each shard.
    parts: Vec<PortRange>,
    /// The listening sockets of each shard.
    listeners: Vec<Vec<Listening>>,
    files: Files,
}

impl BoundSockets {
    fn bind(config: &Config, files: Files) -> anyhow::Result<Self> {
        let parts = ports::partition(config.ports, config.workers);
        let families: Vec<FamilyAddresses> = config.families().collect();
        let listeners = listen::bind(&families, config.listen_port, config.workers, config.selector_key())?;
        listen::check_allocation_ports(&families, config.ports)?;
        Ok(Self { parts, listeners, files })
    }
}

/// The figures that shards publish, and their clock.
struct ShardFigures {
    clock: Clock,
    published: Vec<Published>,
    pulses: Vec<Pulse>,
    faults: Faults,
    /// The relay's addresses, as last sent to all shards.
    addresses: watch::Sender<Arc<AddressState>>,
}

impl ShardFigures {
    fn new(config: &Config) -> Self {
        let workers = config.workers.get();
        Self {
            clock: Clock::start(),
            published: std::iter::repeat_with(Published::default).take(workers).collect(),
            pulses: std::iter::repeat_with(Pulse::default).take(workers).collect(),
            faults: Faults::default(),
            addresses: watch::Sender::new(Arc::new(config.addresses.clone())),
        }
    }

    fn observer(&self, phases: &Phases, portal: Option<&Portal>, xdp: Option<&Xdp>, output: &Output) -> Observer {
        let offload: Box<dyn OffloadStatistics> = match xdp {
            Some(xdp) => Box::new(xdp.statistics()),
            None => Box::new(offload::NoOffload),
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
            inherited_log_losses: Losses::default(),
            faults: self.faults.clone(),
        }
    }
}
