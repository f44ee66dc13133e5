//! Logs datagrams that the kernel did not send.

use std::{io, time::Duration};

use relay_server::Timestamp;

use crate::throttle::Throttle;

/// How often to log each kind.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Failures to send since the last line in the log. Counters have them already; these figures are for the line.
#[derive(Debug)]
pub(super) struct SendFailures {
    /// Failures of this machine: a firewall, a full queue, an interface that is down.
    of_machine: Kind,
    /// Destinations that cannot be reached. A client may choose such a peer.
    of_destination: Kind,
}

#[derive(Debug)]
struct Kind {
    datagrams: u64,
    /// The last error.
    error: i32,
    /// Whether there were any since the last call of [`Kind::pass`].
    is_new: bool,
    lines: Throttle,
}

impl Kind {
    const fn new() -> Self {
        Self { datagrams: 0, error: 0, is_new: false, lines: Throttle::new(TELL_EVERY) }
    }

    /// The number of failures since the last line, and the last error, if a line is due.
    fn pass(&mut self, now: Timestamp) -> Option<(u64, io::Error)> {
        if !std::mem::take(&mut self.is_new) {
            return None;
        }
        self.lines.pass(now)?;
        Some((std::mem::take(&mut self.datagrams), io::Error::from_raw_os_error(self.error)))
    }
}

impl Default for SendFailures {
    fn default() -> Self {
        Self { of_machine: Kind::new(), of_destination: Kind::new() }
    }
}

impl SendFailures {
    /// Notes that a datagram was not sent because of `error`.
    pub(super) fn note(&mut self, error: &io::Error) {
        // All errors here come from the kernel and have a number.
        let error = error.raw_os_error().unwrap_or_default();
        let kind = if remedy(error).is_some() { &mut self.of_machine } else { &mut self.of_destination };
        kind.datagrams += 1;
        kind.error = error;
        kind.is_new = true;
    }

    /// Logs the failures, at most once a minute for each kind.
    pub(super) fn tell(&mut self, now: Timestamp) {
        if let Some((datagrams, error)) = self.of_machine.pass(now) {
            let remedy = remedy(self.of_machine.error).unwrap_or_default();
            tracing::warn!(%error, datagrams, "this machine does not send datagrams, which are lost: {remedy}; relaying goes on");
        }
        if let Some((datagrams, error)) = self.of_destination.pass(now) {
            tracing::info!(
                %error,
                datagrams,
                "datagrams are lost since their destination cannot be reached from here; that is harmless if clients try peers in vain, \
                 and no route if it is all of them (`ip route`)"
            );
        }
    }
}

/// What an operator can do about an error of this machine. `None` if the destination may be the cause.
const fn remedy(error: i32) -> Option<&'static str> {
    Some(match error {
        libc::EPERM => "a firewall of its own drops what the relay sends; let UDP out (`nft list ruleset`)",
        libc::EAGAIN | libc::ENOBUFS => "more is relayed than its network takes",
        libc::ENOMEM => "it is out of memory",
        libc::ENETDOWN | libc::ENODEV => "a network interface is down (`ip link`)",
        libc::EADDRNOTAVAIL => "it has lost the address to send from (`ip address`)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_tells_of_all_that_failed() {
        let mut failures = SendFailures::default();
        let mut pass = |seconds: u64, errors: &[i32]| {
            errors.iter().for_each(|error| failures.note(&io::Error::from_raw_os_error(*error)));
            let now = Timestamp::from_secs(seconds);
            let told =
                |told: Option<(u64, io::Error)>| told.map(|(count, error)| (count, error.raw_os_error().unwrap()));
            (told(failures.of_machine.pass(now)), told(failures.of_destination.pass(now)))
        };
        assert_eq!(pass(0, &[]), (None, None));
        let first = (Some((2, libc::ENOBUFS)), Some((1, libc::ENETUNREACH)));
        assert_eq!(pass(1, &[libc::EPERM, libc::ENOBUFS, libc::ENETUNREACH]), first);
        assert_eq!(pass(2, &[libc::EPERM; 5]), (None, None));
        assert_eq!(pass(61, &[]), (None, None), "nothing fails any more");
        assert_eq!(pass(70, &[libc::EAGAIN, libc::EINVAL]), (Some((6, libc::EAGAIN)), Some((1, libc::EINVAL))));
    }
}
