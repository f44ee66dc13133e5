//! Signals: two that end the relay, and those that by default would end it and must not.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::credentials::Watch;

/// SIGTERM, and SIGINT as sent by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// What SIGHUP reads again.
    watch: Arc<OnceLock<Watch>>,
}

/// How the relay is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndSignal {
    /// SIGTERM, as service managers send it: finish what you are at.
    Terminate,
    /// SIGINT, as Ctrl-C sends it: end.
    Interrupt,
}

impl fmt::Display for EndSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Signals that mean nothing to the relay, and that some tool or habit sends to daemons: to rotate logs or to ask for figures, timers
/// and power supplies, or the kernel when a file becomes longer than it may (the write fails then, which is enough).
const IGNORED: [i32; 8] = [
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGXFSZ,
];

impl Signals {
    /// Catches them from now on, and ignores others that would end the process. Call within a runtime.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        for number in IGNORED {
            // Once caught, it stays caught, whether or not anybody listens.
            let _caught =
                signal(SignalKind::from_raw(number)).with_context(|| format!("cannot catch signal {number}"))?;
        }
        let mut hangup = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
        let watch = Arc::<OnceLock<Watch>>::default();
        let reload = Arc::clone(&watch);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match reload.get().filter(|watch| watch.has_files()) {
                    Some(watch) => {
                        tracing::info!(
                            "SIGHUP: reading the files with credentials again; options are read at the start only"
                        );
                        watch.read_now();
                    }
                    None => tracing::info!(
                        "SIGHUP: there is nothing to reload, going on: options are read at the start only; the log filter can be \
                         changed at CONTROL_ENDPOINT"
                    ),
                }
            }
        });
        let terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        Ok(Self { terminate, interrupt, watch })
    }

    /// From now on SIGHUP has `watch` read its files.
    pub(crate) fn reload_with(&self, watch: Watch) {
        // There is one for each process.
        let _ = self.watch.set(watch);
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
        }
    }
}
