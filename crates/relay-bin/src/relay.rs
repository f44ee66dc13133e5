//! Starts the shards, waits for the end, and says how it went.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, anyhow};
use relay_server::PortRange;
use socket2::Socket;
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    banner,
    clock::Clock,
    config::{Config, OsEntropy},
    limits, listen,
    offload::{self, Xdp},
    portal::Portal,
    ports,
    shard::{self, AddressMap, MESSAGES, RelayBinding, Setup},
    shutdown::Signals,
    stats::{self, Published},
    threads::Threads,
};

/// How long shards may take to end. They only finish what they are at.
const GRACE: Duration = Duration::from_secs(5);

/// Relays until told to end.
///
/// # Errors
///
/// When it cannot start, or a shard fails.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().context("cannot start a runtime")?;
    runtime.block_on(serve(config))
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut signals = Signals::catch()?;
    limits::raise_open_files(config);
    log_start(config);
    let places = Places::bind(config)?;
    let xdp = config.offload.as_ref().map(Xdp::start).transpose()?;
    let mut portal = match &config.portal {
        Some(portal) => Some(Portal::start(portal, config)?),
        None => None,
    };
    if let Some(portal) = &mut portal {
        tokio::select! {
            registered = portal.wait_until_registered() => registered?,
            signal = signals.next() => {
                tracing::info!(signal, "stopped before the portal let it serve");
                return Ok(());
            }
        }
    }
    let mut shards = Shards::start(config, places, xdp.as_ref())?;
    tokio::select! {
        started = shards.wait_until_ready() => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before it served");
            return Ok(());
        }
    }
    tracing::info!("the relay is up");
    if portal.is_none() {
        banner::print(config, Clock::unix_time(), &OsEntropy).map_err(|error| anyhow!(error))?;
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
    tracing::info!(signal, "stopping; once more ends at once");
    if let Some(portal) = &mut portal {
        portal.leave();
    }
    if let Some(xdp) = &xdp {
        // What arrives from now on is relayed through the sockets, as long as they are open.
        xdp.detach();
    }
    tokio::select! {
        stopped = async { tokio::join!(shards.stop(), good_bye(&mut portal)).0 } => stopped?,
        signal = signals.next() => tracing::warn!(signal, "not waiting for the workers"),
    }
    let in_kernel = xdp.map(|xdp| format!("{xdp}; ")).unwrap_or_default();
    tracing::info!("relay stopped: {in_kernel}{}", stats::fold(&shards.published));
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
        version = env!("CARGO_PKG_VERSION"),
        ?addresses,
        listen_port = config.listen_port,
        lowest_port = config.ports.lowest(),
        highest_port = config.ports.highest(),
        workers = config.workers,
        realm = config.realm,
        rng_seed = config.rng_seed,
        "starting"
    );
    if config.rng_seed_is_given {
        tracing::warn!(
            "the random number seed is given: nonces, ports and a drawn secret can be guessed; for tests only"
        );
    }
}

/// What the shards serve at: held before the portal hears of this relay, so that it hears only of one that can serve.
struct Places {
    /// The allocation ports of each shard.
    parts: Vec<PortRange>,
    /// The listening sockets of each shard.
    listeners: Vec<Vec<Socket>>,
}

impl Places {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let parts = ports::partition(config.ports, config.workers)?;
        let listeners = listen::bind(config)?;
        listen::check_allocation_ports(config, &parts)?;
        Ok(Self { parts, listeners })
    }
}

/// The running shards.
struct Shards {
    threads: Threads,
    published: Vec<Published>,
    ready: Vec<oneshot::Receiver<()>>,
    stop: watch::Sender<bool>,
}

impl Shards {
    fn start(config: &Config, places: Places, xdp: Option<&Xdp>) -> anyhow::Result<Self> {
        let Places { parts, listeners } = places;
        let clock = Clock::start();
        let (stop, stopped) = watch::channel(false);
        let (senders, receivers): (Vec<_>, Vec<_>) = parts.iter().map(|_| mpsc::channel(MESSAGES)).unzip();
        let mut shards = Self { threads: Threads::new(), published: Vec::new(), ready: Vec::new(), stop };
        let each = parts.into_iter().zip(listeners).zip(receivers).zip(config.worker_seeds());
        for (index, (((ports, listeners), messages), seed)) in each.enumerate() {
            let (tell_ready, ready) = oneshot::channel();
            let published = Published::default();
            let others = senders.iter().enumerate().filter(|(other, _)| *other != index);
            let setup = Setup {
                server: server_config(config, ports),
                all_ports: config.ports,
                secret: config.secret.clone(),
                seed,
                clock,
                listeners,
                binding: RelayBinding {
                    v4: config.v4.map(|family| family.relay),
                    v6: config.v6.map(|family| family.relay),
                },
                addresses: AddressMap::new(config.families().map(|family| (family.public, family.local)), config.ports),
                offload: match xdp {
                    Some(xdp) => Box::new(xdp.worker()),
                    None => Box::new(offload::Null),
                },
                published: published.clone(),
                messages,
                others: others.map(|(_, sender)| sender.clone()).collect(),
                ready: tell_ready,
                stop: stopped.clone(),
            };
            shards.threads.spawn(move || shard::run(setup))?;
            shards.published.push(published);
            shards.ready.push(ready);
        }
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

    async fn stop(&mut self) -> anyhow::Result<()> {
        // An error means that all have ended already.
        let _ = self.stop.send(true);
        match timeout(GRACE, self.threads.wait_for_all()).await {
            Ok(result) => result,
            Err(_) => Err(anyhow!("a worker did not end within {} seconds", GRACE.as_secs())),
        }
    }
}

fn server_config(config: &Config, ports: PortRange) -> relay_server::Config {
    relay_server::Config {
        relay_addresses: config.relay_addresses(),
        own_addresses: config.own_addresses.clone(),
        listen_port: config.listen_port,
        ports,
        realm: config.realm.clone(),
        username_limit: config.username_limit,
    }
}
