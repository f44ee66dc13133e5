//! Reads the kernel's statistics as they come.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use mio::{Events as Ready, Interest, Poll, Token, Waker, unix::SourceFd};
use relay_ebpf::{Accumulator, StatisticsReader};

/// What the kernel has relayed, by CPU.
pub(super) type Relayed = Arc<Mutex<Accumulator>>;

/// How many ready CPUs the kernel reports at a time.
const CAPACITY: usize = 64;

/// The thread is to end. CPUs have the numbers below.
const STOP: Token = Token(usize::MAX - 1);

/// A thread that reads each CPU's events until this is dropped. Workers have better things to do.
#[derive(Debug)]
pub(super) struct Events {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no file left.
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
        // It fails only when the thread is woken already.
        let _ = self.stop.wake();
        if let Some(thread) = self.thread.take() {
            // A panic has told of itself, and the final figures do not depend on events.
            let _ = thread.join();
        }
    }
}

/// Reads what there is, each time that there is something, until told to stop.
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
