use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use stun_msg::Icmp;
use turn_auth::UnixTime;

use crate::{
    AllocationId, AllocationPort, ChannelNumber, Crossing, DropReason, Families, Family, FiveTuple, PeerForbidden,
    PeerSocket, Rejection, Relayed, ReplyKind, Timestamp, Traffic,
};

/// What happened: telemetry for metrics, logs, tests and pictures. A caller may ignore it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An allocation is open; its success response follows.
    AllocationCreated {
        /// Its id.
        id: AllocationId,
        /// The 5-tuple of its client.
        five_tuple: FiveTuple,
        /// The username of its Allocate request.
        username: Arc<str>,
        /// The user that it is counted for. It stays the same when a credential is renewed.
        user_id: Arc<str>,
        /// The port of its relayed transport addresses.
        port: AllocationPort,
        /// The families of its relayed transport addresses.
        families: Families,
        /// How long it lives unless it is refreshed.
        lifetime: Duration,
    },
    /// The lifetime of an allocation starts again.
    AllocationRefreshed {
        /// The allocation's id.
        id: AllocationId,
        /// The refreshed family; `None` for all that the allocation has.
        family: Option<Family>,
        /// How long it lives from now on.
        lifetime: Duration,
    },
    /// One family of an allocation has ended, with its channels and permissions. The other family lives on.
    FamilyRemoved {
        /// The allocation's id.
        id: AllocationId,
        /// The family that has ended.
        family: Family,
        /// Why.
        reason: RemovalReason,
    },
    /// An allocation has ended, with all its channels and permissions.
    AllocationRemoved {
        /// Its id.
        id: AllocationId,
        /// The 5-tuple of its client.
        five_tuple: FiveTuple,
        /// The username of its Allocate request.
        username: Arc<str>,
        /// The user that it was counted for. It stays the same when a credential is renewed.
        user_id: Arc<str>,
        /// The port it had.
        port: AllocationPort,
        /// Its totals. In a box because an enum is as large as its largest variant.
        account: Box<Account>,
        /// Why.
        reason: RemovalReason,
    },
    /// A permission was installed or refreshed. Peers at its address and the client may now send to each other.
    PermissionInstalled {
        /// The allocation's id.
        id: AllocationId,
        /// The address of the peers.
        address: IpAddr,
        /// Whether the permission existed and was refreshed.
        renewal: bool,
    },
    /// A permission ended: it expired, or the peer policy no longer allows its peers.
    PermissionExpired {
        /// The allocation's id.
        id: AllocationId,
        /// The address of the peers.
        address: IpAddr,
    },
    /// A Send indication of a client that has an allocation was dropped because
    /// [`Config::indications`](crate::Config::indications) is off.
    IndicationsAreOff {
        /// The allocation's id.
        id: AllocationId,
    },
    /// A channel was bound or refreshed.
    ChannelBound {
        /// The allocation's id.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
        /// Whether it was bound before, and is refreshed or bound again.
        renewal: bool,
    },
    /// A channel's binding expired. Nothing is relayed, but number and peer stay reserved for each other. If its peer was
    /// [revoked](Self::PeerRevoked), [`Self::ChannelReleased`] follows at once.
    ChannelExpired {
        /// The allocation's id.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// An expired channel's number and peer can be bound again.
    ChannelReleased {
        /// The allocation's id.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// This shard now sends data straight to a channel of another shard's client. The other shard does not see that data, so it is
    /// counted here.
    CrossingOpened {
        /// The channel.
        crossing: Crossing,
    },
    /// This shard no longer sends data straight to a channel of another shard's client.
    CrossingClosed {
        /// The channel.
        crossing: Crossing,
        /// The data sent there since it was opened: from peers to the client of [`Crossing::five_tuple`].
        crossed: Traffic,
    },
    /// A client was sent an ICMP error, in a Data indication.
    IcmpTold {
        /// The port of its allocation.
        port: AllocationPort,
        /// The peer that the client's data did not reach.
        peer: PeerSocket,
        /// The error.
        icmp: Icmp,
    },
    /// A request for a permission or a channel was refused because of its peer.
    PeerRefused {
        /// The client's 5-tuple.
        five_tuple: FiveTuple,
        /// The peer. In a request for a permission, the port means nothing.
        peer: SocketAddr,
        /// Why not.
        reason: PeerForbidden,
    },
    /// A permission or a channel ends because the peer policy no longer allows its peer.
    PeerRevoked {
        /// The allocation's id.
        id: AllocationId,
        /// The address of the peer.
        address: IpAddr,
        /// Why.
        reason: PeerForbidden,
    },
    /// The wall clock was set, which changes how long credentials are valid. Allocations do not depend on it.
    WallClockJumped {
        /// The time expected.
        from: UnixTime,
        /// The new time.
        to: UnixTime,
    },
    /// A response was sent to a request.
    Responded {
        /// The client's 5-tuple.
        five_tuple: FiveTuple,
        /// The STUN method, such as `0x003` for Allocate.
        method: u16,
        /// Success, or why the request was refused.
        outcome: Result<(), Rejection>,
    },
    /// A request was not answered because of [`Config::reply_limit`](crate::Config::reply_limit).
    ReplyWithheld {
        /// The sender, which has shown no credentials.
        to: SocketAddr,
        /// The reply that was not sent.
        kind: ReplyKind,
    },
    /// A datagram was dropped without an answer.
    Dropped {
        /// The source of the datagram; for an ICMP error, the peer.
        from: SocketAddr,
        /// Why.
        reason: DropReason,
    },
}

/// The totals of an allocation at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// When it was created.
    pub created_at: Timestamp,
    /// The data that it relayed, without two parts: what a faster data path forwarded ([`Flow`](crate::Flow)), and what other shards
    /// sent straight to its client (counted in their [`Event::CrossingClosed`]).
    pub relayed: Relayed,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemovalReason {
    /// Its lifetime passed.
    Expired,
    /// Its client sent a Refresh with a lifetime of zero.
    Deleted,
    /// Its user made a new allocation from another 5-tuple.
    Replaced,
    /// Its relay socket failed.
    RelayFailed,
}
