//! Differences between a replay and its recording.

use serde::Serialize;

/// A difference between the replay and the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The row in which it shows.
    pub row: u32,
    /// The kind of difference.
    pub kind: DifferenceKind,
    /// What differs, in words.
    pub text: String,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The recorded relay and the replayed one sent different bytes to the same address.
    Bytes,
    /// The replayed relay sent a packet that was not recorded.
    NotRecorded,
    /// The recorded relay sent a packet that the replayed one does not send.
    NotReplayed,
    /// A recorded input does not fit the replayed relay's state.
    Input,
}
