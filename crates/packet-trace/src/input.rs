use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{AcceptedCredentials, PeerPolicy};

/// An input of a state machine other than a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Input {
    /// Whether the limit for all shards permits a user, or a network, another allocation. Earlier versions did not have this input.
    QuotaClaimed {
        /// The allocation's id, as the state machine numbers them.
        id: u64,
        /// The user; empty if this is about a network.
        username: String,
        /// The network of clients, such as `203.0.113.0/24`, if this is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// Whether the allocation is permitted, and is counted from now on.
        is_granted: bool,
    },
    /// The result of opening a relay socket.
    RelayOpened {
        /// The allocation's id, as the state machine numbers them.
        id: u64,
        /// The family of the socket.
        family: IpFamily,
        /// The result.
        result: RelayOpened,
    },
    /// An open relay socket failed.
    RelayFailed {
        /// The allocation's id.
        id: u64,
    },
    /// An ICMP error for a datagram to a peer.
    Icmp {
        /// The port of the relayed transport address that it was sent from.
        port: u16,
        /// The peer; the port is zero if it is not known.
        peer: SocketAddr,
        /// The type of the ICMP message.
        icmp_type: u8,
        /// Its code.
        code: u8,
        /// The MTU, if it says one.
        error_data: u32,
    },
    /// Other credentials are accepted from now on.
    CredentialsAccepted {
        /// The credentials; `None` if secrets are not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<AcceptedCredentials>,
    },
    /// A username has made an allocation on another shard.
    UsernameMoved {
        /// Which.
        username: String,
        /// When, by the relay's monotonic clock, in nanoseconds. An allocation that the username made here later stays.
        created_at: u64,
    },
    /// A username has one more allocation on other shards.
    AllocatedElsewhere {
        /// Which.
        username: String,
    },
    /// A username has one allocation less on other shards.
    EndedElsewhere {
        /// Which.
        username: String,
    },
    /// The last response to this address was not sent, because of the limit on replies to unauthenticated clients. Not an input of the
    /// state machine, but a replay needs it.
    ResponseWithheld {
        /// The address that the response was for.
        to: SocketAddr,
    },
    /// Another shard reserved a port.
    PortReserved {
        /// The RESERVATION-TOKEN, as 16 hexadecimal digits.
        token: String,
        /// The port.
        port: u16,
        /// Whether it is reserved in IPv4.
        v4: bool,
        /// Whether it is reserved in IPv6.
        v6: bool,
        /// The user that it is reserved for.
        username: String,
        /// When the reservation expires, by the relay's monotonic clock, in nanoseconds.
        expires_nanos: u64,
    },
    /// The port of a reservation was allocated on another shard.
    ReservationTaken {
        /// The RESERVATION-TOKEN that was used, as 16 hexadecimal digits.
        token: String,
    },
    /// Another shard has returned a port of this shard.
    PortReturned {
        /// The port.
        port: u16,
    },
    /// Another shard has returned a port of this shard because another program holds it.
    PortHeld {
        /// The port.
        port: u16,
    },
    /// Another shard has no port left and asked for one.
    PortWanted {
        /// The number of that shard.
        by: u32,
        /// The other shard's number for the request that waits for the port.
        number: u64,
        /// What kind of port it needs.
        need: PortNeed,
    },
    /// Another shard lent a port.
    PortLent {
        /// The number of that shard.
        from: u32,
        /// The request that waits for it.
        number: u64,
        /// The port.
        port: u16,
        /// What kind of port was needed.
        need: PortNeed,
    },
    /// Another shard has no port to lend.
    NoPort {
        /// The number of that shard.
        from: u32,
        /// The request that waits for one.
        number: u64,
    },
    /// A channel on another shard is bound to a relayed transport address of the relay itself.
    CrossingOpened(Crossing),
    /// A channel of [`Self::CrossingOpened`] is no longer bound.
    CrossingClosed(Crossing),
    /// The relay's addresses have changed.
    OwnAddresses {
        /// Every address that packets to the relay carry as their destination.
        own: Vec<IpAddr>,
        /// The status of the public IPv4 address.
        v4: AddressStatus,
        /// The status of the public IPv6 address.
        v6: AddressStatus,
    },
    /// These peers may be relayed to from now on.
    PeerPolicy(PeerPolicy),
    /// New allocations are refused from now on.
    Drain,
    /// The wall clock was read.
    WallClock {
        /// Seconds since the Unix epoch.
        unix_seconds: u64,
    },
    /// The state machine's time-out has come.
    Timeout,
}

/// A channel that is bound to a relayed transport address of the relay itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// The family of the two relayed transport addresses.
    pub family: IpFamily,
    /// The port that the channel is bound to.
    pub from: u16,
    /// The port of the allocation that has the channel.
    pub to: u16,
    /// The client of that allocation.
    pub client: SocketAddr,
    /// The relay's address that this client sends to.
    pub server: IpAddr,
    /// The channel's number.
    pub channel: u16,
}

/// Whether the relay can send from a public address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressStatus {
    /// It can.
    Present,
    /// The address is not there now.
    Missing,
    /// The machine has no address of that family.
    NoFamily,
}

/// What kind of port a request for an allocation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortNeed {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one and the next one.
    Pair,
}

/// The result of opening a relay socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayOpened {
    /// It is open.
    Ok,
    /// The port is taken.
    PortInUse,
    /// It was not opened, since the client is an allocation of the relay itself.
    OwnClient,
    /// It could not be opened for another reason.
    Failed,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An [`Input`] with its shard and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The shard whose state machine got it.
    pub shard: u32,
    /// Nanoseconds since the Unix epoch, on the same scale as the packets' time.
    pub unix_nanos: u64,
    /// The input.
    #[serde(flatten)]
    pub input: Input,
}
