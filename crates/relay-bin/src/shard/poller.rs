//! Waits for readable sockets, mail and deadlines.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
    time::Duration,
};

use mio::{Events, Interest, Poll, Registry, Token, Waker, unix::SourceFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use relay_server::{AllocationPort, Family, Timestamp};

/// The most ready sockets that the kernel reports at a time.
const EVENTS: usize = 256;

/// Something that can become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Mail has arrived.
    Mailbox,
    /// A listening socket, by its index.
    Listener(u16),
    /// The relay socket of an allocation.
    Relay(AllocationPort, Family),
}

/// The upper bits of a token. The lower 16 are the index or the port.
const LISTENER: usize = 0 << 16;
const RELAY_V4: usize = 1 << 16;
const RELAY_V6: usize = 2 << 16;
const MAILBOX: usize = 3 << 16;
/// Not a source: the alarm went off.
const ALARM: Token = Token(4 << 16);

impl Source {
    fn token(self) -> Token {
        Token(match self {
            Self::Mailbox => MAILBOX,
            Self::Listener(index) => LISTENER | usize::from(index),
            Self::Relay(port, Family::V4) => RELAY_V4 | usize::from(port.get()),
            Self::Relay(port, Family::V6) => RELAY_V6 | usize::from(port.get()),
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    const fn of(token: Token) -> Self {
        let low = token.0 as u16;
        match token.0 - low as usize {
            RELAY_V4 => Self::Relay(AllocationPort::new(low), Family::V4),
            RELAY_V6 => Self::Relay(AllocationPort::new(low), Family::V6),
            LISTENER => Self::Listener(low),
            _ => Self::Mailbox,
        }
    }
}

/// An epoll instance. It is edge-triggered: it reports a source when something arrives, no matter what was left unread before.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    alarm: TimerFd,
    /// When the alarm goes off, if it is set.
    alarm_at: Option<Timestamp>,
}

/// Wakes the thread that waits at a poller.
#[derive(Debug)]
pub(super) struct MailboxWaker(Waker);

impl Poller {
    /// # Errors
    ///
    /// When the process has no file descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let alarm = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&alarm.as_fd().as_raw_fd()), ALARM, Interest::READABLE)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS), alarm, alarm_at: None })
    }

    pub(super) fn waker(&self) -> io::Result<MailboxWaker> {
        Waker::new(self.poll.registry(), Source::Mailbox.token()).map(MailboxWaker)
    }

    /// A handle that adds sockets to this poller.
    pub(super) fn watcher(&self) -> io::Result<Watcher> {
        self.poll.registry().try_clone().map(Watcher)
    }

    /// Blocks until a source is ready or `due` passes. May return earlier. Returns the ready sources, and for each whether its
    /// socket has an error. `now` is the current time.
    ///
    /// A timer descriptor serves as alarm: it is set only when `due` comes earlier than before, while a timeout for each wait would
    /// cost the kernel more than the wait itself. An alarm is never put off, so the call may return early.
    pub(super) fn wait_until(
        &mut self,
        due: Timestamp,
        now: Timestamp,
    ) -> io::Result<impl Iterator<Item = (Source, bool)>> {
        let left = due.saturating_duration_since(now);
        if !left.is_zero() && self.alarm_at.is_none_or(|at| at > due) {
            self.alarm.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
            self.alarm_at = Some(due);
        }
        match self.poll.poll(&mut self.events, left.is_zero().then_some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        if self.events.iter().any(|event| event.token() == ALARM) {
            self.alarm_at = None;
        }
        let sources = self.events.iter().filter(|event| event.token() != ALARM);
        Ok(sources.map(|event| (Source::of(event.token()), event.is_error())))
    }
}

/// Adds sockets to a poller.
#[derive(Debug)]
pub(super) struct Watcher(Registry);

impl Watcher {
    /// Watches `socket` for as long as it is open.
    pub(super) fn watch(&self, socket: &impl AsFd, source: Source) -> io::Result<()> {
        self.0.register(&mut SourceFd(&socket.as_fd().as_raw_fd()), source.token(), Interest::READABLE)
    }
}

impl MailboxWaker {
    pub(super) fn wake(&self) {
        // This fails only if the counter behind it would overflow. The thread is awake already then.
        let _ = self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn wait(poller: &mut Poller, timeout: Duration) -> Vec<Source> {
        poller.wait_until(NOW + timeout, NOW).unwrap().map(|(source, _)| source).collect()
    }

    #[test]
    fn tokens_name_sources() {
        for source in [
            Source::Mailbox,
            Source::Listener(0),
            Source::Listener(7),
            Source::Relay(AllocationPort::new(1), Family::V4),
            Source::Relay(AllocationPort::new(65_535), Family::V6),
        ] {
            assert_eq!(Source::of(source.token()), source);
        }
    }

    #[test]
    fn each_arrival_is_told_of() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let source = Source::Relay(AllocationPort::new(50_000), Family::V4);
        poller.watcher().unwrap().watch(&socket, source).unwrap();
        for _ in 0..2 {
            socket.send_to(b"unread", socket.local_addr().unwrap()).unwrap();
            assert_eq!(wait(&mut poller, LONG), [source]);
            assert_eq!(wait(&mut poller, Duration::ZERO), []);
        }
        let waker = poller.waker().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            assert_eq!(wait(&mut poller, LONG), [Source::Mailbox]);
        });
        drop(socket);
        assert_eq!(wait(&mut poller, Duration::ZERO), []);
    }
    #[test]
    fn a_wait_ends_when_something_is_due_whatever_was_due_before() {
        const SOON: Duration = Duration::from_millis(1);
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let source = Source::Relay(AllocationPort::new(50_000), Family::V4);
        poller.watcher().unwrap().watch(&socket, source).unwrap();
        // This wait sets the alarm far in the future.
        socket.send_to(b"unread", socket.local_addr().unwrap()).unwrap();
        assert_eq!(wait(&mut poller, LONG), [source]);
        // These waits bring it forward, and set it again after it went off.
        for _ in 0..2 {
            assert_eq!(wait(&mut poller, SOON), []);
            assert_eq!(poller.alarm_at, None);
        }
    }
}
