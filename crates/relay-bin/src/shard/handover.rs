//! What a worker does while its relay is handed over to another process.
//!
//! It stops reading its sockets, so that what arrives waits in the kernel. It goes on taking mail, until no worker has any for another one.
//! Then it gives its state and its sockets away. If the other process does not begin to serve, it goes on as if nothing had been.

use std::{
    fmt, io,
    os::fd::{BorrowedFd, OwnedFd},
};

use relay_server::{AllocationPort, Family};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// What a worker is asked to do for a handover, in this order.
pub(crate) enum HandoverStep {
    /// Read no socket any more. Answered when nothing that was read is left to be handled.
    Pause(oneshot::Sender<()>),
    /// Say how much mail was taken since the last answer.
    Settle(oneshot::Sender<usize>),
    /// Give the state and the sockets away.
    Give(GiveTo, oneshot::Sender<io::Result<()>>),
    /// Go on: nobody has taken over.
    Resume,
    /// End. Allocations live on, in another process.
    Leave,
}

/// Takes a worker's state, and with it the sockets of its allocations, in the order in which the state lists them.
pub(crate) type GiveTo = Box<dyn FnOnce(&WorkerState, &[BorrowedFd<'_>]) -> io::Result<()> + Send>;

impl fmt::Debug for HandoverStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause(_) => "Pause",
            Self::Settle(_) => "Settle",
            Self::Give(..) => "Give",
            Self::Resume => "Resume",
            Self::Leave => "Leave",
        })
    }
}

/// All that a worker is, but for its sockets. It holds secrets, so it is not `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct WorkerState {
    /// A [`relay_server::Snapshot`].
    pub(super) snapshot: Zeroizing<Vec<u8>>,
    pub(super) relays: Vec<RelaySocket>,
    /// What the ids of its allocations differ by in accounting.
    pub(crate) accounting_life: u64,
    /// The kernel's counts of datagrams that it dropped at each listening socket.
    pub(super) listener_drops: Vec<u32>,
}

/// The socket of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelaySocket {
    pub(super) port: AllocationPort,
    pub(super) family: Family,
    /// The number of the allocation's id.
    pub(super) id: u64,
    /// How many datagrams the kernel had dropped there when they were last counted; wraps.
    pub(super) drops: u32,
}

/// What a worker takes over.
pub(crate) struct Inherited {
    pub(crate) state: WorkerState,
    /// In the order in which the state lists them.
    pub(crate) sockets: Vec<OwnedFd>,
}
