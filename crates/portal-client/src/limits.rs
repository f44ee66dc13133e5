use std::time::Duration;

/// How long the relay waits for the portal in each situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Give up when the very first `init` has not come this long after the start. A misconfigured relay then fails visibly.
    pub startup: Duration,
    /// Give up when the portal has been out of reach for this long.
    pub partition: Duration,
    /// For the TCP connection to one address.
    pub tcp_connect: Duration,
    /// For name look-up, TCP, TLS and the WebSocket handshake together.
    pub handshake: Duration,
    /// For the answer to the join.
    pub join: Duration,
    /// Between two heartbeats.
    pub heartbeat_interval: Duration,
    /// With more unanswered heartbeats than this the connection is dead.
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
    /// A limit of zero would fire before anything could happen, again and again.
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
