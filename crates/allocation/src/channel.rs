use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AllocationId, ChannelNumber, PeerSocket, Timestamp, timers::TimerKey};

/// How long a channel binding relays without being refreshed: 10 minutes.
///
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12)
pub const CHANNEL_BINDING_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long the number and the peer of a lapsed channel stay reserved for each other: 5 minutes.
///
/// [RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12)
pub const CHANNEL_REUSE_DELAY: Duration = Duration::from_secs(5 * 60);

/// A channel of an allocation: a number bound to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub(crate) peer: PeerSocket,
    pub(crate) number: ChannelNumber,
    pub(crate) bound: bool,
    pub(crate) expires_at: Timestamp,
}

impl Channel {
    /// The channel number.
    #[must_use]
    pub const fn number(&self) -> ChannelNumber {
        self.number
    }

    /// The peer.
    #[must_use]
    pub const fn peer(&self) -> PeerSocket {
        self.peer
    }

    /// Whether the binding holds and data is relayed. Otherwise it has lapsed: number and peer are only reserved for each other.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.bound
    }

    /// When the binding lapses, or lapsed.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// When number and peer can be bound to others, unless the binding is refreshed.
    #[must_use]
    pub fn reusable_at(&self) -> Timestamp {
        self.expires_at + CHANNEL_REUSE_DELAY
    }

    /// Whether data from `peer` is relayed in it. Compares the port first, as most peers differ in that.
    #[inline]
    pub(crate) fn relays(&self, peer: PeerSocket) -> bool {
        self.bound && self.peer.address().port() == peer.address().port() && self.peer == peer
    }

    /// The timer that this channel of allocation `id` has armed.
    pub(crate) fn timer(&self, id: AllocationId) -> (Timestamp, TimerKey) {
        if self.bound {
            (self.expires_at, TimerKey::ChannelExpires(id, self.number))
        } else {
            (self.reusable_at(), TimerKey::ChannelReusable(id, self.number))
        }
    }
}
