//! The life of the relay: starts everything, waits for the end, drains and stops.

mod banner;
mod bound_sockets;
mod drain;
mod give;
mod kernel_path;
mod registration;
mod settle;
mod shard_figures;
mod shards;
mod signals;
mod standstill;
mod take;
mod threads;
mod upgrade;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use relay_server::QuotaHolder;
use tokio::{runtime::Builder, task::spawn_blocking, time::timeout};

use self::{
    bound_sockets::BoundSockets,
    drain::Drained,
    give::Successors,
    shard_figures::ShardFigures,
    shards::Shards,
    signals::{EndSignal, Signals},
    take::Taking,
    threads::GRACE,
    upgrade::{Given, Upgrade, upgrade},
};
use crate::{
    accounting::Accounting,
    addresses,
    clock::Clock,
    credentials,
    file_watch::FileWatch,
    files,
    handover::{Figures, Shared},
    listen,
    logging::FilterControl,
    names::NamedCounts,
    offload::Xdp,
    operations::{self, Operations},
    option_names::{CONTROL_ENDPOINT, HEALTH_CHECK_ADDR},
    options::{Config, Options, Problems},
    output::Output,
    peers,
    phase::{Phase, Phases},
    portal::Portal,
    record::RecordControl,
    shard::{
        Inherited, Mail,
        stats::{self, Published},
    },
    supervise,
    telemetry::Tracer,
    version,
};

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
            Some(mut config) => serve(&mut config, operations, filter, output, signals).await,
            None => Ok(()),
        }
    })
}

async fn serve(
    config: &mut Config,
    operations: &mut Operations,
    filter: FilterControl,
    output: &Output,
    mut signals: Signals,
) -> anyhow::Result<()> {
    let successors = Successors::of_this().context("cannot find the file of this program")?;
    let files =
        files::raise_open_files(config.families().count(), config.workers, listen::SOCKETS_PER_WORKER, config.ports);
    log_start(config);
    let mut taking = Taking::begin(config)?;
    let config = &*config;
    config.credentials.log();
    config.peers.log();
    let (bound, health, control, clock) = match &mut taking {
        None => (
            BoundSockets::bind(config, files)?,
            operations::bind(&config.operations.health, HEALTH_CHECK_ADDR)?,
            operations::bind(&config.operations.control, CONTROL_ENDPOINT)?,
            Clock::start(),
        ),
        Some(taking) => (
            BoundSockets::adopt(config, std::mem::take(&mut taking.listeners), files),
            std::mem::take(&mut taking.health),
            std::mem::take(&mut taking.control),
            taking.clock()?,
        ),
    };
    let given = Given::of(&bound, &health, &control, clock)?;
    // The interfaces are the other process's, until that has ended.
    let mut xdp = if taking.is_some() { None } else { kernel_path::start(config)? };
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
    let watched = ShardFigures::new(config, clock);
    let addresses = addresses::follow(config.addresses.clone(), config.tracker.clone())?;
    let mut observer = watched.observer(&phases, portal.as_ref(), xdp.as_ref(), output);
    let record = Arc::new(RecordControl::new(config.record_directory.clone(), watched.clock, watched.faults.clone()));
    let tracer = operations.tracer().map(Tracer::subscriber);
    if taking.is_some() && !registration::wait(&mut portal, Some(registration::LIMIT), &mut signals).await? {
        return Ok(());
    }
    // The state of another process comes when all else is ready, since nobody relays from then on.
    let (inherited, books, counts) = match &taking {
        None => (None, None, NamedCounts::default()),
        Some(taking) => {
            let (workers, Shared { quota, figures }) = taking.receive_state()?;
            let (books, counts) = Figures::from_bytes(&figures)?.inherit(&mut observer);
            (Some((workers, quota)), Some(books), counts)
        }
    };
    let observer = Arc::new(observer);
    let accounting = Accounting::start(
        watched.clock,
        config.relay_addresses(),
        Arc::clone(&output.stderr),
        tracer,
        xdp.as_ref().map(Xdp::flow_meter),
        watched.faults.clone(),
        books,
    )?;
    let setup = operations::Setup {
        health,
        control,
        files,
        observer: Arc::clone(&observer),
        filter,
        record: Arc::clone(&record),
        users: accounting.user_totals(),
    };
    // Until it has taken over, the other process answers.
    let mut setup = Some(setup);
    if taking.is_none() {
        if let Some(setup) = setup.take() {
            operations.serve(setup);
        }
        if !registration::wait(&mut portal, None, &mut signals).await? {
            return Ok(());
        }
    }
    let started = tokio::select! {
        started = start_shards(config, bound, addresses, xdp.as_ref(), &watched, record, &accounting, inherited, taking.as_ref()) => started,
        signal = signals.next() => {
            tracing::info!(%signal, "stopped before it served");
            if taking.is_some() {
                accounting.abandon();
            }
            return Ok(());
        }
    };
    let (mut shards, watches) = match started {
        Ok(started) => started,
        Err(error) => {
            if taking.is_some() {
                // The other process goes on with these accounts.
                accounting.abandon();
            }
            return Err(error);
        }
    };
    let upgrades = signals.upgrades();
    signals.reload_with(watches);
    let mail = shards.mail.clone();
    accounting.ask_shards_with(move || {
        mail.iter().for_each(|shard| shard.send(Mail::TellAccounts));
        mail.len()
    });
    phases.advance(Phase::Serving);
    if let Some(setup) = setup {
        operations.serve(setup);
    }
    match &taking {
        None => tracing::info!("the relay is up"),
        Some(_) => tracing::info!("the relay is up, with the allocations of the process before it"),
    }
    if portal.is_none() && taking.is_none() {
        banner::print(config, Clock::unix_time(), &output.stdout, io::stdout().is_terminal());
    }
    if let Some(taking) = taking {
        // It serves already, whatever the other process does.
        match spawn_blocking(move || taking.wait_for_end()).await {
            Ok(Ok(())) => xdp = kernel_path::start_late(config, &shards, &watched, &accounting, &counts),
            Ok(Err(error)) => tracing::error!("relaying in user space after the handover: {error:#}"),
            Err(error) => tracing::error!("relaying in user space after the handover: this is a bug: {error}"),
        }
    }

    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = upgrades.notified() => {
                match upgrade(&successors, config, &given, &shards, (&observer, &accounting), &mut signals).await {
                    Upgrade::Done(process, channel) => {
                        if let Some(xdp) = &xdp {
                            xdp.detach();
                        }
                        operations.hand_over();
                        upgrade::linger(process, &mut signals, &upgrades).await;
                        accounting.abandon();
                        output.finish();
                        let error = supervise::let_go();
                        // It closes when this process ends or becomes another program.
                        drop(channel);
                        return Err(error);
                    }
                    Upgrade::Failed => {}
                    Upgrade::CutShort(signal) => break signal,
                }
            }
            ended = shards.threads.wait_for_one() => {
                ended?;
                return Err(anyhow!("a worker ended by itself: this is a bug"));
            }
            ended = portal_ended(&mut portal) => {
                ended?;
                return Err(anyhow!("the portal client ended by itself: this is a bug"));
            }
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
    let in_kernel = match (&xdp, observer.offload()) {
        (None, counters) if counters.relayed_bytes == 0 => String::new(),
        // Also what the kernel relayed for the processes before this one.
        (xdp, counters) => format!("{}; ", counters.summary(xdp.as_ref().is_none_or(Xdp::is_counted))),
    };
    tracing::info!("relay stopped: {in_kernel}{}", stats::fold(&watched.published));
    Ok(())
}

/// Starts the workers and what watches files for them, and lets them begin when they may. With `taking` that is last: until then the other
/// process can go on, whatever fails here.
#[expect(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
async fn start_shards(
    config: &Config,
    bound: BoundSockets,
    addresses: addresses::AddressWatch,
    xdp: Option<&Xdp>,
    watched: &ShardFigures,
    record: Arc<RecordControl>,
    accounting: &Accounting,
    inherited: Option<(Vec<Inherited>, BTreeMap<QuotaHolder, u32>)>,
    taking: Option<&Taking>,
) -> anyhow::Result<(Shards, [FileWatch; 2])> {
    let mut shards = Shards::start(config, bound, addresses, xdp, watched, record, accounting, inherited).await?;
    let mail = shards.mail.clone();
    let of_credentials = credentials::watch(&config.credentials, &watched.faults, move |accepted| {
        mail.iter().for_each(|shard| shard.send(Mail::Accept(Arc::clone(&accepted))));
    })?;
    let mail = shards.mail.clone();
    let of_peers = peers::watch(&config.peers, &watched.faults, move |policy| {
        mail.iter().for_each(|shard| shard.send(Mail::PeerPolicy(Arc::clone(&policy))));
    })?;
    if let Some(taking) = taking {
        taking.take_over()?;
        shards.begin();
    }
    Ok((shards, [of_credentials, of_peers]))
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
