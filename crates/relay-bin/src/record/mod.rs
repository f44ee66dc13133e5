//! Records what the relay receives and sends as a packet trace, from the start (`--record-trace`) or on request of the control
//! endpoint.
//!
//! Each shard's state machine is inside a [`RecordedServer`], which copies all inputs and outputs into a bounded queue. One thread
//! writes the file. A slow or full disk never delays a shard: packets that do not fit in the queue are left out, and the trace says
//! how many.

mod config;
mod control;
mod credentials;
mod peer_policy;
mod progress;
mod queue;
mod recorded_server;
mod server_config;
mod shard_message;
mod trace_file;
mod writer;

pub(crate) use config::{DEFAULT_MAX_BYTES, Existing, RecordConfig};
pub(crate) use control::{RecordControl, Refusal, TellShard};
pub(crate) use queue::Recorder;
pub(crate) use recorded_server::RecordedServer;
pub(crate) use writer::{OPEN_LIMIT, ShardStart};
