use postcard::{from_bytes, to_extend};
use zeroize::Zeroizing;

use super::Snapshot;

/// What every snapshot begins with.
const MAGIC: [u8; 8] = *b"\x89FZRELAY";

/// Goes up with every change of what a snapshot contains: the test `snapshot_format` fails until it does.
const VERSION: u16 = 1;

/// Magic number, version, and a CRC-32 of what follows, both in network byte order.
const HEADER_LEN: usize = MAGIC.len() + 2 + 4;

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They do not begin like one.
    #[error("this is not a snapshot of a relay")]
    NotASnapshot,
    /// It was taken by another version of this crate.
    #[error("the snapshot has format version {actual}, and this relay reads version {VERSION} only")]
    Version {
        /// The version of its format.
        actual: u16,
    },
    /// They were cut off, or changed.
    #[error("the snapshot is damaged: its checksum does not match")]
    Checksum,
    /// They cannot be decoded, though the checksum matches.
    #[error("the snapshot cannot be decoded: {0}")]
    Encoding(postcard::Error),
}

impl Snapshot {
    /// The version of the format of [`Self::to_bytes`].
    pub const VERSION: u16 = VERSION;

    /// The snapshot as bytes. They contain secrets: keep them off disks, or readable for the relay only.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Of no length that makes it grow, since that would leave copies of secrets behind.
        let len = postcard::experimental::serialized_size(self).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_LEN + len));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let written = to_extend(self, std::mem::take(&mut *bytes));
        *bytes = written.unwrap_or_default();
        let checksum = crc32fast::hash(bytes.get(HEADER_LEN..).unwrap_or_default());
        if let Some(header) = bytes.get_mut(HEADER_LEN - 4..HEADER_LEN) {
            header.copy_from_slice(&checksum.to_be_bytes());
        }
        bytes
    }

    /// The snapshot that [`Self::to_bytes`] made these bytes of.
    ///
    /// # Errors
    ///
    /// When they are not the bytes of a snapshot of [this version](Self::VERSION).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::NotASnapshot)?;
        let (version, rest) = rest.split_first_chunk().ok_or(SnapshotError::Checksum)?;
        let actual = u16::from_be_bytes(*version);
        if actual != VERSION {
            return Err(SnapshotError::Version { actual });
        }
        let (checksum, rest) = rest.split_first_chunk().ok_or(SnapshotError::Checksum)?;
        if crc32fast::hash(rest) != u32::from_be_bytes(*checksum) {
            return Err(SnapshotError::Checksum);
        }
        from_bytes(rest).map_err(SnapshotError::Encoding)
    }
}
