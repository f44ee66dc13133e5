//! Reads the kernel's statistics as they come.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use relay_ebpf::{Accumulator, StatisticsReader};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Builder,
    sync::oneshot,
};

/// What the kernel has relayed, by CPU.
pub(super) type Relayed = Arc<Mutex<Accumulator>>;

/// A thread that reads each CPU's events until this is dropped. Workers have better things to do.
#[derive(Debug)]
pub(super) struct Events {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Events {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the system has no thread left, or does not let us wait for events.
    pub(super) fn start(readers: Vec<StatisticsReader>, relayed: &Relayed) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build().context("cannot start a runtime")?;
        for reader in readers {
            let _entered = runtime.enter();
            let cpu = reader.cpu();
            let reader =
                wait_for(reader).with_context(|| format!("cannot wait for the XDP program's events of CPU {cpu}"))?;
            runtime.spawn(read(reader, Arc::clone(relayed)));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("xdp-events".to_owned())
            .spawn(move || {
                // An error means that whoever could stop this is gone.
                let _ = runtime.block_on(stopped);
            })
            .context("cannot start the thread that reads the XDP program's events")?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has told of itself, and the final figures do not depend on events.
            let _ = thread.join();
        }
    }
}

/// Has the current runtime tell when there are events.
#[expect(unsafe_code, reason = "waiting for a file descriptor that is no socket")]
fn wait_for(reader: StatisticsReader) -> std::io::Result<AsyncFd<StatisticsReader>> {
    // SAFETY: the reader owns its file descriptor, never exchanges it, and closes it only when it is dropped, which the
    // returned value does after it has stopped waiting.
    Ok(unsafe { AsyncFd::register_with_interest(reader, Interest::READABLE) }?)
}

async fn read(mut reader: AsyncFd<StatisticsReader>, relayed: Relayed) {
    let cpu = reader.get_ref().cpu();
    // An error means that the runtime ends.
    while let Ok(mut ready) = reader.readable_mut().await {
        let reading = ready.get_inner_mut().read();
        if reading.lost > 0 {
            tracing::trace!(cpu, lost = reading.lost, "events were lost; the next one makes up for them");
        }
        if let Some(latest) = reading.latest {
            relayed.lock().unwrap_or_else(PoisonError::into_inner).record(cpu, latest);
        }
        ready.clear_ready();
    }
}
