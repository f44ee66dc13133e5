use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use relay_server::{DropReason, Family, Icmp, Rejection, RemovalReason};

/// Something that a row did to the relay's state.
///
/// Allocations are numbered over the whole session, from 0 in the order of their creation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An allocation was made.
    Created(Arc<NewAllocation>),
    /// An allocation's lifetime began anew.
    Refreshed {
        /// Which.
        allocation: u32,
        /// For how many seconds.
        lifetime: u32,
        /// Only its relayed transport address of this family, or all of it.
        family: Option<Family>,
    },
    /// An allocation lost its relayed transport address of one family, and kept the other.
    FamilyRemoved {
        /// Which.
        allocation: u32,
        /// Which family.
        family: Family,
        /// Why.
        reason: RemovalReason,
    },
    /// An allocation ended.
    Removed {
        /// Which.
        allocation: u32,
        /// Why.
        reason: RemovalReason,
    },
    /// A channel was bound, or its binding refreshed.
    ChannelBound {
        /// Of which allocation.
        allocation: u32,
        /// Its number.
        channel: u16,
        /// Its peer.
        peer: SocketAddr,
        /// Whether it had been bound before.
        renewal: bool,
    },
    /// A channel binding lapsed.
    ChannelExpired {
        /// Of which allocation.
        allocation: u32,
        /// Its number.
        channel: u16,
    },
    /// A lapsed channel's number and peer are free again.
    ChannelReleased {
        /// Of which allocation.
        allocation: u32,
        /// Its number.
        channel: u16,
    },
    /// A permission was installed, or refreshed.
    PermissionInstalled {
        /// Of which allocation.
        allocation: u32,
        /// The address of its peers.
        address: IpAddr,
        /// Whether it had been there before.
        renewal: bool,
    },
    /// A permission ended.
    PermissionExpired {
        /// Of which allocation.
        allocation: u32,
        /// The address of its peers.
        address: IpAddr,
    },
    /// A request was answered.
    Responded {
        /// The STUN method.
        method: u16,
        /// How.
        outcome: Outcome,
    },
    /// A datagram was dropped.
    Dropped {
        /// Why.
        reason: DropReason,
    },
    /// Application data was relayed.
    Relayed {
        /// By which allocation, if that is known.
        allocation: Option<u32>,
        /// What it travels in between client and relay.
        carrier: Carrier,
        /// How many bytes of it.
        bytes: u32,
        /// From a client, rather than to one.
        from_client: bool,
        /// The allocation of another client of this relay that it goes straight to, and what it travels in on that side.
        crossed_to: Option<(u32, Carrier)>,
    },
    /// What a client sent did not reach a peer, an ICMP message says, and the client is told so.
    IcmpTold {
        /// Of which allocation, if that is known.
        allocation: Option<u32>,
        /// The peer; its port is zero if it is not known.
        peer: SocketAddr,
        /// Why not.
        icmp: Icmp,
    },
    /// The relay takes no new allocations from now on.
    Draining,
}

/// What application data travels in between a client and the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// ChannelData of this channel.
    Channel(u16),
    /// A Send indication to this peer, or a Data indication from it.
    Indication(SocketAddr),
}

/// An allocation at its creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAllocation {
    /// Its number in the session.
    pub number: u32,
    /// The shard it lives in.
    pub shard: u32,
    /// The id that the relay gave it; 0 if that is not known.
    pub id: u64,
    /// Its client.
    pub client: SocketAddr,
    /// The relay's address that the client talks to.
    pub server: SocketAddr,
    /// Its username, empty if that is not known.
    pub username: String,
    /// Its relayed transport addresses.
    pub relayed: Vec<SocketAddr>,
    /// Its lifetime in seconds.
    pub lifetime: u32,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a success response.
    Success,
    /// With a challenge: the first request of every client carries no credentials.
    Challenged,
    /// With an error response, for this reason.
    Rejected(Rejection),
    /// With an error response of this code; the reason is the relay's secret.
    Refused(u16),
}

impl Outcome {
    /// The ERROR-CODE of the answer, if it is an error.
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
