//! Why flows do not get into the kernel, or out of it.

use crate::FlowError;

/// Why a flow was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There are as many flows as the map was made for. There is room again when flows end.
    #[error("the flow map is full ({max_flows} flows): a larger one can be asked for at start")]
    Full {
        /// How many that is.
        max_flows: u32,
    },
    /// The flow itself is at fault.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// Send indications of the same client to another peer have the same key, by chance.
    #[error("the key of the flow is another peer's")]
    OtherPeer,
    /// The kernel refused.
    #[error("the kernel refused the flow")]
    Kernel(#[source] std::io::Error),
}

/// Why a flow was not removed.
#[derive(Debug, thiserror::Error)]
#[error("the kernel did not remove the flow")]
pub struct RemoveError(#[source] pub(crate) std::io::Error);
