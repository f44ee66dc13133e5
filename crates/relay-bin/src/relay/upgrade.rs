//! The next version of the relay takes over, if it can.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    process,
    sync::Arc,
    time::Duration,
};

use nix::unistd::Pid;
use tokio::{sync::Notify, time::sleep};
use turn_auth::AuthSecret;

use super::{
    bound_sockets::BoundSockets,
    give::{self, Successors},
    shards::Shards,
    signals::{EndSignal, Signals},
    take,
};
use crate::{
    accounting::Accounting,
    clock::Clock,
    handover::{Channel, ControlSocket, Figures, Offer, Shared},
    listen::Role,
    operations::Bound,
    options::Config,
    supervise,
    telemetry::Observer,
    version,
};

/// How an upgrade went.
pub(super) enum Upgrade {
    /// This process has nothing to do any more: this one has taken over. It attaches its XDP program when the channel closes.
    Done(Pid, Arc<Channel>),
    /// It serves on.
    Failed,
    /// It is told to end.
    CutShort(EndSignal),
}

/// The sockets that the next process gets at once.
pub(super) struct Given {
    listeners: Vec<Vec<Role>>,
    health: u16,
    control: Vec<ControlSocket>,
    /// In the order of [`Offer`].
    files: Vec<OwnedFd>,
    clock: Clock,
}

impl Given {
    pub(super) fn of(bound: &BoundSockets, health: &[Bound], control: &[Bound], clock: Clock) -> io::Result<Self> {
        let (listeners, mut files) = bound.share()?;
        for socket in health {
            files.push(socket.share()?.0);
        }
        let mut paths = Vec::new();
        for socket in control {
            let (file, path) = socket.share()?;
            files.push(file);
            paths.push(path.map_or(ControlSocket::Tcp, ControlSocket::Unix));
        }
        let health = u16::try_from(health.len()).unwrap_or(u16::MAX);
        Ok(Self { listeners, health, control: paths, files, clock })
    }

    fn offer(&self, config: &Config) -> anyhow::Result<(Offer, Vec<OwnedFd>)> {
        let credentials = &config.credentials;
        let drawn = credentials.secret().filter(|_| credentials.is_drawn).map(AuthSecret::expose);
        let offer = Offer {
            relay: version::text().to_owned(),
            process: process::id(),
            drawn_secret: drawn.map(|secret| secret.to_owned().into()),
            nonce_key: credentials.accepted.nonce_key.clone(),
            clock_origin: self.clock.origin_nanos()?,
            listeners: self.listeners.clone(),
            health: self.health,
            control: self.control.clone(),
        };
        let files = self.files.iter().map(|file| file.as_fd().try_clone_to_owned()).collect::<io::Result<_>>()?;
        Ok((offer, files))
    }
}

/// How long connections for health, metrics and control may take to be answered when another process has taken over.
const ANSWERS: Duration = Duration::from_millis(100);

/// Answers what this process has accepted, and passes signals on to `process`, which has taken over.
pub(super) async fn linger(process: Pid, signals: &mut Signals, upgrades: &Notify) {
    let end = sleep(ANSWERS);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return,
            signal = signals.next() => supervise::pass_on(process, signal.number()),
            () = upgrades.notified() => supervise::hang_up(process),
        }
    }
}

/// Has the next process take over.
pub(super) async fn upgrade(
    successors: &Successors,
    config: &Config,
    given: &Given,
    shards: &Shards,
    (observer, accounting): (&Observer, &Accounting),
    signals: &mut Signals,
) -> Upgrade {
    tracing::info!(program = %successors, "SIGHUP: handing over to a new process");
    let result = tokio::select! {
        result = try_upgrade(successors, config, given, shards, observer, accounting) => result,
        signal = signals.next() => {
            tracing::info!(%signal, "the handover is cut short");
            return Upgrade::CutShort(signal);
        }
    };
    match result {
        Ok((process, channel)) => {
            tracing::info!("handed over: all allocations are the new process's");
            Upgrade::Done(process, channel)
        }
        Err(error) => {
            tracing::error!("the new process does not take over, this one serves on: {error:#}");
            Upgrade::Failed
        }
    }
}

async fn try_upgrade(
    successors: &Successors,
    config: &Config,
    given: &Given,
    shards: &Shards,
    observer: &Observer,
    accounting: &Accounting,
) -> anyhow::Result<(Pid, Arc<Channel>)> {
    let (offer, files) = given.offer(config)?;
    let shared = async {
        let figures = Figures::export(observer, accounting).await?.to_bytes()?;
        Ok(Shared { quota: shards.shared_quota.counts(), figures })
    };
    give::hand_over(successors, &take::hello(config), offer, files, &shards.mail, shared).await
}
