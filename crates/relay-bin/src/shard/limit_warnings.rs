//! Warns when a limit of the whole relay is reached.

use std::{fmt::Display, time::Duration};

use relay_server::{Rejection, Timestamp};

use crate::{
    option_names::{
        CHANNELS_PER_ALLOCATION, HIGHEST_PORT, LOWEST_PORT, MAX_CHANNELS, MAX_PERMISSIONS, PERMISSIONS_PER_ALLOCATION,
    },
    throttle::Throttle,
};

/// How often to repeat each warning.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Warns, at a limited rate, that clients are refused because of what other clients hold. It does not warn when a client has
/// reached a limit for one client.
#[derive(Debug)]
pub(super) struct LimitWarnings {
    ports: Throttle,
    channels: Throttle,
    permissions: Throttle,
}

impl LimitWarnings {
    pub(super) const fn new() -> Self {
        Self {
            ports: Throttle::new(WARN_EVERY),
            channels: Throttle::new(WARN_EVERY),
            permissions: Throttle::new(WARN_EVERY),
        }
    }

    /// Warns if `rejection` is about a limit of the whole relay.
    pub(super) fn observe(&mut self, now: Timestamp, rejection: Rejection) {
        match rejection {
            Rejection::NoFreePort => {
                if let Some(times) = self.ports.pass(now) {
                    tracing::warn!(
                        times,
                        "no port is free for an allocation: clients are answered 508; widen the range ({LOWEST_PORT}, {HIGHEST_PORT}), \
                         or add a relay"
                    );
                }
            }
            Rejection::NoChannelLeft => {
                warn(self.channels.pass(now), "channels", MAX_CHANNELS, CHANNELS_PER_ALLOCATION);
            }
            Rejection::NoPermissionLeft => {
                warn(self.permissions.pass(now), "permissions", MAX_PERMISSIONS, PERMISSIONS_PER_ALLOCATION);
            }
            _ => {}
        }
    }
}

fn warn(times: Option<u64>, what: &str, of_all: impl Display, of_one: impl Display) {
    if let Some(times) = times {
        tracing::warn!(
            times,
            "clients have as many {what} as there may be: they are answered 508; raise {of_all} if there is memory for more, or \
             lower {of_one}"
        );
    }
}
