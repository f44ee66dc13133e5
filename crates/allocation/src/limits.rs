use std::time::Duration;

/// How many channels an allocation may have by default: as many as there are channel numbers in
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12), `0x4000..=0x4FFF`.
pub const DEFAULT_CHANNEL_LIMIT: u16 = 0x1000;

/// How many permissions an allocation may have by default.
pub const DEFAULT_PERMISSION_LIMIT: u16 = 0x1000;

/// How many channels and permissions there may be. A channel takes about 125 bytes and a permission about 100, so these limits bound the
/// memory that clients can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one allocation, lapsed channels included.
    pub channels_per_allocation: u16,
    /// Of one allocation.
    pub permissions_per_allocation: u16,
    /// Of all allocations together, lapsed channels included.
    pub channels: u32,
    /// Of all allocations together.
    pub permissions: u32,
}

impl Default for Limits {
    /// [`DEFAULT_CHANNEL_LIMIT`] and [`DEFAULT_PERMISSION_LIMIT`] for each allocation, and no limit for all together.
    fn default() -> Self {
        Self {
            channels_per_allocation: DEFAULT_CHANNEL_LIMIT,
            permissions_per_allocation: DEFAULT_PERMISSION_LIMIT,
            channels: u32::MAX,
            permissions: u32::MAX,
        }
    }
}

/// How long a port that another program holds is not drawn again: 1 minute. So each such port costs one attempt per minute,
/// not one per request.
pub const PORT_QUARANTINE: Duration = Duration::from_secs(60);

/// How many ports are tried for one allocation before it fails.
pub const MAX_PORTS_TRIED: u8 = 16;
