//! Allocations, their ports, permissions and channel bindings, and when they expire.
//!
//! [`Allocations`] is the state of a TURN server: which client has which relayed transport address, for how long, and which
//! channel is bound to which peer. It knows neither the wire format nor authentication, does no I/O, and reads no clock:
//! the caller passes the time with each call, and calls [`Allocations::handle_timeout`] when [`Allocations::poll_timeout`]
//! says so. The same seed and the same calls give the same results.
//!
//! ```
//! # use std::{net::SocketAddr, time::Duration};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use allocation::{
//!     Allocations, Bound, ChannelNumber, Credential, Expired, Families, Family, FiveTuple, NewAllocation, PeerSocket, PortRange,
//!     PortRequest, Timestamp,
//! };
//!
//! let mut allocations = Allocations::new(PortRange::DYNAMIC, [0; 32]);
//! let five_tuple = FiveTuple {
//!     client: "203.0.113.5:40000".parse::<SocketAddr>()?.into(),
//!     server: "192.0.2.1".parse()?,
//! };
//!
//! // An Allocate request was authenticated and passed its checks.
//! let now = Timestamp::from_secs(1);
//! let allocation = allocations.allocate(now, NewAllocation {
//!     five_tuple,
//!     credential: Credential::unsigned("alice"),
//!     transaction_id: [1; 12],
//!     lifetime: Duration::from_secs(600),
//!     families: Families::Only(Family::V4),
//!     port: PortRequest::Any,
//! })?;
//! let (id, port) = (allocation.id(), allocation.port());
//!
//! // A ChannelBind request.
//! let peer = PeerSocket::from("198.51.100.9:7000".parse::<SocketAddr>()?);
//! assert_eq!(allocations.bind_channel(now, id, ChannelNumber::MIN, peer)?, Bound::New);
//!
//! // Data, either way.
//! assert_eq!(allocations.channel_peer(&five_tuple, ChannelNumber::MIN)?.1, peer);
//! assert_eq!(allocations.peer_channel(port, peer)?.1, ChannelNumber::MIN);
//!
//! // Ten minutes later: the allocation ends and takes its channels along.
//! let due = allocations.poll_timeout().ok_or("something is due")?;
//! assert_eq!(due, now + Duration::from_secs(600));
//! allocations.handle_timeout(due);
//! while let Some(expired) = allocations.poll_expired() {
//!     assert!(matches!(expired, Expired::Allocation(allocation) if allocation.id() == id));
//! }
//! assert!(allocations.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # How to drive it
//!
//! - Methods that take `now` first end what expires by then, so they never act on something that has expired. Drain
//!   [`Allocations::poll_expired`] after each of them, or at least whenever [`Allocations::poll_timeout`] has passed.
//! - Look-ups ([`Allocations::channel_peer`], [`Allocations::peer_channel`], ...) do not take the time: they find an expired
//!   channel until [`Allocations::handle_timeout`] is called. They allocate no memory, and their cost does not depend on
//!   the number of allocations.
//! - `now` must not go backwards. If it does, the only effect is that things expire late.
//!
//! # Out of scope
//!
//! How many allocations a user may have (count with [`Allocations::count_of_user`]), which lifetimes and peers are acceptable,
//! and opening sockets. If another program holds the drawn port, [`Allocations::retry_port`] draws another.
#![forbid(unsafe_code)]

mod allocation;
mod allocations;
mod channel;
mod channel_number;
mod channels;
mod clients;
mod error;
mod expired;
mod family;
mod id;
mod keyed_hash;
mod left_port;
mod limits;
mod owner;
mod permission;
mod permissions;
mod port_pool;
mod port_range;
mod request;
mod reservation_token;
mod reservations;
mod shortcut;
mod slot_table;
mod slots;
mod socket;
#[cfg(test)]
mod testing;
mod timers;
mod timestamp;
mod to_client;
mod traffic;
mod users;

pub use allocation::Allocation;
pub use allocations::{Allocations, AllocationsSnapshot, Bound, Permitted, SnapshotError};
pub use channel::{CHANNEL_BINDING_LIFETIME, CHANNEL_REUSE_DELAY, Channel};
pub use channel_number::{ChannelNumber, ChannelNumberError};
pub use error::{
    AllocateError, BindError, ChannelPeerError, PeerChannelError, PermissionError, PermitError, RetryPortError,
    UnknownAllocation,
};
pub use expired::{Expired, RemovedFamily};
pub use family::{Families, Family};
pub use id::AllocationId;
pub use keyed_hash::KeyedHash;
pub use left_port::LeftPort;
pub use limits::{DEFAULT_CHANNEL_LIMIT, DEFAULT_PERMISSION_LIMIT, Limits, MAX_PORTS_TRIED, PORT_QUARANTINE};
pub use owner::{Credential, Owner};
pub use permission::{PERMISSION_LIFETIME, Permission};
pub use port_range::{PortRange, PortRangeError};
pub use request::{NewAllocation, PortNeed, PortRequest};
pub use reservation_token::ReservationToken;
pub use reservations::{MAX_RESERVATIONS_PER_USER, RESERVATION_LIFETIME, ReservedPort};
pub use socket::{AllocationPort, ClientSocket, FiveTuple, PeerSocket};
pub use timestamp::Timestamp;
pub use to_client::ToClient;
pub use traffic::{Relayed, Traffic};
