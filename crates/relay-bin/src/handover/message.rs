//! The messages of a handover, in the order in which they are sent.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use relay_server::{PortRange, QuotaHolder};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::listen::Role;

/// Goes up with every change of what the processes say to each other, but for the state of workers, which has a version of its own.
pub(crate) const VERSION: u16 = 1;

/// The new process has read its options. What is here must be as in the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// [`VERSION`].
    pub(crate) version: u16,
    /// The version of the state of workers.
    pub(crate) snapshot_version: u16,
    /// What `--version` says.
    pub(crate) relay: String,
    pub(crate) workers: u16,
    /// Where it is to listen.
    pub(crate) listen: Vec<SocketAddr>,
    /// The public addresses of its allocations.
    pub(crate) public: Vec<IpAddr>,
    pub(crate) ports: PortRange,
    pub(crate) realm: String,
}

/// The sockets that both may listen at, as files in this order: those of each worker, for health checks, for control.
#[derive(Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) relay: String,
    /// The process id of the old process.
    pub(crate) process: u32,
    /// A secret that nobody but the old process knows.
    pub(crate) drawn_secret: Option<Zeroizing<String>>,
    pub(crate) nonce_key: Option<Zeroizing<[u8; 32]>>,
    /// What its timestamps count from, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) clock_origin: u64,
    /// The roles of the listening sockets of each worker.
    pub(crate) listeners: Vec<Vec<Role>>,
    /// How many sockets there are for health checks.
    pub(crate) health: u16,
    pub(crate) control: Vec<ControlSocket>,
}

/// A socket for control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ControlSocket {
    Tcp,
    /// With its path.
    Unix(PathBuf),
}

/// The new process lacks nothing but the state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready;

/// What workers share.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// How many allocations users and networks have.
    pub(crate) quota: BTreeMap<QuotaHolder, u32>,
    /// [`Figures`](super::Figures) as bytes.
    pub(crate) figures: Vec<u8>,
}

/// The new process can serve all allocations.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Restored;

/// All is the new process's from now on: it begins to serve, and the old process has nothing to do any more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Yours;
