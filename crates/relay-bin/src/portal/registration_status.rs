//! Turns the portal client's events into a state for readiness, log lines, and a span for each time without registration.

use std::mem::{Discriminant, discriminant};

use portal_client::{Event, Failure};
use tokio::sync::watch;
use tracing::Span;

use super::PortalState;

/// Handles the events of one portal client.
pub(crate) struct RegistrationStatus {
    state: watch::Sender<PortalState>,
    /// Lasts from the loss of the registration until it is back.
    span: Span,
    failures: u32,
    /// The kinds of failures that were logged as warnings. They may repeat for a day, also in turn; each kind is logged once.
    warned: Vec<Kind>,
}

impl RegistrationStatus {
    pub(crate) fn new() -> (Self, watch::Receiver<PortalState>) {
        let (state, receiver) = watch::channel(PortalState::Registering);
        (Self { state, span: span(), failures: 0, warned: Vec::new() }, receiver)
    }

    pub(crate) fn handle(&mut self, event: Event) {
        let _entered = self.span.clone().entered();
        match event {
            Event::Connected => tracing::debug!("connected to the portal"),
            Event::Joined => tracing::debug!("the portal accepted the join"),
            Event::Ready => {
                self.span.record("failures", self.failures);
                tracing::info!(failures = self.failures, "registered with the portal");
                self.state.send_replace(PortalState::Registered);
                self.span = Span::none();
                self.failures = 0;
                self.warned.clear();
            }
            Event::Disconnected { failure, retry_in } => {
                let was_registered = *self.state.borrow() == PortalState::Registered;
                if was_registered {
                    self.state.send_replace(PortalState::Partitioned);
                    self.span = span();
                }
                self.failures = self.failures.saturating_add(1);
                if self.warned.contains(&kind(&failure)) {
                    tracing::debug!(%failure, ?retry_in, "still no connection to the portal");
                } else {
                    let consequence = match *self.state.borrow() {
                        PortalState::Registering => "the relay does not serve yet",
                        PortalState::Registered | PortalState::Partitioned => "relaying goes on",
                    };
                    tracing::warn!(%failure, ?retry_in, "no connection to the portal; {consequence}");
                    self.warned.push(kind(&failure));
                }
            }
            Event::Ignored { what } => tracing::debug!(what, "ignored what the portal said"),
            other => tracing::debug!(?other, "an event of the portal client"),
        }
    }
}

/// The kind of a failure, without details: the variant, and the HTTP status if the portal answered.
type Kind = (Discriminant<Failure>, Option<u16>);

fn kind(failure: &Failure) -> Kind {
    let status = match failure {
        Failure::Refused { status, .. } => Some(*status),
        _ => None,
    };
    (discriminant(failure), status)
}

fn span() -> Span {
    tracing::info_span!("portal_registration", failures = tracing::field::Empty)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portal_client::{Event, Failure};

    use super::{PortalState, RegistrationStatus};

    fn lost() -> Event {
        let failure = Failure::HeartbeatsUnanswered { count: 4 };
        Event::Disconnected { failure, retry_in: Duration::ZERO }
    }

    #[test]
    fn the_state_follows_the_connection() {
        let (mut registration_status, state) = RegistrationStatus::new();
        let mut after = |event| {
            registration_status.handle(event);
            *state.borrow()
        };
        assert_eq!(after(Event::Connected), PortalState::Registering);
        assert_eq!(after(lost()), PortalState::Registering, "it has not served yet");
        assert_eq!(after(Event::Joined), PortalState::Registering, "not before init");
        assert_eq!(after(Event::Ready), PortalState::Registered);
        assert_eq!(after(lost()), PortalState::Partitioned);
        assert_eq!(after(lost()), PortalState::Partitioned);
        assert_eq!(after(Event::Joined), PortalState::Partitioned);
        assert_eq!(after(Event::Ready), PortalState::Registered);
    }

    #[test]
    fn a_failure_that_repeats_is_a_warning_once() {
        let (mut registration_status, _state) = RegistrationStatus::new();
        for failures in 1..3 {
            registration_status.handle(lost());
            assert_eq!((registration_status.failures, registration_status.warned.len()), (failures, 1));
        }
        // Two kinds in turn.
        for status in [503, 404, 503, 404] {
            let failure = Failure::Refused { status, retry_after: None };
            registration_status.handle(Event::Disconnected { failure, retry_in: Duration::ZERO });
        }
        assert_eq!((registration_status.failures, registration_status.warned.len()), (6, 3));
        registration_status.handle(Event::Ready);
        assert_eq!((registration_status.failures, registration_status.warned.len()), (0, 0));
    }
}
