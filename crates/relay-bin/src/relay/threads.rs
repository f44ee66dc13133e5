//! The worker threads. If one ends by itself, the process ends.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, anyhow};
use tokio::sync::mpsc;

/// How long shards may take to stop. They only finish their current turn.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The worker threads.
#[derive(Debug)]
pub(crate) struct Threads {
    threads: Vec<Option<JoinHandle<anyhow::Result<()>>>>,
    ended: mpsc::UnboundedReceiver<usize>,
    tell_end: mpsc::UnboundedSender<usize>,
}

/// Sends its thread's index when the thread ends, even by a panic.
struct EndNotice {
    index: usize,
    ended: mpsc::UnboundedSender<usize>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        // Nobody receives this when the process ends.
        let _ = self.ended.send(self.index);
    }
}

impl Threads {
    pub(crate) fn new() -> Self {
        let (tell_end, ended) = mpsc::unbounded_channel();
        Self { threads: Vec::new(), ended, tell_end }
    }

    /// Runs `work` on a new thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn spawn(&mut self, work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
        let index = self.threads.len();
        let notice = EndNotice { index, ended: self.tell_end.clone() };
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let _notice = notice;
                work()
            })
            .with_context(|| format!("cannot start worker {index}"))?;
        self.threads.push(Some(thread));
        Ok(())
    }

    /// Waits until any thread ends, and returns its result.
    ///
    /// # Errors
    ///
    /// The thread's error, or its panic.
    pub(crate) async fn wait_for_one(&mut self) -> anyhow::Result<()> {
        let Some(index) = self.ended.recv().await else { return Ok(()) };
        match self.threads.get_mut(index).and_then(Option::take).map(JoinHandle::join) {
            Some(Ok(result)) => result.with_context(|| format!("worker {index} failed")),
            Some(Err(_)) => Err(anyhow!("worker {index} panicked: this is a bug; the message above says where")),
            None => Ok(()),
        }
    }

    /// Waits until all threads have ended.
    ///
    /// # Errors
    ///
    /// The first error.
    pub(crate) async fn wait_for_all(&mut self) -> anyhow::Result<()> {
        while self.threads.iter().any(Option::is_some) {
            self.wait_for_one().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told() {
        let mut threads = Threads::new();
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        threads
            .spawn(move || {
                let _ = kept.recv();
                Ok(())
            })
            .unwrap();
        threads.spawn(|| panic!("on purpose")).unwrap();
        let error = threads.wait_for_one().await.unwrap_err().to_string();
        assert!(error.contains("worker 1 panicked"), "{error}");
        drop(keep);
        threads.wait_for_all().await.unwrap();
    }

    #[tokio::test]
    async fn an_error_is_told() {
        let mut threads = Threads::new();
        threads.spawn(|| Err(anyhow!("no luck"))).unwrap();
        let error = format!("{:#}", threads.wait_for_one().await.unwrap_err());
        assert_eq!(error, "worker 0 failed: no luck");
    }
}
