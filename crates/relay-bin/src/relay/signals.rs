//! The signals that end the relay, and those that it ignores although they would end it by default.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{self, SignalKind, signal},
    sync::Notify,
};

use crate::file_watch::FileWatch;

/// SIGTERM, and SIGINT as sent by Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    /// The files that SIGHUP reads again.
    watches: Arc<OnceLock<[FileWatch; 2]>>,
    /// Notified at each SIGHUP.
    upgrades: Arc<Notify>,
}

/// The signal that ends the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndSignal {
    /// SIGTERM, as service managers send it: drain, then end.
    Terminate,
    /// SIGINT, as Ctrl-C sends it: end at once.
    Interrupt,
}

impl EndSignal {
    /// The signal itself.
    pub(crate) const fn number(self) -> Signal {
        match self {
            Self::Terminate => Signal::SIGTERM,
            Self::Interrupt => Signal::SIGINT,
        }
    }
}

impl fmt::Display for EndSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Signals without a meaning for the relay that tools send to daemons: to rotate logs, to ask for figures, from timers or power
/// supplies. Also SIGXFSZ, which the kernel sends at the file size limit; the failed write is handled anyway.
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
    /// Catches the signals that end the relay, and ignores others that would end the process. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    pub(crate) fn catch() -> anyhow::Result<Self> {
        for number in IGNORED {
            // The handler stays installed when the stream is dropped.
            let _caught =
                signal(SignalKind::from_raw(number)).with_context(|| format!("cannot catch signal {number}"))?;
        }
        let mut hangup = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
        let watches = Arc::<OnceLock<[FileWatch; 2]>>::default();
        let reload = Arc::clone(&watches);
        let upgrades = Arc::<Notify>::default();
        let hung_up = Arc::clone(&upgrades);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                if let Some(watches) = reload.get().filter(|watches| watches.iter().any(FileWatch::has_files)) {
                    tracing::info!("SIGHUP: reading the files of options again");
                    watches.iter().for_each(FileWatch::read_now);
                }
                hung_up.notify_one();
            }
        });
        let terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
        Ok(Self { terminate, interrupt, watches, upgrades })
    }

    /// Makes SIGHUP read the files of each of `watches` again.
    pub(crate) fn reload_with(&self, watches: [FileWatch; 2]) {
        // It is set once per process.
        let _ = self.watches.set(watches);
    }

    /// Notified at each SIGHUP, once files are being read again.
    pub(crate) fn upgrades(&self) -> Arc<Notify> {
        Arc::clone(&self.upgrades)
    }

    /// Waits for the next signal that ends the relay.
    pub(crate) async fn next(&mut self) -> EndSignal {
        tokio::select! {
            _ = self.terminate.recv() => EndSignal::Terminate,
            _ = self.interrupt.recv() => EndSignal::Interrupt,
        }
    }
}
