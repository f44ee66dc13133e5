//! Signals: two that end the relay, and those that by default would end it and must not.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::file_watch::FileWatch;

/// SIGTERM, and SIGINT as sent by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// What SIGHUP reads again.
    watches: Arc<OnceLock<[FileWatch; 2]>>,
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
        let watches = Arc::<OnceLock<[FileWatch; 2]>>::default();
        let reload = Arc::clone(&watches);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                match reload.get().filter(|watches| watches.iter().any(FileWatch::has_files)) {
                    Some(watches) => {
                        tracing::info!(
                            "SIGHUP: reading the files of options again; options themselves are read at the start only"
                        );
                        watches.iter().for_each(FileWatch::read_now);
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
        Ok(Self { terminate, interrupt, watches })
    }

    /// From now on SIGHUP has each of `watches` read its files.
    pub(crate) fn reload_with(&self, watches: [FileWatch; 2]) {
        // There is one for each process.
        let _ = self.watches.set(watches);
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
        }
    }
}
