//! The sockets that are there before anybody is served.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use relay_server::PortRange;

use crate::{
    addresses::FamilyAddresses,
    files::Files,
    listen::{self, Listening, Role},
    options::Config,
    shard::ports,
};

/// The sockets of the shards. They are bound before the relay registers, so that the portal never gets a relay that cannot serve.
pub(super) struct BoundSockets {
    /// The allocation ports of each shard.
    pub(super) parts: Vec<PortRange>,
    /// The listening sockets of each shard.
    pub(super) listeners: Vec<Vec<Listening>>,
    pub(super) files: Files,
}

impl BoundSockets {
    pub(super) fn bind(config: &Config, files: Files) -> anyhow::Result<Self> {
        let parts = ports::partition(config.ports, config.workers);
        let families: Vec<FamilyAddresses> = config.families().collect();
        let listeners = listen::bind(&families, config.listen_port, config.workers, config.selector_key())?;
        listen::check_allocation_ports(&families, config.ports)?;
        Ok(Self { parts, listeners, files })
    }

    /// Those that another process has bound.
    pub(super) fn adopt(config: &Config, listeners: Vec<Vec<Listening>>, files: Files) -> Self {
        Self { parts: ports::partition(config.ports, config.workers), listeners, files }
    }

    /// The roles of the listening sockets of each worker, and files of their own for the same sockets, in that order.
    ///
    /// # Errors
    ///
    /// When the process has no file left.
    pub(super) fn share(&self) -> io::Result<(Vec<Vec<Role>>, Vec<OwnedFd>)> {
        let roles = self.listeners.iter().map(|worker| worker.iter().map(|listening| listening.role).collect());
        let sockets = self.listeners.iter().flatten().map(|listening| listening.socket.as_fd().try_clone_to_owned());
        Ok((roles.collect(), sockets.collect::<io::Result<_>>()?))
    }
}
