//! Where flows go: the interface between a relay and a fast path.

use crate::{Counters, Flow, FlowError, FlowKey};

/// A data path that forwards flows ahead of user space.
pub trait Engine {
    /// From now on, packets of `flow` may be forwarded without user space. A flow of the same key is replaced.
    ///
    /// # Errors
    /// If it cannot: the flow then stays in user space, and nothing is lost.
    fn install(&self, flow: &Flow) -> Result<(), InstallError>;

    /// From now on, packets that match `key` go to user space. Returns what was forwarded of that flow since it was installed, and
    /// `None` if it was not.
    ///
    /// # Errors
    /// If the engine does not let go of the flow.
    fn remove(&self, key: &FlowKey) -> Result<Option<Counters>, RemoveError>;

    /// What was forwarded of a flow since it was installed; `None` if there is none of that key.
    fn forwarded(&self, key: &FlowKey) -> Option<Counters>;
}

/// Why a flow was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There are as many flows as the engine was made for. It is empty again when flows end.
    #[error("the flow map is full ({max_flows} flows): a larger one can be asked for at start")]
    Full {
        /// How many that is.
        max_flows: u32,
    },
    /// The flow itself is at fault.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// The kernel refused.
    #[error("the kernel refused the flow")]
    Kernel(#[source] std::io::Error),
}

/// Why a flow was not removed.
#[derive(Debug, thiserror::Error)]
#[error("the kernel did not remove the flow")]
pub struct RemoveError(#[source] pub(crate) std::io::Error);
