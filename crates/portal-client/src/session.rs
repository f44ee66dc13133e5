use std::{collections::VecDeque, time::Duration};

use crate::{
    Failure, Fatal, Limits, StampSecret,
    backoff::Backoff,
    message::{self, Incoming},
};

/// What the owner of a [`Session`] has to do, or an event to report.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Connect, then call [`Session::handle_connected`] or [`Session::handle_failed`].
    Connect,
    /// Send a text message on the connection.
    Send(String),
    /// Drop the connection, or the attempt to connect. Do not call [`Session::handle_failed`].
    Close,
    /// Something happened.
    Event(Event),
    /// The relay gives up the portal. This is the last output.
    GiveUp(Fatal),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("Connect"),
            // The join contains the secret.
            Self::Send(text) => write!(f, "Send({} bytes)", text.len()),
            Self::Close => f.write_str("Close"),
            Self::Event(event) => write!(f, "Event({event:?})"),
            Self::GiveUp(fatal) => write!(f, "GiveUp({fatal:?})"),
        }
    }
}

/// A change of the relay's connection or registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The WebSocket is open, and the join has been sent.
    Connected,
    /// The portal has accepted the join.
    Joined,
    /// The relay is registered and may serve: the join is accepted, and an `init` has arrived on this connection or an earlier one.
    Ready,
    /// The connection is gone, or an attempt has failed.
    Disconnected {
        /// Why.
        failure: Failure,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The portal sent a message that this relay does not understand, and ignores.
    Ignored {
        /// A description of the message.
        what: String,
    },
}

/// The state machine of a relay's registration with the portal, without I/O.
///
/// All times are durations since an epoch that the caller chooses, and must not go backwards. After each `handle_*` method,
/// take outputs from [`Self::poll_output`] until it returns `None`, then wait until [`Self::poll_timeout`] at most.
///
/// ```
/// use std::time::Duration;
/// use portal_client::{Event, Limits, Output, Session, StampSecret};
///
/// let now = Duration::ZERO;
/// let mut session = Session::new(Limits::default(), StampSecret::new("00ff"), [0; 32], now);
/// assert_eq!(session.poll_output(), Some(Output::Connect));
///
/// session.handle_connected(now);
/// assert_eq!(session.poll_output(), Some(Output::Event(Event::Connected)));
/// let Some(Output::Send(join)) = session.poll_output() else { panic!() };
/// assert!(join.contains("phx_join"));
///
/// session.handle_text(now, r#"{"topic":"relay","event":"phx_reply","payload":{"status":"ok"},"ref":"1"}"#);
/// assert_eq!(session.poll_output(), Some(Output::Event(Event::Joined)));
/// session.handle_text(now, r#"{"topic":"relay","event":"init","payload":{},"ref":null}"#);
/// assert_eq!(session.poll_output(), Some(Output::Event(Event::Ready)));
/// assert_eq!(session.poll_timeout(), Some(Duration::from_secs(10)), "the first heartbeat");
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    stamp_secret: StampSecret,
    backoff: Backoff,
    state: State,
    /// Whether an `init` has arrived since the start.
    initialised: bool,
    /// When to give up, while the relay is not ready.
    give_up_at: Option<Duration>,
    last_failure: Option<Failure>,
    last_reference: u64,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Waiting { until: Duration },
    Connecting { deadline: Duration },
    Open(Open),
    Ended,
}

#[derive(Debug)]
struct Open {
    join: Join,
    next_heartbeat: Duration,
    /// The references of unanswered heartbeats, oldest first.
    unanswered: VecDeque<u64>,
}

#[derive(Debug)]
enum Join {
    Sent { reference: u64, deadline: Duration },
    Accepted,
}

impl Session {
    /// A session whose first output is [`Output::Connect`]. `seed` is that of the jitter in waits between attempts.
    #[must_use]
    pub fn new(limits: Limits, stamp_secret: StampSecret, seed: [u8; 32], now: Duration) -> Self {
        let limits = limits.sane();
        let mut session = Self {
            limits,
            stamp_secret,
            backoff: Backoff::new(seed),
            state: State::Ended,
            initialised: false,
            give_up_at: Some(now.saturating_add(limits.startup)),
            last_failure: None,
            last_reference: 0,
            outputs: VecDeque::new(),
        };
        session.connect(now);
        session
    }

    /// The connection that [`Output::Connect`] asked for is open.
    pub fn handle_connected(&mut self, now: Duration) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        let reference = self.next_reference();
        self.state = State::Open(Open {
            join: Join::Sent { reference, deadline: now.saturating_add(self.limits.join) },
            next_heartbeat: now.saturating_add(self.limits.heartbeat_interval),
            unanswered: VecDeque::new(),
        });
        self.event(Event::Connected);
        self.outputs.push_back(Output::Send(message::join(self.stamp_secret.expose(), reference)));
    }

    /// The attempt to connect failed, or the connection is gone.
    pub fn handle_failed(&mut self, now: Duration, failure: Failure) {
        match (&self.state, &failure) {
            (State::Ended | State::Waiting { .. }, _) => {}
            (_, Failure::Refused { status: 401, .. }) => self.give_up(Fatal::Unauthorized),
            _ => self.retry(now, failure),
        }
    }

    /// A text message arrived on the connection.
    pub fn handle_text(&mut self, now: Duration, text: &str) {
        let State::Open(open) = &mut self.state else { return };
        match Incoming::parse(text) {
            Incoming::Reply { reference, result } => match open.join {
                Join::Sent { reference: join, .. } if join == reference => self.handle_join_answer(result),
                _ => self.handle_reply(reference),
            },
            Incoming::Init => match open.join {
                Join::Sent { .. } => self.ignore("init before the join was answered"),
                Join::Accepted => self.handle_init(),
            },
            Incoming::ChannelEnded(event) => self.abandon(now, Failure::ChannelEnded { event }),
            Incoming::Disconnect { reason } if reason == "token_expired" => {
                self.outputs.push_back(Output::Close);
                self.give_up(Fatal::TokenExpired);
            }
            Incoming::Disconnect { reason } => self.abandon(now, Failure::AskedToDisconnect { reason }),
            Incoming::Unknown { event } => self.ignore(&format!("unknown event {event}")),
            Incoming::Garbage { problem } => self.ignore(&format!("not a message: {problem}")),
        }
    }

    /// Does what is due at `now`; afterwards [`Self::poll_timeout`] is later than `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if matches!(self.state, State::Ended) {
            return;
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            if !matches!(self.state, State::Waiting { .. }) {
                self.outputs.push_back(Output::Close);
            }
            let last = self.last_failure.take().or(match self.state {
                State::Connecting { .. } => Some(Failure::HandshakeTimedOut { limit: self.limits.startup }),
                _ => None,
            });
            self.give_up(if self.initialised {
                Fatal::Partitioned { limit: self.limits.partition, last }
            } else {
                Fatal::NeverInitialised { limit: self.limits.startup, last }
            });
            return;
        }
        match &self.state {
            State::Waiting { until } if *until <= now => self.connect(now),
            State::Connecting { deadline } if *deadline <= now => {
                self.abandon(now, Failure::HandshakeTimedOut { limit: self.limits.handshake });
            }
            State::Open(Open { join: Join::Sent { deadline, .. }, .. }) if *deadline <= now => {
                self.abandon(now, Failure::JoinTimedOut { limit: self.limits.join });
            }
            State::Open(open) if open.next_heartbeat <= now => self.beat(now),
            State::Waiting { .. } | State::Connecting { .. } | State::Open(_) | State::Ended => {}
        }
    }

    /// The relay leaves the portal, because it is about to stop. The only outputs that follow tell the portal and close the connection.
    pub fn handle_leave(&mut self) {
        let reference = self.next_reference();
        match self.state {
            State::Open(_) => {
                self.outputs.push_back(Output::Send(message::leave(reference)));
                self.outputs.push_back(Output::Close);
            }
            State::Connecting { .. } => self.outputs.push_back(Output::Close),
            State::Waiting { .. } | State::Ended => {}
        }
        self.end();
    }

    /// When to call [`Self::handle_timeout`] next. O(1). Only `handle_*` methods change it. `None` once the session has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let own = match &self.state {
            State::Waiting { until } => *until,
            State::Connecting { deadline } => *deadline,
            State::Open(Open { join: Join::Sent { deadline, .. }, next_heartbeat, .. }) => {
                (*deadline).min(*next_heartbeat)
            }
            State::Open(Open { join: Join::Accepted, next_heartbeat, .. }) => *next_heartbeat,
            State::Ended => return None,
        };
        Some(self.give_up_at.map_or(own, |at| at.min(own)))
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_join_answer(&mut self, result: Result<(), String>) {
        if let Err(reason) = result {
            self.outputs.push_back(Output::Close);
            self.give_up(Fatal::JoinRefused { reason });
            return;
        }
        if let State::Open(open) = &mut self.state {
            open.join = Join::Accepted;
        }
        self.last_failure = None;
        self.event(Event::Joined);
        if self.initialised {
            self.ready();
        }
    }

    fn handle_init(&mut self) {
        if self.initialised {
            self.ignore("another init");
            return;
        }
        self.initialised = true;
        self.ready();
    }

    fn ready(&mut self) {
        self.give_up_at = None;
        self.event(Event::Ready);
    }

    fn handle_reply(&mut self, reference: u64) {
        let State::Open(open) = &mut self.state else { return };
        if !open.unanswered.contains(&reference) {
            self.ignore(&format!("a reply to {reference}, which nobody waits for"));
            return;
        }
        // An answer proves that the portal is reachable now; older heartbeats no longer matter.
        open.unanswered.retain(|sent| *sent > reference);
        // Reset the backoff only after a heartbeat was answered. Otherwise the relay would reconnect in a tight loop to a portal that
        // accepts each connection and drops it.
        if self.give_up_at.is_none() {
            self.backoff.reset();
        }
    }

    fn beat(&mut self, now: Duration) {
        let reference = self.next_reference();
        let interval = self.limits.heartbeat_interval;
        let State::Open(open) = &mut self.state else { return };
        let count = open.unanswered.len();
        if count > self.limits.unanswered_heartbeats {
            self.abandon(now, Failure::HeartbeatsUnanswered { count });
            return;
        }
        open.unanswered.push_back(reference);
        // Keep the schedule even if this heartbeat was late. Do not make up for missed ones, for example while the machine slept.
        let missed = now.saturating_sub(open.next_heartbeat).as_nanos() / interval.as_nanos();
        let steps = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        open.next_heartbeat = interval
            .checked_mul(steps)
            .and_then(|later| open.next_heartbeat.checked_add(later))
            .unwrap_or(Duration::MAX);
        if open.next_heartbeat <= now {
            open.next_heartbeat = now.saturating_add(interval);
        }
        self.outputs.push_back(Output::Send(message::heartbeat(reference)));
    }

    fn connect(&mut self, now: Duration) {
        self.state = State::Connecting { deadline: now.saturating_add(self.limits.handshake) };
        self.outputs.push_back(Output::Connect);
    }

    /// Drops the connection, or the attempt, and retries.
    fn abandon(&mut self, now: Duration, failure: Failure) {
        self.outputs.push_back(Output::Close);
        self.retry(now, failure);
    }

    fn retry(&mut self, now: Duration, failure: Failure) {
        if self.give_up_at.is_none() {
            self.give_up_at = Some(now.saturating_add(self.limits.partition));
        }
        let asked = match failure {
            Failure::Refused { status: 429 | 503, retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let retry_in = asked.saturating_add(self.backoff.next());
        self.last_failure = Some(failure.clone());
        self.event(Event::Disconnected { failure, retry_in });
        if retry_in.is_zero() {
            self.connect(now);
        } else {
            self.state = State::Waiting { until: now.saturating_add(retry_in) };
        }
    }

    fn give_up(&mut self, fatal: Fatal) {
        self.outputs.push_back(Output::GiveUp(fatal));
        self.end();
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.give_up_at = None;
    }

    fn ignore(&mut self, what: &str) {
        self.event(Event::Ignored { what: what.to_owned() });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn next_reference(&mut self) -> u64 {
        self.last_reference = self.last_reference.wrapping_add(1);
        self.last_reference
    }
}

#[cfg(test)]
mod tests;
