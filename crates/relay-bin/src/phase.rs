//! The stages of a relay's life.

use tokio::sync::watch;

/// What the relay is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Serving,
    /// It serves the allocations that it has and takes no new ones.
    Draining,
    /// It ends.
    Stopping,
}

/// Tells everybody the phase, which only ever advances.
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
