use std::{fmt, time::Duration};

/// Why there is no connection to the portal at present. The relay tries again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The portal's host name has no address.
    #[error("cannot look up {host}: {problem}")]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's message.
        problem: String,
    },
    /// No address accepted a TCP connection.
    #[error("cannot connect to {problem}")]
    Connect {
        /// Every address that was tried, each with its error.
        problem: String,
    },
    /// The TLS handshake failed.
    #[error("cannot establish TLS with {host}: {problem}")]
    Tls {
        /// The name that the portal's certificate must have.
        host: String,
        /// What was wrong.
        problem: String,
    },
    /// The portal answered the WebSocket handshake with another HTTP status than 101.
    #[error("the portal answered with HTTP status {status}{}", RetryAfter(*retry_after))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`, if there was one, counted from the answer.
        retry_after: Option<Duration>,
    },
    /// The WebSocket handshake failed in another way.
    #[error("the WebSocket handshake failed: {problem}")]
    Handshake {
        /// What was wrong.
        problem: String,
    },
    /// Name look-up, TCP, TLS and WebSocket handshake took too long.
    #[error("no connection within {limit:?}")]
    HandshakeTimedOut {
        /// [`Limits::handshake`](crate::Limits::handshake).
        limit: Duration,
    },
    /// The portal did not answer the join in time.
    #[error("the portal did not answer the join within {limit:?}")]
    JoinTimedOut {
        /// [`Limits::join`](crate::Limits::join).
        limit: Duration,
    },
    /// The portal has stopped answering.
    #[error("{count} heartbeats in a row were not answered")]
    HeartbeatsUnanswered {
        /// How many.
        count: usize,
    },
    /// The portal closed the WebSocket.
    #[error("the portal closed the connection: {problem}")]
    Closed {
        /// The close code and reason, if there were any.
        problem: String,
    },
    /// The connection broke.
    #[error("the connection broke: {problem}")]
    Broken {
        /// What was wrong.
        problem: String,
    },
    /// The portal violated the WebSocket protocol, or a message was too large.
    #[error("the portal broke the WebSocket protocol: {problem}")]
    Protocol {
        /// What was wrong.
        problem: String,
    },
    /// The portal's side of the channel crashed (`phx_error`) or ended (`phx_close`).
    #[error("the portal ended the channel ({event})")]
    ChannelEnded {
        /// Which of the two events.
        event: &'static str,
    },
    /// The portal asked to disconnect, for a reason that permits another attempt.
    #[error("the portal asked to disconnect: {reason}")]
    AskedToDisconnect {
        /// The portal's reason.
        reason: String,
    },
}

/// Why the relay gives up the portal for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// The portal answered 401.
    #[error("the portal refused the token (HTTP status 401): set FIREZONE_TOKEN to a valid relay token")]
    Unauthorized,
    /// The portal answered the join with an error.
    #[error("the portal refused the join: {reason}; check that FIREZONE_TOKEN is a relay token of this portal")]
    JoinRefused {
        /// The portal's reason.
        reason: String,
    },
    /// The portal disconnected the relay because its token has expired.
    #[error("the token has expired: set FIREZONE_TOKEN to a fresh relay token")]
    TokenExpired,
    /// The first `init` did not arrive within [`Limits::startup`](crate::Limits::startup).
    #[error(
        "no word from the portal within {limit:?} of the start ({}): check FIREZONE_API_URL, DNS and the firewall",
        Last(last)
    )]
    NeverInitialised {
        /// The limit.
        limit: Duration,
        /// The last failure; `None` if the portal accepted the join but never sent `init`.
        last: Option<Failure>,
    },
    /// The portal was out of reach for [`Limits::partition`](crate::Limits::partition).
    #[error("the portal has been out of reach for {limit:?} ({})", Last(last))]
    Partitioned {
        /// The limit.
        limit: Duration,
        /// The last failure.
        last: Option<Failure>,
    },
}

struct RetryAfter(Option<Duration>);

impl fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |after| write!(f, " and asked to retry after {after:?}"))
    }
}

struct Last<'a>(&'a Option<Failure>);

impl fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(failure) => write!(f, "{failure}"),
            None => f.write_str("it accepted the connection and then said nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, Fatal};

    #[test]
    fn messages_say_what_failed_and_what_to_do() {
        let refused = Failure::Refused { status: 429, retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(refused.to_string(), "the portal answered with HTTP status 429 and asked to retry after 7s");
        let fatal = Fatal::NeverInitialised { limit: Duration::from_secs(15), last: Some(refused) };
        assert_eq!(
            fatal.to_string(),
            "no word from the portal within 15s of the start (the portal answered with HTTP status 429 and asked to \
             retry after 7s): check FIREZONE_API_URL, DNS and the firewall"
        );
        assert!(Fatal::Unauthorized.to_string().contains("FIREZONE_TOKEN"));
    }
}
