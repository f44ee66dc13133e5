//! What leaves by stderr and stdout, written by threads of their own: whoever has something to say never waits for whoever should
//! read it, which may be a full pipe or a terminal that somebody has stopped.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;

/// How many texts wait at most.
const TEXTS: usize = 16_384;

/// How many bytes wait at most.
const BYTES: usize = 4 << 20;

/// How often losses are told while there is no end of waiting texts.
const TELL_EVERY: u64 = 1_024;

/// How long to wait before writing again where a write would block, although it should have waited: somebody else who has the same
/// pipe or terminal has made it so.
const RETRY: Duration = Duration::from_millis(10);

/// How often to look, at the end, whether all is written.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// For how many looks in a row nothing may be written until it is given up: half a second.
const STALLED_LOOKS: u32 = 50;

/// After how many looks it is given up in any case: five seconds.
const MAX_LOOKS: u32 = 500;

/// The standard streams of the relay.
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

    /// Waits until all is written, unless nobody reads it.
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

/// How many texts were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Because too many were waiting.
    pub(crate) queue_full: u64,
    /// Because the system refused to write them.
    pub(crate) write_failed: u64,
}

impl Losses {
    const fn total(self) -> u64 {
        self.queue_full + self.write_failed
    }
}

/// A stream with its queue and its thread.
#[derive(Debug)]
pub(crate) struct Stream {
    queue: SyncSender<Box<[u8]>>,
    state: Arc<State>,
}

/// What the two ends of a queue share.
#[derive(Debug, Default)]
struct State {
    /// Texts that are not written yet.
    texts: AtomicUsize,
    /// Their bytes.
    bytes: AtomicUsize,
    /// Texts that were written, or refused, until now.
    done: AtomicU64,
    queue_full: AtomicU64,
    write_failed: AtomicU64,
}

impl Stream {
    /// Writes to `out` from now on. `tell` is called with the number of texts that were lost since the last call, once writing
    /// works again.
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

    /// Has `text` written soon, whole or not at all; never waits.
    pub(crate) fn say(&self, text: impl AsRef<[u8]>) {
        let text: Box<[u8]> = text.as_ref().into();
        let length = text.len();
        // Counted before they are in the queue, so that the other end never takes away what was not added.
        self.state.texts.fetch_add(1, Ordering::Relaxed);
        let before = self.state.bytes.fetch_add(length, Ordering::Relaxed);
        if before + length > BYTES || self.queue.try_send(text).is_err() {
            self.state.take_off(length);
            self.state.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many texts were lost until now.
    pub(crate) fn losses(&self) -> Losses {
        self.state.losses()
    }

    /// Whether half of what may wait does.
    pub(crate) fn is_half_full(&self) -> bool {
        self.state.texts.load(Ordering::Relaxed) > TEXTS / 2 || self.state.bytes.load(Ordering::Relaxed) > BYTES / 2
    }

    /// Waits until all is written, or nobody reads it.
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
    /// Takes a whole line, as the log hands it over; never waits and never fails.
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
        // What was done before is seen by whoever waits for the end.
        self.texts.fetch_sub(1, Ordering::Release);
    }

    fn losses(&self) -> Losses {
        Losses {
            queue_full: self.queue_full.load(Ordering::Relaxed),
            write_failed: self.write_failed.load(Ordering::Relaxed),
        }
    }
}

/// The thread's end.
struct Writer<W, T> {
    out: W,
    tell: T,
    state: Arc<State>,
    /// How many losses were told.
    told: u64,
    /// Whether the last text was written in part.
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

    /// Writes all of `text`, on a line of its own.
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
        // Otherwise what was told may be lost itself.
        if self.state.losses().total() == lost {
            self.told = lost;
        }
    }
}

/// How much was written, if not all, and why not.
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
