use std::time::Duration;

/// How long the relay waits for the portal in each situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Give up if the first `init` has not arrived this long after the start, so that a misconfigured relay fails visibly.
    pub startup: Duration,
    /// Give up if the portal has been out of reach for this long.
    pub partition: Duration,
    /// Limit for the TCP connection to one address.
    pub tcp_connect: Duration,
    /// Limit for name look-up, TCP, TLS and the WebSocket handshake together.
    pub handshake: Duration,
    /// Limit for the answer to the join.
    pub join: Duration,
    /// Time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// How many heartbeats may be unanswered. With more, the connection is considered dead.
    pub unanswered_heartbeats: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(15),
            partition: Duration::from_secs(24 * 60 * 60),
            tcp_connect: Duration::from_secs(5),
            handshake: Duration::from_secs(15),
            join: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(10),
            unanswered_heartbeats: 3,
        }
    }
}

impl Limits {
    /// Raises limits of zero, which would fire repeatedly before anything could happen.
    pub(crate) fn sane(self) -> Self {
        let floor = |limit: Duration| limit.max(Duration::from_millis(1));
        Self {
            startup: floor(self.startup),
            partition: floor(self.partition),
            tcp_connect: floor(self.tcp_connect),
            handshake: floor(self.handshake),
            join: floor(self.join),
            heartbeat_interval: floor(self.heartbeat_interval),
            ..self
        }
    }
}
