//! Writes a recording on a thread.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use packet_trace::{Clock as TraceClock, Datagram, Limits, Recorded, ShardHeader, TraceHeader, TraceWriter, format_of};
use relay_server::{Config as ServerConfig, PortRange, Timestamp, UnixTime};
use tokio::{sync::oneshot, time::timeout};

use super::{
    RecordConfig, Recorder,
    config::Existing,
    progress::{Outcome, Progress},
    queue::{ENTRIES, Entry, What},
    server_config::recorded_config,
    trace_file::{Kept, TraceFile},
};
use crate::faults::{Faults, Part};

/// How many bytes to collect before writing.
const CHUNK: usize = 256 << 10;
/// How long to collect at most, so that the trace can be read while it grows.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The initial state of a shard's state machine.
pub(crate) struct ShardStart {
    pub(crate) server: ServerConfig,
    pub(crate) seed: [u8; 32],
    /// The start time, on both clocks.
    pub(crate) started: (Timestamp, UnixTime),
}

/// How long to wait for a file to open. A pipe without a reader or a file system that hangs never does.
pub(crate) const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait at the end for a file that accepts no more.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct Recording {
    thread: JoinHandle<()>,
    /// Signalled when the thread ends.
    ended: oneshot::Receiver<()>,
    progress: Arc<Progress>,
    file: PathBuf,
}

impl Recording {
    /// Starts the thread and returns a recorder for each shard. The receiver gets the result of opening the file, which may take
    /// any time.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(super) fn start(
        record: &RecordConfig,
        header: TraceHeader,
        faults: &Faults,
    ) -> anyhow::Result<(Self, Vec<Recorder>, oneshot::Receiver<anyhow::Result<()>>)> {
        let shards = header.shards.len();
        let mut out = Vec::with_capacity(2 * CHUNK);
        let limits = Limits { bytes: Some(record.max_bytes), packets: record.max_packets };
        let secrecy = Secrecy::of(record, &header);
        let writer = TraceWriter::new(header, limits, &mut out);
        let (sender, queue) = sync_channel(ENTRIES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let lost_at_end: Vec<Arc<AtomicU64>> = (0..shards).map(|_| Arc::default()).collect();
        let recorders = recorders(&sender, &waiting, &lost_at_end, record.with_secret);
        let progress = Arc::new(Progress::default());
        let (shown, faults) = (Arc::clone(&progress), faults.clone());
        let (tell_opened, opened) = oneshot::channel();
        let (tell_end, ended) = oneshot::channel();
        let record = record.clone();
        let path = record.file.clone();
        let work = move || {
            // The receiver is gone if opening took too long.
            match open(&record, secrecy, &mut out) {
                Ok(file) => {
                    let _ = tell_opened.send(Ok(()));
                    let file = TraceFile::new(file, record.file, out);
                    Work { queue, waiting, lost_at_end, writer, progress, faults, file, is_full: false }.run();
                }
                Err(error) => {
                    progress.end(Outcome::Failed);
                    let _ = tell_opened.send(Err(error));
                }
            }
            let _ = tell_end.send(());
        };
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(work)
            .context("cannot start the thread that records")?;
        Ok((Self { thread, ended, progress: shown, file: path }, recorders, opened))
    }

    /// The path of the file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The progress of the recording.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the recording has ended.
    pub(super) fn has_ended(&self) -> bool {
        // The thread runs for a moment after it has published the end.
        matches!(self.progress.outcome(), Outcome::Complete | Outcome::Failed) || self.thread.is_finished()
    }

    /// Waits until all is written, unless the file accepts no more. All recorders must have been dropped.
    pub(super) async fn finish(self) {
        match timeout(FINISH_LIMIT, self.ended).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the recorder ended by itself: this is a bug"),
            Err(_) => {
                tracing::error!(file = %self.file.display(), "the trace is not complete: its file takes nothing more");
            }
        }
    }
}

/// What a file has that others must not read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// Nothing but what passes over the network.
    Nothing,
    /// The state of the relay: the keys of users that have allocations, but no secret that credentials are made with.
    Keys,
    /// The secret.
    Secret,
}

impl Secrecy {
    const fn of(record: &RecordConfig, header: &TraceHeader) -> Self {
        match (record.with_secret, header.snapshots) {
            (true, _) => Self::Secret,
            (false, true) => Self::Keys,
            (false, false) => Self::Nothing,
        }
    }
}

/// Creates the file and writes `head` to it.
fn open(record: &RecordConfig, secrecy: Secrecy, head: &mut Vec<u8>) -> anyhow::Result<File> {
    let path = &record.file;
    let cannot = || format!("cannot record to {}", path.display());
    let mut file = create(record, secrecy).with_context(cannot)?;
    file.write_all(head).with_context(cannot)?;
    head.clear();
    if secrecy == Secrecy::Secret {
        tracing::warn!(file = %path.display(), "the trace holds the secret: whoever reads it can use this relay");
    }
    tracing::info!(file = %path.display(), max_bytes = record.max_bytes, "recording");
    Ok(file)
}

/// Creates the file. Only its owner may read it if it holds the secret or keys.
fn create(record: &RecordConfig, secrecy: Secrecy) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mode = if secrecy == Secrecy::Nothing { 0o640 } else { 0o600 };
    let mut options = File::options();
    match record.existing {
        Existing::Overwrite => options.create(true).truncate(true),
        // This refuses a symbolic link, too.
        Existing::Keep => options.create_new(true),
    };
    let file = options.write(true).mode(mode).open(&record.file)?;
    if file.metadata()?.is_file() && secrecy != Secrecy::Nothing {
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

fn recorders(
    sender: &SyncSender<Entry>,
    waiting: &Arc<AtomicUsize>,
    lost: &[Arc<AtomicU64>],
    with_secret: bool,
) -> Vec<Recorder> {
    let shards = (0_u32..).zip(lost);
    shards
        .map(|(shard, lost)| Recorder::new(shard, sender.clone(), Arc::clone(waiting), Arc::clone(lost), with_secret))
        .collect()
}

/// The header of a recording from the start.
pub(super) fn header(ports: PortRange, shards: &[ShardStart]) -> TraceHeader {
    let clock = shards.first().map_or(TraceClock { unix_nanos: 0, monotonic_nanos: 0 }, |shard| TraceClock {
        unix_nanos: shard.started.1.0.saturating_mul(1_000_000_000),
        monotonic_nanos: shard.started.0.as_nanos(),
    });
    TraceHeader {
        format: format_of(shards.len()),
        software: concat!("firezone-relay ", env!("CARGO_PKG_VERSION")).to_owned(),
        clock,
        from_start: true,
        snapshots: false,
        payload_limit: None,
        ports_of_all_shards: Some((ports.lowest(), ports.highest())),
        shards: shards.iter().map(shard_header).collect(),
        auth_secret: None,
        accepted: None,
    }
}

fn shard_header(shard: &ShardStart) -> ShardHeader {
    ShardHeader {
        seed: shard.seed,
        started_nanos: shard.started.0.as_nanos(),
        unix_seconds: shard.started.1.0,
        config: recorded_config(&shard.server),
    }
}

/// The state of the writer thread.
struct Work {
    queue: Receiver<Entry>,
    waiting: Arc<AtomicUsize>,
    lost_at_end: Vec<Arc<AtomicU64>>,
    writer: TraceWriter,
    progress: Arc<Progress>,
    faults: Faults,
    file: TraceFile,
    is_full: bool,
}

impl Work {
    fn run(mut self) {
        loop {
            let result = match self.queue.recv_timeout(FLUSH_EVERY) {
                Ok(entry) => {
                    self.take(entry);
                    if self.file.waiting() < CHUNK { Ok(()) } else { self.file.flush() }
                }
                Err(RecvTimeoutError::Timeout) => self.file.flush(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = result {
                return fail(&mut self.file, &self.progress, &self.faults, &error, "cannot record any more");
            }
        }
        self.finish();
    }

    fn take(&mut self, entry: Entry) {
        let Entry { shard, at, what, lost } = entry;
        self.writer.dropped(shard, lost);
        let recorded = match what {
            What::Packet { direction, source, destination, payload } => {
                self.waiting.fetch_sub(payload.len(), Ordering::Relaxed);
                let datagram = Datagram { source, destination, payload: &payload };
                self.writer.packet(shard, at.as_nanos(), direction, datagram, self.file.out())
            }
            What::Input(input) => self.writer.input(shard, at.as_nanos(), input, self.file.out()),
            What::State(beginning) => {
                let (mut described, state) = *beginning;
                described.state = std::mem::take(&mut *state.to_bytes());
                self.writer.snapshot(at.as_nanos(), described, self.file.out())
            }
        };
        if recorded == Recorded::LimitReached && !self.is_full {
            self.is_full = true;
            self.progress.end(Outcome::Full);
            tracing::warn!(file = %self.file.path().display(), "the trace is as long as it may be; relaying goes on unrecorded");
        }
        self.file.end_record(self.writer.packets());
        self.progress.count(&self.writer);
    }

    fn finish(mut self) {
        for (shard, lost) in (0_u32..).zip(&self.lost_at_end) {
            self.writer.dropped(shard, lost.load(Ordering::Relaxed));
        }
        self.progress.count(&self.writer);
        let (packets, bytes) = (self.writer.packets(), self.writer.bytes());
        self.writer.finish(self.file.out());
        match self.file.finish() {
            Ok(()) => {
                self.progress.end(Outcome::Complete);
                tracing::info!(file = %self.file.path().display(), packets, bytes, "recorded");
            }
            Err(error) => fail(&mut self.file, &self.progress, &self.faults, &error, "cannot finish the trace"),
        }
    }
}

/// Ends the recording after a write error.
fn fail(file: &mut TraceFile, progress: &Progress, faults: &Faults, error: &io::Error, what: &str) {
    let Kept { packets, bytes, is_whole } = file.cut();
    let ending = if is_whole { "it is complete up to there" } else { "it may end in the middle of a record" };
    tracing::error!(
        %error,
        file = %file.path().display(),
        packets,
        bytes,
        "{what}: {ending}; relaying goes on, and another recording can be started"
    );
    faults.note(Part::Recording);
    progress.fail(packets, bytes);
}
