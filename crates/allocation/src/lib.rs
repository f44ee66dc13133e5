//! Allocations, their ports and channel bindings, and when they expire.
#![forbid(unsafe_code)]

mod channel_number;
mod id;
mod socket;
mod timestamp;

pub use channel_number::ChannelNumber;
pub use id::AllocationId;
pub use socket::{AllocationPort, ClientSocket, FiveTuple, PeerSocket};
pub use timestamp::Timestamp;
