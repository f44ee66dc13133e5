//! Signals that end the relay.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, and SIGINT as sent by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next one and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
