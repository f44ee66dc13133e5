//! Records what the relay receives and sends as a packet trace, from the start (`--record-trace`) or while the control endpoint
//! says so.
//!
//! Each shard's state machine sits in a [`RecordedServer`], which puts a copy of everything that goes in and out into a bounded queue; one
//! thread writes the file. Neither a slow disk nor a full one ever holds up a shard: what does not fit the queue is counted
//! and missing from the trace, which says so.

mod config;
mod control;
mod credentials;
mod peer_policy;
mod progress;
mod queue;
mod recorded_server;
mod shard_message;
mod trace_file;
mod writer;

pub(crate) use config::{DEFAULT_MAX_BYTES, Existing, RecordConfig};
pub(crate) use control::{RecordControl, Refusal, TellShard};
pub(crate) use queue::Recorder;
pub(crate) use recorded_server::RecordedServer;
pub(crate) use writer::{OPEN_LIMIT, ShardStart};
