use std::net::{IpAddr, SocketAddr};

use crate::{
    AllocationId, AllocationPort, ClientSocket, Event, Family, Flow, FlowKey, QuotaHolder, ShardId, ShardMessage,
};

/// What the caller must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send `bytes` from the listening port at address `from`.
    Transmit {
        /// The local address to send from: the server's address in the client's 5-tuple.
        from: IpAddr,
        /// The client.
        to: ClientSocket,
        /// A STUN message.
        bytes: Vec<u8>,
    },
    /// Open a socket for a relayed transport address and report the result with
    /// [`Server::handle_relay_opened`](crate::Server::handle_relay_opened). One output per family.
    OpenRelay {
        /// The allocation.
        id: AllocationId,
        /// The port to bind.
        port: AllocationPort,
        /// The family to bind it in.
        family: Family,
        /// The client's address, if it is an address of this machine and a port in the range of relayed transport addresses. If an
        /// allocation has that port, the relay would be its own client: report [`RelayOpenError::OwnClient`].
        own_client: Option<SocketAddr>,
    },
    /// Close the socket of a relayed transport address, if it is open. One output per family. If it is still being opened, stop;
    /// the result need not be reported.
    CloseRelay {
        /// The allocation.
        id: AllocationId,
        /// Its port.
        port: AllocationPort,
        /// The family to close it in.
        family: Family,
    },
    /// A faster data path may forward this flow from now on. Comes before the response that lets the client use the channel.
    InstallFlow(Box<Flow>),
    /// A faster data path must not forward this flow any more. If the client asked for the end, comes before the response.
    RemoveFlow(FlowKey),
    /// Pass this message to all other shards ([`Server::handle_shard_message`](crate::Server::handle_shard_message)). Comes
    /// before the response to the client.
    TellShards(ShardMessage),
    /// Count one more allocation for `holder`, unless it has `limit` allocations on all shards together, and report the result
    /// with [`Server::handle_quota_claimed`](crate::Server::handle_quota_claimed). All shards must share one counter, so that two
    /// claims at the same moment do not both get the last place. A [`QuotaHolder::User`] comes only if there are several shards.
    ClaimQuota {
        /// The allocation. Its client has no response yet.
        id: AllocationId,
        /// The user or network to count it for.
        holder: QuotaHolder,
        /// The most allocations that the holder may have.
        limit: u32,
    },
    /// Count one allocation less for `holder`.
    ReleaseQuota {
        /// The user or network.
        holder: QuotaHolder,
    },
    /// Pass this message to one other shard ([`Server::handle_shard_message`](crate::Server::handle_shard_message)).
    TellShard {
        /// The receiver.
        to: ShardId,
        /// The message.
        message: ShardMessage,
    },
    /// Something happened.
    Event(Event),
}

/// Why a relay socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RelayOpenError {
    /// Another program holds the port; the server tries another one.
    #[error("the port is taken by another program")]
    PortInUse,
    /// The client is an allocation of this relay.
    #[error("the client is an allocation of this relay")]
    OwnClient,
    /// Anything else, such as too many open files.
    #[error("the socket could not be opened")]
    Failed,
}
