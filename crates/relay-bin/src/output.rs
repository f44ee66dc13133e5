//! Writes stderr and stdout on separate threads. So no other thread ever waits for a reader, such as a full pipe or a stopped
//! terminal.

use std::{
    io::{self, ErrorKind, Write},
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;

use crate::names::NamedCounts;

/// The most texts that may wait.
const TEXTS: usize = 16_384;

/// The most bytes that may wait.
const BYTES: usize = 4 << 20;

/// How often to report losses, in texts, while the queue never runs empty.
const TELL_EVERY: u64 = 1_024;

/// How long to wait after EAGAIN. It occurs when another process has made the shared pipe or terminal non-blocking.
const RETRY: Duration = Duration::from_millis(10);

/// How often to check, at the end, whether all is written.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// After how many checks in a row without progress to give up: half a second.
const STALLED_LOOKS: u32 = 50;

/// After how many checks to give up in any case: five seconds.
const MAX_LOOKS: u32 = 500;

/// Both standard streams.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Arc<Stream>,
    pub(crate) stderr: Arc<Stream>,
}

impl Output {
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self {
            stdout: Stream::start("stdout", io::stdout(), |_| {})?,
            stderr: Stream::start("stderr", io::stderr(), tell_losses)?,
        })
    }

    /// Waits until all is written, unless nobody reads.
    pub(crate) fn finish(&self) {
        self.stderr.finish();
        self.stdout.finish();
    }
}

fn tell_losses(lines: u64) {
    tracing::warn!(
        lines,
        "lines of this log were lost: whatever takes them from stderr was too slow or refused them; relaying went on"
    );
}

/// The name of [`Losses`] in [`NamedCounts`].
const FIGURE: &str = "log_lines_lost";

/// How many texts were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Because the queue was full.
    pub(crate) queue_full: u64,
    /// Because the system failed to write them.
    pub(crate) write_failed: u64,
}

impl Add for Losses {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            queue_full: self.queue_full.saturating_add(other.queue_full),
            write_failed: self.write_failed.saturating_add(other.write_failed),
        }
    }
}

impl Losses {
    const fn total(self) -> u64 {
        self.queue_full + self.write_failed
    }

    /// Adds the losses to `counts`, for the next process.
    pub(crate) fn export(self, counts: &mut NamedCounts) {
        let Self { queue_full, write_failed } = self;
        counts.add(FIGURE, "queue_full", queue_full);
        counts.add(FIGURE, "write_failed", write_failed);
    }

    /// The losses that the process before this one handed over.
    pub(crate) fn inherited(counts: &NamedCounts) -> Self {
        Self { queue_full: counts.get(FIGURE, "queue_full"), write_failed: counts.get(FIGURE, "write_failed") }
    }
}

/// A stream with its queue and its thread.
#[derive(Debug)]
pub(crate) struct Stream {
    queue: SyncSender<Box<[u8]>>,
    state: Arc<State>,
}

/// The state that the threads share.
#[derive(Debug, Default)]
struct State {
    /// The number of waiting texts.
    texts: AtomicUsize,
    /// The number of waiting bytes.
    bytes: AtomicUsize,
    /// The number of texts that were written or failed.
    done: AtomicU64,
    queue_full: AtomicU64,
    write_failed: AtomicU64,
}

impl Stream {
    /// Starts a thread that writes to `out`. It calls `tell` with the number of texts lost since the last call, once writing works
    /// again.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    fn start(
        name: &str,
        out: impl Write + Send + 'static,
        tell: impl FnMut(u64) + Send + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let (queue, waiting) = sync_channel(TEXTS);
        let state = Arc::<State>::default();
        let writer = Writer { out, tell, state: Arc::clone(&state), told: 0, is_torn: false };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run(&waiting))
            .with_context(|| format!("cannot start the thread that writes to {name}"))?;
        Ok(Arc::new(Self { queue, state }))
    }

    /// Queues `text`, whole or not at all. Never blocks.
    pub(crate) fn say(&self, text: impl AsRef<[u8]>) {
        let text: Box<[u8]> = text.as_ref().into();
        let length = text.len();
        // Counted before it is in the queue, so that the thread never subtracts what was not added.
        self.state.texts.fetch_add(1, Ordering::Relaxed);
        let before = self.state.bytes.fetch_add(length, Ordering::Relaxed);
        if before + length > BYTES || self.queue.try_send(text).is_err() {
            self.state.take_off(length);
            self.state.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many texts were lost so far.
    pub(crate) fn losses(&self) -> Losses {
        self.state.losses()
    }

    /// Whether the queue is more than half full.
    pub(crate) fn is_half_full(&self) -> bool {
        self.state.texts.load(Ordering::Relaxed) > TEXTS / 2 || self.state.bytes.load(Ordering::Relaxed) > BYTES / 2
    }

    /// Waits until all is written, or nothing is read.
    fn finish(&self) {
        let (mut stalled, mut last) = (0, self.state.done.load(Ordering::Relaxed));
        for _ in 0..MAX_LOOKS {
            if self.state.texts.load(Ordering::Acquire) == 0 {
                return;
            }
            let done = self.state.done.load(Ordering::Relaxed);
            stalled = if done == last { stalled + 1 } else { 0 };
            last = done;
            if stalled > STALLED_LOOKS {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Write for &Stream {
    /// Queues a whole line of the log. Never blocks and never fails.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.say(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn take_off(&self, length: usize) {
        self.bytes.fetch_sub(length, Ordering::Relaxed);
        // Release: a thread that sees the count also sees what was done before.
        self.texts.fetch_sub(1, Ordering::Release);
    }

    fn losses(&self) -> Losses {
        Losses {
            queue_full: self.queue_full.load(Ordering::Relaxed),
            write_failed: self.write_failed.load(Ordering::Relaxed),
        }
    }
}

/// The writing end, owned by the thread.
struct Writer<W, T> {
    out: W,
    tell: T,
    state: Arc<State>,
    /// How many losses were reported.
    told: u64,
    /// Whether the last text was written only in part.
    is_torn: bool,
}

impl<W: Write, T: FnMut(u64)> Writer<W, T> {
    fn run(mut self, waiting: &Receiver<Box<[u8]>>) {
        for text in waiting {
            let is_written = self.write(&text).is_ok();
            let done = self.state.done.fetch_add(1, Ordering::Relaxed) + 1;
            if is_written {
                let is_last = self.state.texts.load(Ordering::Relaxed) == 1;
                if is_last || done.is_multiple_of(TELL_EVERY) {
                    self.tell_losses();
                }
            } else {
                self.state.write_failed.fetch_add(1, Ordering::Relaxed);
            }
            self.state.take_off(text.len());
        }
    }

    /// Writes all of `text`, on a new line if the last text was torn.
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.is_torn {
            write_all(&mut self.out, b"\n").map_err(|(_, error)| error)?;
            self.is_torn = false;
        }
        write_all(&mut self.out, text).map_err(|(written, error)| {
            self.is_torn = written > 0;
            error
        })
    }

    fn tell_losses(&mut self) {
        let lost = self.state.losses().total();
        if lost == self.told {
            return;
        }
        (self.tell)(lost - self.told);
        // If more was lost meanwhile, the report itself may be lost: repeat it.
        if self.state.losses().total() == lost {
            self.told = lost;
        }
    }
}

/// Writes all of `text`. The error comes with the number of bytes written.
fn write_all(out: &mut impl Write, text: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < text.len() {
        match out.write(&text[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err((written, error)),
        }
    }
    out.flush().map_err(|error| (written, error))
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
