use std::net::{IpAddr, SocketAddr};

use crate::{
    AllocationId, AllocationPort, ClientSocket, Event, Family, Flow, FlowKey, QuotaHolder, ShardId, ShardMessage,
};

/// What the server wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send `bytes` from the listening port at address `from`.
    Transmit {
        /// The local address to send from: the one that the request arrived at.
        from: IpAddr,
        /// The client.
        to: ClientSocket,
        /// A STUN message.
        bytes: Vec<u8>,
    },
    /// Open a socket for a relayed transport address and answer with
    /// [`Server::handle_relay_opened`](crate::Server::handle_relay_opened), once per family.
    OpenRelay {
        /// For which allocation.
        id: AllocationId,
        /// The port to bind.
        port: AllocationPort,
        /// The family to bind it in.
        family: Family,
        /// The client's address, if it is one of this machine and a port that allocations have: if an allocation has it, the relay is
        /// its own client, and the answer is [`RelayOpenError::OwnClient`].
        own_client: Option<SocketAddr>,
    },
    /// Close the socket of a relayed transport address, if it is open; once per family. One that is still being opened is not
    /// wanted any more, and how that went need not be told.
    CloseRelay {
        /// Of which allocation.
        id: AllocationId,
        /// Its port.
        port: AllocationPort,
        /// The family to close it in.
        family: Family,
    },
    /// A faster data path may forward this flow from now on. It comes before the response that lets the client use its channel.
    InstallFlow(Box<Flow>),
    /// It must not any more. It comes before the response that confirms an end that the client asked for.
    RemoveFlow(FlowKey),
    /// Tell all other shards of the relay ([`Server::handle_shard_message`](crate::Server::handle_shard_message)). It comes before the
    /// response that lets the client know.
    TellShards(ShardMessage),
    /// Count one more allocation of a holder whose limit holds for all shards, unless they have as many together: answer with
    /// [`Server::handle_quota_claimed`](crate::Server::handle_quota_claimed). Whoever counts must do so for all shards in one place,
    /// so that two that ask at the same moment do not both get the last one. For users only where there are several shards.
    ClaimQuota {
        /// Which allocation it is for; nobody has been told of it.
        id: AllocationId,
        /// Who.
        holder: QuotaHolder,
        /// How many there may be.
        limit: u32,
    },
    /// Count one less.
    ReleaseQuota {
        /// Who.
        holder: QuotaHolder,
    },
    /// Tell one of the other shards, in the same way.
    TellShard {
        /// Which one.
        to: ShardId,
        /// What.
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
