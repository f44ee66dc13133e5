//! The checked configuration of recordings.

use std::path::PathBuf;

/// The default size limit, 1 GiB: most disks have room for it, and the playground can open it.
pub(crate) const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordConfig {
    pub(crate) file: PathBuf,
    pub(crate) with_secret: bool,
    pub(crate) payload_bytes: Option<u32>,
    pub(crate) max_bytes: u64,
    pub(crate) max_packets: Option<u64>,
    /// What to do if the file exists already.
    pub(crate) existing: Existing,
}

/// What to do if the file exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Overwrite it. For the option: its user could as well remove the file.
    Overwrite,
    /// Keep it and fail. For the control endpoint, which anybody on this machine may use.
    Keep,
}
