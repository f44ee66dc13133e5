//! Why a flow was not installed in the kernel, or not removed.

use crate::FlowError;

/// Why a flow was not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The map is full. There is room again when flows end.
    #[error("the flow map is full ({max_flows} flows): a larger one can be asked for at start")]
    Full {
        /// The size of the map.
        max_flows: u32,
    },
    /// The flow is invalid.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// By chance, Send indications of the same client to another peer have the same key.
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
