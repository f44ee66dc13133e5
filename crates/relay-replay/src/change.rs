//! The changes of the relay's state, of which each row of a session may have some.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use relay_server::{DropReason, Family, Icmp, Rejection, RemovalReason};

use crate::AllocationView;

/// A change of the relay's state by a row.
///
/// Allocations are numbered over the whole session, from 0 in the order of their creation, or in which they became known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The recording of a shard began while the relay was running.
    Began {
        /// The shard.
        shard: u32,
        /// The allocations that there were, by number.
        allocations: Arc<BTreeMap<u32, AllocationView>>,
        /// Whether new allocations were refused.
        is_draining: bool,
    },
    /// An allocation was created.
    Created(Arc<NewAllocation>),
    /// An allocation was refreshed.
    Refreshed {
        /// The number of the allocation.
        allocation: u32,
        /// The new lifetime in seconds.
        lifetime: u32,
        /// The family that was refreshed; `None` for all.
        family: Option<Family>,
    },
    /// An allocation lost its relayed transport address of one family, and kept the other.
    FamilyRemoved {
        /// The number of the allocation.
        allocation: u32,
        /// The family that was removed.
        family: Family,
        /// Why it was removed.
        reason: RemovalReason,
    },
    /// An allocation ended.
    Removed {
        /// The number of the allocation.
        allocation: u32,
        /// Why it ended.
        reason: RemovalReason,
    },
    /// A channel was bound, or its binding refreshed.
    ChannelBound {
        /// The number of the allocation.
        allocation: u32,
        /// The channel number.
        channel: u16,
        /// The peer.
        peer: SocketAddr,
        /// Whether the channel was bound before.
        renewal: bool,
    },
    /// A channel binding lapsed.
    ChannelExpired {
        /// The number of the allocation.
        allocation: u32,
        /// The channel number.
        channel: u16,
    },
    /// A lapsed channel's number and peer are free again.
    ChannelReleased {
        /// The number of the allocation.
        allocation: u32,
        /// The channel number.
        channel: u16,
    },
    /// A permission was installed, or refreshed.
    PermissionInstalled {
        /// The number of the allocation.
        allocation: u32,
        /// The IP address of its peers.
        address: IpAddr,
        /// Whether there was a permission before.
        renewal: bool,
    },
    /// A permission ended.
    PermissionExpired {
        /// The number of the allocation.
        allocation: u32,
        /// The IP address of its peers.
        address: IpAddr,
    },
    /// A request was answered.
    Responded {
        /// The STUN method.
        method: u16,
        /// The answer.
        outcome: Outcome,
    },
    /// A datagram was dropped.
    Dropped {
        /// Why it was dropped.
        reason: DropReason,
    },
    /// Application data was relayed.
    Relayed {
        /// The number of the allocation, if it is known.
        allocation: Option<u32>,
        /// The encapsulation between client and relay.
        carrier: Carrier,
        /// The length of the data in bytes.
        bytes: u32,
        /// Whether it came from a client; otherwise it goes to one.
        from_client: bool,
        /// If the data goes straight to another client of this relay: the number of that client's allocation, and the encapsulation
        /// there.
        crossed_to: Option<(u32, Carrier)>,
    },
    /// The relay reported an ICMP error to a client, about a datagram that did not reach a peer.
    IcmpTold {
        /// The number of the allocation, if it is known.
        allocation: Option<u32>,
        /// The peer. Its port is 0 if it is not known.
        peer: SocketAddr,
        /// The error.
        icmp: Icmp,
    },
    /// The relay refuses new allocations from now on.
    Draining,
}

/// How application data is encapsulated between a client and the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In ChannelData with this channel number.
    Channel(u16),
    /// In a Send indication to this peer, or a Data indication from it.
    Indication(SocketAddr),
}

/// A new allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAllocation {
    /// Its number in the session.
    pub number: u32,
    /// The shard that has it.
    pub shard: u32,
    /// The relay's id for it; 0 if that is not known.
    pub id: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// The relay's address that the client sends to.
    pub server: SocketAddr,
    /// The username; empty if it is not known.
    pub username: String,
    /// The relayed transport addresses.
    pub relayed: Vec<SocketAddr>,
    /// The lifetime in seconds.
    pub lifetime: u32,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a success response.
    Success,
    /// With a challenge: a client's first request carries no credentials.
    Challenged,
    /// With an error response, for this reason.
    Rejected(Rejection),
    /// With an error response of this code. The reason is not known.
    Refused(u16),
}

impl Outcome {
    /// The ERROR-CODE of the response, if it is an error.
    #[must_use]
    pub const fn error_code(self) -> Option<u16> {
        match self {
            Self::Success => None,
            Self::Challenged => Some(401),
            Self::Rejected(rejection) => Some(rejection.error_code().number()),
            Self::Refused(code) => Some(code),
        }
    }
}
