//! The state machine of a STUN/TURN relay: datagrams and time in, typed outputs out, no I/O.
#![forbid(unsafe_code)]

mod config;
mod drop_reason;
mod event;
mod flow;
mod forward;
mod output;
mod rejection;
mod server;

pub use allocation::{
    AllocationId, AllocationPort, ChannelNumber, ClientSocket, FiveTuple, PeerSocket, PortRange, PortRangeError,
    Timestamp,
};
pub use config::{Config, RelayAddresses, UsernameLimit};
pub use drop_reason::DropReason;
pub use event::{Event, RemovalReason};
pub use flow::{Flow, FlowKey};
pub use forward::{Forward, Via};
pub use output::{Family, Output, RelayOpenError};
pub use rejection::Rejection;
pub use server::Server;
