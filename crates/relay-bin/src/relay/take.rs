//! The new process's part of a handover: see [`crate::handover`].

use std::{env, io, os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, bail};
use relay_server::Snapshot;
use turn_auth::AuthSecret;

use crate::{
    clock::Clock,
    handover::{Channel, ControlSocket, Hello, Offer, Ready, Restored, Shared, VERSION, Yours},
    listen::{Listening, Role},
    operations::Bound,
    options::Config,
    shard::Inherited,
    version,
};

/// The environment variable that tells a process that another one hands over to it, and where: at its standard input.
pub(super) const HANDOVER: &str = "FIREZONE_RELAY_HANDOVER";

/// How long the old process may take for each message.
const LIMIT: Duration = Duration::from_secs(30);

/// How long the old process may take to let go of everything once it has nothing to do any more.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The sockets that the old process listens at.
pub(super) struct Taking {
    channel: Channel,
    offer: Offer,
    pub(super) listeners: Vec<Vec<Listening>>,
    pub(super) health: Vec<Bound>,
    pub(super) control: Vec<Bound>,
}

/// Who a process with this configuration is.
pub(super) fn hello(config: &Config) -> Hello {
    let listen = config.families().map(|family| (family.listen, config.listen_port).into());
    Hello {
        version: VERSION,
        snapshot_version: Snapshot::VERSION,
        relay: version::text().to_owned(),
        workers: u16::try_from(config.workers.get()).unwrap_or(u16::MAX),
        listen: listen.collect(),
        public: config.families().map(|family| family.public).collect(),
        ports: config.ports,
        realm: config.realm.clone(),
    }
}

impl Taking {
    /// Begins to take over, if another process wants to hand over to this one. `config` gets what that one has drawn.
    ///
    /// # Errors
    ///
    /// When the other process does not go on.
    pub(super) fn begin(config: &mut Config) -> anyhow::Result<Option<Self>> {
        if env::var_os(HANDOVER).is_none() {
            return Ok(None);
        }
        let input = io::stdin().as_fd().try_clone_to_owned().context("cannot reach the process that hands over")?;
        let channel = Channel::new(input);
        channel.wait_at_most(LIMIT).with_context(|| format!("{HANDOVER} is set, but standard input is no socket"))?;
        channel.send(&hello(config), &[]).context("cannot say hello to the process that hands over")?;
        // It may refuse this one, and says why itself.
        let (offer, files): (Offer, _) = channel.receive().context("the process that hands over does not go on")?;
        let mut files = files.into_iter();
        let mut next = || files.next().context("a socket is missing");
        let mut listeners = Vec::new();
        for roles in &offer.listeners {
            let adopt = |role: &Role| Ok(role.adopt(next()?)?);
            listeners.push(roles.iter().map(adopt).collect::<anyhow::Result<_>>()?);
        }
        let mut health = Vec::new();
        for _ in 0..offer.health {
            health.push(Bound::adopt(next()?, None)?);
        }
        let mut control = Vec::new();
        for socket in &offer.control {
            let path = match socket {
                ControlSocket::Tcp => None,
                ControlSocket::Unix(path) => Some(path.clone()),
            };
            control.push(Bound::adopt(next()?, path)?);
        }
        let drawn = offer.drawn_secret.as_ref().map(|secret| AuthSecret::new(secret)).transpose()?;
        config.credentials.inherit(drawn, offer.nonce_key.as_ref().map(|key| **key));
        tracing::info!(version = offer.relay, process = offer.process, "taking over from another process");
        Ok(Some(Self { channel, offer, listeners, health, control }))
    }

    /// A clock that agrees with the other process's.
    ///
    /// # Errors
    ///
    /// When the kernel has none.
    pub(super) fn clock(&self) -> anyhow::Result<Clock> {
        Ok(Clock::of_origin(self.offer.clock_origin)?)
    }

    /// Waits for the state of all workers. From now on the other process relays nothing.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub(super) fn receive_state(&self) -> anyhow::Result<(Vec<Inherited>, Shared)> {
        self.channel.send(&Ready, &[])?;
        let mut workers = Vec::new();
        for number in 0..self.offer.listeners.len() {
            let (state, sockets) =
                self.channel.receive().with_context(|| format!("cannot take over the state of worker {number}"))?;
            workers.push(Inherited { state, sockets });
        }
        let (shared, _) = self.channel.receive().context("cannot take over what workers share")?;
        Ok((workers, shared))
    }

    /// All workers can go on. Returns when they are to begin.
    ///
    /// # Errors
    ///
    /// When the other process has gone on instead.
    pub(super) fn take_over(&self) -> anyhow::Result<()> {
        self.channel.send(&Restored, &[]).context("the process that handed over has gone on")?;
        match self.channel.receive() {
            Ok((Yours, _)) => Ok(()),
            // It was told, and died: nobody else serves.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error).context("the process that handed over does not end"),
        }
    }

    /// Waits until the other process has let go of everything, such as the interfaces.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn wait_for_end(&self) -> anyhow::Result<()> {
        self.channel.wait_at_most(END_LIMIT)?;
        match self.channel.receive::<Yours>() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => bail!("the process that handed over does not end: {error}"),
            Ok(_) => bail!("the process that handed over said something unexpected"),
        }
    }
}
