use serde::Serialize;

/// Something that the replay did otherwise than the recording says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The row where it shows.
    pub row: u32,
    /// Of which kind it is.
    pub kind: DifferenceKind,
    /// What differs, in words.
    pub text: String,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The recorded relay and the replayed one sent other bytes to the same address.
    Bytes,
    /// The replayed relay sent something that was not recorded.
    NotRecorded,
    /// The recorded relay sent something that the replayed one does not.
    NotReplayed,
    /// An input of the recording makes no sense to the replayed relay.
    Input,
}
