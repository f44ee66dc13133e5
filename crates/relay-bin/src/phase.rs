//! The phases of a relay's life.

use tokio::sync::watch;

/// A phase of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Does not serve yet.
    Starting,
    /// Serves.
    Serving,
    /// Serves its allocations and refuses new ones.
    Draining,
    /// Ends.
    Stopping,
}

/// Publishes the phase, which only advances.
#[derive(Clone, Debug)]
pub(crate) struct Phases(watch::Sender<Phase>);

impl Phases {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let advances = *phase < to;
            if advances {
                *phase = to;
            }
            advances
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }
}
