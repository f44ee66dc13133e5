//! Allocations, their ports and channel bindings, and when they expire.
#![forbid(unsafe_code)]

mod allocation;
mod allocations;
mod channel;
mod channel_number;
mod channels;
mod error;
mod expired;
mod id;
mod keyed_hash;
mod port_pool;
mod port_range;
mod request;
mod reservation_token;
mod slots;
mod socket;
mod timers;
mod timestamp;
mod users;

pub use allocation::Allocation;
pub use allocations::{
    Allocations, Bound, DEFAULT_CHANNEL_LIMIT, MAX_PORTS_TRIED, PORT_QUARANTINE, RESERVATION_LIFETIME,
};
pub use channel::{CHANNEL_BINDING_LIFETIME, CHANNEL_REUSE_DELAY, Channel};
pub use channel_number::ChannelNumber;
pub use error::{AllocateError, BindError, ChannelPeerError, PeerChannelError, RetryPortError, UnknownAllocation};
pub use expired::Expired;
pub use id::AllocationId;
pub use port_range::{PortRange, PortRangeError};
pub use request::{NewAllocation, PortRequest};
pub use reservation_token::ReservationToken;
pub use socket::{AllocationPort, ClientSocket, FiveTuple, PeerSocket};
pub use timestamp::Timestamp;
