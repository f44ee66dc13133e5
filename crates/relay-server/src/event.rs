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

/// What happened, for metrics, logs, tests and pictures. Nothing depends on anybody's looking at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An allocation is open and its client has been told.
    AllocationCreated {
        /// Which.
        id: AllocationId,
        /// Whose.
        five_tuple: FiveTuple,
        /// The username that it was authenticated with.
        username: Arc<str>,
        /// Whom it is counted for: what stays of the username when its credential is renewed.
        user_id: Arc<str>,
        /// The port of its relayed transport addresses.
        port: AllocationPort,
        /// The families of its relayed transport addresses.
        families: Families,
        /// For how long.
        lifetime: Duration,
    },
    /// An allocation's lifetime starts anew.
    AllocationRefreshed {
        /// Which.
        id: AllocationId,
        /// In which family, or in all that it has.
        family: Option<Family>,
        /// For how long from now.
        lifetime: Duration,
    },
    /// One family of an allocation is gone, and with it its channels to and permissions for peers of that family; it lives on in the other.
    FamilyRemoved {
        /// Of which allocation.
        id: AllocationId,
        /// Which family.
        family: Family,
        /// Why.
        reason: RemovalReason,
    },
    /// An allocation is gone, and all its channels and permissions with it.
    AllocationRemoved {
        /// Which.
        id: AllocationId,
        /// Whose.
        five_tuple: FiveTuple,
        /// The username that it was authenticated with.
        username: Arc<str>,
        /// Whom it is counted for: what stays of the username when its credential is renewed.
        user_id: Arc<str>,
        /// The port it had.
        port: AllocationPort,
        /// What it comes to. In a box, since all events take as much room as the largest.
        account: Box<Account>,
        /// Why.
        reason: RemovalReason,
    },
    /// An allocation has a permission: peers at this address may send to its client, and its client to them.
    PermissionInstalled {
        /// Of which allocation.
        id: AllocationId,
        /// The address of the peers.
        address: IpAddr,
        /// Whether it had been there before and was refreshed.
        renewal: bool,
    },
    /// A permission ended: its time was up, or its peers are not allowed any more.
    PermissionExpired {
        /// Of which allocation.
        id: AllocationId,
        /// The address of the peers.
        address: IpAddr,
    },
    /// The client of an allocation relies on Send indications, and the configuration turns them off
    /// ([`Config::indications`](crate::Config::indications)): said of every one that is dropped.
    IndicationsAreOff {
        /// Which allocation.
        id: AllocationId,
    },
    /// A channel relays from now on.
    ChannelBound {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
        /// Whether it had relayed before and was refreshed or bound again.
        renewal: bool,
    },
    /// A channel's binding lapsed: nothing is relayed, but number and peer stay reserved for each other. Where it was
    /// [revoked](Self::PeerRevoked), [`Self::ChannelReleased`] follows at once.
    ChannelExpired {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// A lapsed channel's number and peer are free again.
    ChannelReleased {
        /// Of which allocation.
        id: AllocationId,
        /// Its number.
        channel: ChannelNumber,
        /// Its peer.
        peer: PeerSocket,
    },
    /// Clients of this shard can send straight to a client of another one: that shard does not see what goes this way, so it is
    /// counted here.
    CrossingOpened {
        /// Which way.
        crossing: Crossing,
    },
    /// They cannot any more.
    CrossingClosed {
        /// Which way.
        crossing: Crossing,
        /// What went there since it was opened: from peers to the client of [`Crossing::five_tuple`].
        crossed: Traffic,
    },
    /// A client was told of an ICMP error.
    IcmpTold {
        /// The port of its allocation.
        port: AllocationPort,
        /// Which peer something did not reach.
        peer: PeerSocket,
        /// Why not.
        icmp: Icmp,
    },
    /// A client asked for a permission or a channel, and may not have it.
    PeerRefused {
        /// Who asked.
        five_tuple: FiveTuple,
        /// For which peer; in a request for a permission its port means nothing.
        peer: SocketAddr,
        /// Why not.
        reason: PeerForbidden,
    },
    /// A permission or a channel that there was ends, since its peer is not allowed any more.
    PeerRevoked {
        /// Of which allocation.
        id: AllocationId,
        /// The address of the peer.
        address: IpAddr,
        /// Why.
        reason: PeerForbidden,
    },
    /// The wall clock was set, so that credentials have other times left. Allocations do not depend on it.
    WallClockJumped {
        /// What it would have said.
        from: UnixTime,
        /// What it says.
        to: UnixTime,
    },
    /// A request was answered.
    Responded {
        /// Who asked.
        five_tuple: FiveTuple,
        /// The STUN method, such as `0x003` for Allocate.
        method: u16,
        /// Success, or why not.
        outcome: Result<(), Rejection>,
    },
    /// A request is not answered because others from the same address or prefix took what [`Config::reply_limit`](crate::Config::reply_limit) allows.
    ReplyWithheld {
        /// The sender, which has shown no credentials.
        to: SocketAddr,
        /// What it would have been sent.
        kind: ReplyKind,
    },
    /// A datagram was dropped without an answer.
    Dropped {
        /// Who sent it.
        from: SocketAddr,
        /// Why.
        reason: DropReason,
    },
}

/// What an allocation comes to at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// When it was made.
    pub created_at: Timestamp,
    /// What it relayed, all but two things: what a faster data path forwarded by itself ([`Flow`](crate::Flow)), and what clients of
    /// other shards sent straight to its client ([`Event::CrossingClosed`] of those).
    pub relayed: Relayed,
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemovalReason {
    /// Its lifetime passed.
    Expired,
    /// Its client asked for a lifetime of zero.
    Deleted,
    /// Its username allocated again from elsewhere.
    Replaced,
    /// The relay socket could not be opened, or failed.
    RelayFailed,
}
