//! Reads the XDP program's statistics events.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use mio::{Events as Ready, Interest, Poll, Token, Waker, unix::SourceFd};
use relay_ebpf::{Accumulator, StatisticsReader};

/// The packets and bytes that the kernel has relayed, by CPU.
pub(super) type Relayed = Arc<Mutex<Accumulator>>;

/// The most ready CPUs that the kernel reports at a time.
const CAPACITY: usize = 64;

/// The token that stops the thread. CPUs have lower numbers.
const STOP: Token = Token(usize::MAX - 1);

/// A thread that reads the events of all CPUs, so that workers need not. Ends on drop.
#[derive(Debug)]
pub(super) struct Events {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the process has no thread or file descriptor left.
    pub(super) fn start(readers: Vec<StatisticsReader>, relayed: &Relayed) -> anyhow::Result<Self> {
        let poll = Poll::new().context("cannot make an event queue")?;
        let stop = Waker::new(poll.registry(), STOP).context("cannot make an event queue")?;
        for (number, reader) in readers.iter().enumerate() {
            let file = reader.as_fd().as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&file), Token(number), Interest::READABLE)
                .with_context(|| format!("cannot wait for the XDP program's events of CPU {}", reader.cpu()))?;
        }
        let relayed = Arc::clone(relayed);
        let thread = thread::Builder::new()
            .name("xdp-events".to_owned())
            .spawn(move || {
                if let Err(error) = read_all(poll, readers, &relayed) {
                    tracing::warn!(%error, "cannot wait for the XDP program's events");
                }
            })
            .context("cannot start the thread that reads the XDP program's events")?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // This fails only if the thread is awake already.
        let _ = self.stop.wake();
        if let Some(thread) = self.thread.take() {
            // The panic hook has logged a panic, and the final figures do not depend on events.
            let _ = thread.join();
        }
    }
}

/// Reads events until [`Events`] is dropped.
fn read_all(mut poll: Poll, mut readers: Vec<StatisticsReader>, relayed: &Relayed) -> io::Result<()> {
    let mut ready = Ready::with_capacity(CAPACITY);
    loop {
        match poll.poll(&mut ready, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &ready {
            if event.token() == STOP {
                return Ok(());
            }
            if let Some(reader) = readers.get_mut(event.token().0) {
                read(reader, relayed);
            }
        }
    }
}

fn read(reader: &mut StatisticsReader, relayed: &Relayed) {
    let (cpu, reading) = (reader.cpu(), reader.read());
    if reading.lost > 0 {
        tracing::trace!(cpu, lost = reading.lost, "events were lost; the next one makes up for them");
    }
    if let Some(latest) = reading.latest {
        relayed.lock().unwrap_or_else(PoisonError::into_inner).record(cpu, latest);
    }
}
