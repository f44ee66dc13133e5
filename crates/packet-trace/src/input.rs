use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{AcceptedCredentials, PeerPolicy};

/// Something other than a datagram that a state machine was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Input {
    /// Whether a user, or a network, may have an allocation, as far as the limit for all shards goes. Earlier versions did not ask.
    QuotaClaimed {
        /// The allocation's id, as the state machine numbers them.
        id: u64,
        /// Which user; empty if it is a network.
        username: String,
        /// Which network of clients, such as `203.0.113.0/24`, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<String>,
        /// Whether it counts now.
        is_granted: bool,
    },
    /// A relay socket was opened, or not.
    RelayOpened {
        /// The allocation's id, as the state machine numbers them.
        id: u64,
        /// Of which family.
        family: IpFamily,
        /// With what success.
        result: RelayOpened,
    },
    /// An open relay socket failed.
    RelayFailed {
        /// The allocation's id.
        id: u64,
    },
    /// What was sent to a peer did not arrive, and an ICMP message said why.
    Icmp {
        /// The port of the relayed transport address that it was sent from.
        port: u16,
        /// Where it was sent to; the port is zero if it is not known.
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
        /// Which; `None` where secrets are not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<AcceptedCredentials>,
    },
    /// A username has allocated on another shard.
    UsernameMoved {
        /// Which.
        username: String,
        /// When, by the relay's monotonic clock, in nanoseconds; what it allocated here later stays.
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
    /// The last response to this address was not sent after all, since too many strangers asked; no input of the state
    /// machine's, but what a replay must know.
    ResponseWithheld {
        /// Who would have received it.
        to: SocketAddr,
    },
    /// Another shard reserved a port.
    PortReserved {
        /// What names the reservation, as 16 hexadecimal digits.
        token: String,
        /// The port.
        port: u16,
        /// Whether it is reserved in IPv4.
        v4: bool,
        /// Whether it is reserved in IPv6.
        v6: bool,
        /// Who may ask for it.
        username: String,
        /// Until when, by the relay's monotonic clock, in nanoseconds.
        expires_nanos: u64,
    },
    /// The port of a reservation was allocated on another shard.
    ReservationTaken {
        /// What named the reservation, as 16 hexadecimal digits.
        token: String,
    },
    /// A port of this shard has no use on another any more.
    PortReturned {
        /// The port.
        port: u16,
    },
    /// The same of a port that another program turned out to hold.
    PortHeld {
        /// The port.
        port: u16,
    },
    /// Another shard asked for a port, having none left.
    PortWanted {
        /// The number of that shard.
        by: u32,
        /// What it calls the request that waits for it.
        number: u64,
        /// Which port it needs.
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
        /// Which port was needed.
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
    /// It is not any more.
    CrossingClosed(Crossing),
    /// The relay's addresses are these from now on.
    OwnAddresses {
        /// Every address that packets to the relay carry as their destination.
        own: Vec<IpAddr>,
        /// How the public IPv4 address is.
        v4: AddressStatus,
        /// How the public IPv6 address is.
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
    /// The state machine was told that its time-out had come.
    Timeout,
}

/// A channel that is bound to a relayed transport address of the relay itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Of the two relayed transport addresses.
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

/// Which port a request for an allocation needs.
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

/// How the opening of a relay socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayOpened {
    /// It is open.
    Ok,
    /// The port is taken.
    PortInUse,
    /// It was not, since the client is an allocation of the relay itself.
    OwnClient,
    /// It could not be opened.
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

/// An [`Input`], to whom and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The shard that was told.
    pub shard: u32,
    /// Nanoseconds since the Unix epoch, on the same scale as the packets' time.
    pub unix_nanos: u64,
    /// What it was told.
    #[serde(flatten)]
    pub input: Input,
}
