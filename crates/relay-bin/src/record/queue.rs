//! The bounded queue between the shards and the writer thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

use packet_trace::{Direction, Input, ShardSnapshot};
use relay_server::{PasswordAlgorithm, Server, Snapshot, Timestamp};

use super::{
    credentials::{public_credentials, recorded_credentials},
    server_config::recorded_config,
};

/// The most entries that may wait.
pub(super) const ENTRIES: usize = 16_384;
/// The most bytes of packets that may wait, over all shards.
const BYTES: usize = 16 << 20;

/// An entry for the trace.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shard: u32,
    pub(super) at: Timestamp,
    pub(super) what: What,
    /// How many packets of this shard were lost before it.
    pub(super) lost: u64,
}

#[derive(Debug)]
pub(super) enum What {
    Packet {
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        payload: Box<[u8]>,
    },
    Input(Input),
    /// The state of the shard when its recording began, and its description, which gets the bytes from the writer thread.
    State(Box<(ShardSnapshot, Snapshot)>),
}

/// The sending end, owned by a shard.
#[derive(Debug)]
pub(crate) struct Recorder {
    shard: u32,
    queue: SyncSender<Entry>,
    waiting: Arc<AtomicUsize>,
    /// How many packets were lost since the last one that was queued.
    lost: u64,
    /// How many were lost at the end. The writer thread reads it when it closes the file.
    lost_at_end: Arc<AtomicU64>,
    with_secret: bool,
    /// Whether the writer thread has ended.
    is_over: bool,
}

impl Recorder {
    /// Whether secrets may be recorded.
    pub(super) const fn with_secret(&self) -> bool {
        self.with_secret
    }

    pub(super) fn new(
        shard: u32,
        queue: SyncSender<Entry>,
        waiting: Arc<AtomicUsize>,
        lost_at_end: Arc<AtomicU64>,
        with_secret: bool,
    ) -> Self {
        Self { shard, queue, waiting, lost: 0, lost_at_end, with_secret, is_over: false }
    }

    /// Queues a datagram, or counts it as lost if the queue is full. Never blocks.
    pub(super) fn packet(
        &mut self,
        at: Timestamp,
        direction: Direction,
        source: SocketAddr,
        destination: SocketAddr,
        parts: [&[u8]; 3],
    ) {
        if self.is_over {
            return;
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.waiting.load(Ordering::Relaxed) + length > BYTES {
            return self.lose();
        }
        let payload = parts.concat().into_boxed_slice();
        self.send(at, What::Packet { direction, source, destination, payload }, length);
    }

    /// Queues the state of `server` at `now`, with which the recording of a running shard begins. All outputs must have been taken.
    /// It takes as long as copying the state, and does not count for the limit on what may wait: there is one for each recording.
    pub(super) fn begin(&mut self, now: Timestamp, server: &Server) {
        let accepted = server.accepted_credentials();
        let described = ShardSnapshot {
            shard: self.shard,
            // The writer knows it.
            unix_nanos: 0,
            config: recorded_config(server.config()),
            accepted: if self.with_secret { recorded_credentials(accepted) } else { public_credentials(accepted) },
            with_secret: self.with_secret,
            offers_algorithms: accepted.users.values().all(|keys| keys.key(PasswordAlgorithm::Sha256).is_some()),
            state: Vec::new(),
        };
        self.send(now, What::State(Box::new((described, server.snapshot(now)))), 0);
    }

    /// Queues another input of the state machine.
    pub(super) fn input(&mut self, at: Timestamp, input: Input) {
        self.send(at, What::Input(input), 0);
    }

    fn send(&mut self, at: Timestamp, what: What, length: usize) {
        self.waiting.fetch_add(length, Ordering::Relaxed);
        match self.queue.try_send(Entry { shard: self.shard, at, what, lost: self.lost }) {
            Ok(()) => {
                self.lost = 0;
                self.lost_at_end.store(0, Ordering::Relaxed);
            }
            // A lost input makes a replay differ, just like a lost packet.
            Err(TrySendError::Full(_)) => {
                self.waiting.fetch_sub(length, Ordering::Relaxed);
                self.lose();
            }
            // The writer thread has given up, and has logged why.
            Err(TrySendError::Disconnected(_)) => {
                self.waiting.fetch_sub(length, Ordering::Relaxed);
                self.is_over = true;
            }
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.lost_at_end.store(self.lost, Ordering::Relaxed);
    }
}
