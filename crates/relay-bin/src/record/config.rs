use std::path::PathBuf;

/// 1 GiB: what a disk can spare, and the playground opens.
pub(crate) const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordConfig {
    pub(crate) file: PathBuf,
    pub(crate) with_secret: bool,
    pub(crate) payload_bytes: Option<u32>,
    pub(crate) max_bytes: u64,
    pub(crate) max_packets: Option<u64>,
    /// What becomes of a file that exists already.
    pub(crate) existing: Existing,
}

/// What to do with a file that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Who gave the option could as well have removed it.
    Overwrite,
    /// Who asks through the control endpoint may be anybody on this machine.
    Keep,
}
