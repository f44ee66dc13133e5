//! Why a capture is not replayed, or not any further.

/// Why a capture is inspected and not replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReplayed {
    /// It was not recorded by a relay of this project.
    #[error(
        "it was not recorded by this relay itself, so it says nothing of the relay's configuration, seed and secret"
    )]
    NoHeader,
    /// The secret was not recorded.
    #[error(
        "it was recorded without the auth secret (which needs an explicit option), so signatures and nonces cannot be computed"
    )]
    NoSecret,
    /// The recording began while the relay was running, and does not have the relay's state.
    #[error("the recording began while the relay was already running, so its state at that moment is unknown")]
    NotFromStart,
    /// The recording begins with the relay's state, and this build cannot restore it (feature `snapshots`).
    #[error("the recording begins with a snapshot of the relay's state, which the playground does not read yet")]
    SnapshotNotRead,
    /// The state of a shard cannot be restored.
    #[error("the state of worker {shard} when the recording began cannot be used: {what}")]
    BadState {
        /// The shard.
        shard: u32,
        /// What is wrong with it.
        what: String,
    },
    /// The state of this shard is missing.
    #[error("the state of worker {0} when the recording began is missing")]
    NoState(u32),
    /// A packet cannot be replayed without the secret. Everything before it was replayed.
    #[error(
        "from packet {packet} on, the auth secret is needed to check who sends a request, and it was not recorded; what comes before was replayed"
    )]
    SecretNeeded {
        /// The packet, counted from 1 as in the packet list.
        packet: u32,
    },
    /// The header is invalid.
    #[error("its replay data cannot be used: {0}")]
    BadHeader(String),
}
