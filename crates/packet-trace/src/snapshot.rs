//! The state of a shard at the beginning of a recording, in custom blocks of their own.
//!
//! The data of such a block is [`block::SNAPSHOT_MAGIC`], a line of JSON ([`Part`]), and a part of the state's bytes. Readers that do not
//! know these blocks skip them, since the magic is not that of other custom blocks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AcceptedCredentials, ReadError, RelayConfig, block};

/// The newest format of these blocks that this version writes and reads.
const FORMAT: u32 = 1;
/// The most bytes of a state in one block.
const PART: usize = 1 << 20;
/// The longest state in bytes that is read. A longer one means that the file is corrupt.
const MAX_STATE: u64 = 256 << 20;

/// The state of one shard when the recording of it began.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSnapshot {
    /// The shard.
    pub shard: u32,
    /// When, in nanoseconds since the Unix epoch, on the same scale as the packets' time.
    pub unix_nanos: u64,
    /// Its configuration at that moment.
    pub config: RelayConfig,
    /// The credentials that it accepted at that moment, without secrets and users unless [`Self::with_secret`].
    pub accepted: AcceptedCredentials,
    /// Whether secrets are recorded.
    pub with_secret: bool,
    /// Whether its challenges offered password algorithms.
    pub offers_algorithms: bool,
    /// The state as the state machine encodes it, at most 256 MiB. It has the keys of users with allocations, the key of nonces and the
    /// state of the random number generator.
    #[serde(skip)]
    pub state: Vec<u8>,
}

/// The description of one part of a state.
#[derive(Serialize, Deserialize)]
struct Part<T> {
    format: u32,
    /// How many bytes of the state the parts before this one have.
    offset: u64,
    /// How many bytes this part has.
    length: u32,
    /// How many bytes the whole state has.
    total: u64,
    /// What the state is of: in the first part only.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<T>,
}

/// Appends `snapshot` to a file.
pub(crate) fn write(snapshot: &ShardSnapshot, out: &mut Vec<u8>) {
    let total = snapshot.state.len() as u64;
    let mut offset = 0;
    loop {
        let bytes = &snapshot.state[offset..snapshot.state.len().min(offset + PART)];
        let part = Part {
            format: FORMAT,
            offset: offset as u64,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            total,
            of: (offset == 0).then_some(snapshot),
        };
        block::write(block::CUSTOM, out, |out| {
            out.extend_from_slice(&block::ENTERPRISE.to_le_bytes());
            out.extend_from_slice(block::SNAPSHOT_MAGIC);
            // Neither writing to a `Vec` nor serialising this can fail.
            let _infallible = serde_json::to_writer(&mut *out, &part);
            out.push(b'\n');
            out.extend_from_slice(bytes);
        });
        offset += bytes.len();
        if offset == snapshot.state.len() {
            return;
        }
    }
}

/// Puts the parts of a state together. All parts of one state follow one another.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// What has been read of a state, and how many bytes it has in the end.
    begun: Option<(Box<ShardSnapshot>, u64)>,
}

impl Assembly {
    /// Takes the data of a block at byte `at` of the file, without the magic. Returns the snapshot that it completes.
    pub(crate) fn take(&mut self, data: &[u8], at: u64) -> Result<Option<Box<ShardSnapshot>>, ReadError> {
        let bad = |what: String| ReadError::BadReplayData { at, what };
        // An error ends the snapshot.
        let begun = self.begun.take();
        let line =
            data.iter().position(|byte| *byte == b'\n').ok_or_else(|| bad("it has no description".to_owned()))?;
        let (description, bytes) = (&data[..line], &data[line + 1..]);
        let value: serde_json::Value = serde_json::from_slice(description).map_err(|error| bad(error.to_string()))?;
        // Check the format first, so that a newer part is not reported as malformed.
        if let Some(found) = value.get("format").and_then(serde_json::Value::as_u64)
            && found > u64::from(FORMAT)
        {
            return Err(ReadError::NewerFormat { found: u32::try_from(found).unwrap_or(u32::MAX), supported: FORMAT });
        }
        let part: Part<Box<ShardSnapshot>> = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        let (mut snapshot, total) = match (part.of, begun) {
            (Some(snapshot), _) if part.offset == 0 => (snapshot, part.total),
            (None, Some((snapshot, total))) if part.offset == snapshot.state.len() as u64 => (snapshot, total),
            _ => return Err(bad("a part of the relay's state is missing before it".to_owned())),
        };
        if total > MAX_STATE {
            return Err(bad("it claims that the relay's state is longer than 256 MiB".to_owned()));
        }
        let bytes = usize::try_from(part.length).ok().and_then(|length| bytes.get(..length));
        snapshot.state.extend_from_slice(bytes.ok_or_else(|| bad("it is shorter than it says".to_owned()))?);
        let length = snapshot.state.len() as u64;
        if part.total != total || length > total {
            return Err(bad("its parts do not agree on the length of the relay's state".to_owned()));
        }
        if length == total {
            return Ok(Some(snapshot));
        }
        self.begun = Some((snapshot, total));
        Ok(None)
    }
}

/// The state stays out of logs.
impl fmt::Debug for ShardSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSnapshot")
            .field("shard", &self.shard)
            .field("unix_nanos", &self.unix_nanos)
            .field("config", &self.config)
            .field("accepted", &self.accepted)
            .field("state_len", &self.state.len())
            .finish_non_exhaustive()
    }
}
