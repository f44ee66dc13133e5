//! The byte format of snapshots: a header with version and checksum, and the state encoded with postcard.

use postcard::{from_bytes, to_extend};
use zeroize::Zeroizing;

use super::Snapshot;

/// The first bytes of every snapshot.
const MAGIC: [u8; 8] = *b"\x89FZRELAY";

/// Raise it with every change of a snapshot's content. Until then, the tests in `tests/snapshot.rs` fail.
const VERSION: u16 = 1;

/// Magic number, version, and CRC-32 of the rest. Version and CRC-32 are in network byte order.
const HEADER_LEN: usize = MAGIC.len() + 2 + 4;

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They do not begin with the magic number.
    #[error("this is not a snapshot of a relay")]
    NotASnapshot,
    /// It was taken by another version of this crate.
    #[error("the snapshot has format version {actual}, and this relay reads version {VERSION} only")]
    Version {
        /// The version of its format.
        actual: u16,
    },
    /// They are cut off or altered.
    #[error("the snapshot is damaged: its checksum does not match")]
    Checksum,
    /// They cannot be decoded although the checksum matches.
    #[error("the snapshot cannot be decoded: {0}")]
    Encoding(postcard::Error),
}

impl Snapshot {
    /// The version of the format of [`Self::to_bytes`].
    pub const VERSION: u16 = VERSION;

    /// The snapshot as bytes. They contain secrets: keep them off disks, or readable by the relay only.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // With the final capacity: growing would leave copies of secrets in freed memory.
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

    /// Reads the bytes that [`Self::to_bytes`] returned.
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
