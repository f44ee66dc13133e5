//! Records what the relay receives and sends as a packet trace (`--record-trace`).
//!
//! Each shard's state machine sits in a [`Machine`], which puts a copy of everything that goes in and out into a bounded queue; one
//! thread writes the file. Neither a slow disk nor a full one ever holds up a shard: what does not fit the queue is counted
//! and missing from the trace, which says so.

mod machine;
mod options;
mod queue;
mod writer;

pub(crate) use machine::Machine;
pub(crate) use options::{RecordConfig, RecordOptions};
pub(crate) use queue::Recorder;
pub(crate) use writer::{Recording, ShardStart};
