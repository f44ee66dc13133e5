//! The state machine of a STUN/TURN relay ([RFC 8489](https://www.rfc-editor.org/rfc/rfc8489),
//! [RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)): datagrams and time in, typed outputs out, no I/O.
//!
//! ```
//! use relay_server::{
//!     AuthSecret, ClientSocket, Config, FiveTuple, Output, RelayAddresses, Server, Timestamp, UnixTime,
//! };
//!
//! let address = "192.0.2.1".parse()?;
//! let relay_addresses = RelayAddresses { v4: Some(address), v6: None };
//! let config = Config::of_relay_at(relay_addresses);
//! let (now, unix_time) = (Timestamp::ZERO, UnixTime(1_800_000_000));
//! let mut server = Server::new(config, AuthSecret::from_random([1; 32]), [2; 32], now, unix_time)?;
//!
//! // A Binding request arrives ...
//! let client = ClientSocket::new("198.51.100.7:50000".parse()?);
//! let request = [0x00, 0x01, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
//! let forward = server.handle_client_datagram(now, FiveTuple { client, server: address.into() }, &request);
//! assert_eq!(forward, None, "only ChannelData and Send indications are relayed");
//!
//! // ... and is answered.
//! assert!(matches!(server.poll_output(), Some(Output::Transmit { to, .. }) if to == client));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to drive it
//!
//! - Inputs are the `handle_*` methods. Time must never go backwards from one call to the next. Wall-clock time, by which credentials
//!   expire, is a separate input ([`Server::handle_wall_clock`]).
//! - [`Server::handle_client_datagram`] and [`Server::handle_peer_datagram`] return the data to relay, as a range of the datagram.
//! - After every input, call [`Server::poll_output`] until it returns `None`. The order is part of the contract: `OpenRelay`
//!   comes before the client's success response, and the response only after [`Server::handle_relay_opened`]. After an input that
//!   returned a [`Forward`], outputs may wait until all datagrams received with it are handled: then only time-outs and flows
//!   add outputs.
//! - A relay may consist of several servers, its shards. Pass each [`Output::TellShards`] to [`Server::handle_shard_message`] of all
//!   other shards, and each [`Output::TellShard`] to that of one. Limits, ports, and data between clients of two shards depend on it.
//! - Then sleep until [`Server::poll_timeout`] at the latest, and call [`Server::handle_timeout`].
//!
//! A run is a function of configuration, seed and inputs. [`Event`]s are telemetry, for metrics, logs, tests and pictures. A caller
//! may ignore them.
//!
//! # What it assumes, and what is out of scope
//!
//! The transport is UDP. Data is relayed through channels and, if the configuration says so, in Send and Data indications. Sockets,
//! and the distribution of clients over several servers, are the caller's task.
#![forbid(unsafe_code)]

mod bandwidth;
mod borrowings;
mod config;
mod crossing;
mod crossings;
mod drop_reason;
mod event;
mod family;
mod flow;
mod forward;
mod icmp_limit;
mod indicated_peers;
mod lifetime;
mod output;
mod own_addresses;
mod peer_policy;
mod pending_allocation;
mod quota_holder;
mod rejection;
mod relay_addresses;
mod remote_quota;
mod reply_limit;
mod requester;
mod server;
mod shard_message;
mod snapshot;
mod transaction_ids;
mod wall_clock;

pub use allocation::{
    Allocation, AllocationId, AllocationPort, Channel, ChannelNumber, ClientSocket, Families, Family, FiveTuple,
    Limits, PERMISSION_LIFETIME, PeerSocket, Permission, PortNeed, PortRange, PortRangeError, Relayed,
    ReservationToken, ReservedPort, Timestamp, Traffic,
};
pub use bandwidth::{Bandwidth, Rate};
pub use config::{Config, DEFAULT_NONCE_LIFETIME, DefaultFamily, QuotaBy, UsernameLimit};
pub use crossing::Crossing;
pub use drop_reason::DropReason;
pub use event::{Account, Event, RemovalReason};
pub use flow::{Arriving, Flow, FlowKey, Leaving};
pub use forward::{Encapsulation, Forward, Header, TooEarly, Via};
pub use icmp_limit::MAX_ICMP_PER_SECOND;
pub use indicated_peers::INDICATED_PEERS_PER_ALLOCATION;
pub use lifetime::{DEFAULT_LIFETIME, MAX_LIFETIME};
pub use output::{Output, RelayOpenError};
pub use own_addresses::{AddressStatus, AddressStatuses, OwnAddresses};
pub use peer_policy::{
    PeerAction, PeerForbidden, PeerPolicy, PeerPorts, PeerRange, PeerRangeError, PeerRule, PeerRuleError, PeerVerdict,
    PortSpan, RelayPlace, SpecialUse,
};
pub use quota_holder::{ClientPrefix, QuotaHolder};
pub use rejection::Rejection;
pub use relay_addresses::RelayAddresses;
pub use reply_limit::{REPLY_BURST_SECONDS, ReplyKind};
pub use server::Server;
pub use shard_message::{ShardId, ShardMessage};
pub use snapshot::{RestoreError, Snapshot, SnapshotError};
pub use stun_msg::{AttributeType, DataHeader, ErrorCode, Icmp, Method, PasswordAlgorithm, TransactionId};
pub use turn_auth::{
    AcceptedCredentials, AuthError, AuthSecret, NonceIssuer, RealmError, Scheme, Schemes, SecretError, UnixTime,
    UserKeys,
};
