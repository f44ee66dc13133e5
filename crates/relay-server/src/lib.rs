//! The state machine of a STUN/TURN relay: datagrams and time in, typed outputs out, no I/O.
#![forbid(unsafe_code)]

mod config;
mod drop_reason;
mod event;
mod family;
mod flow;
mod flows;
mod forward;
mod lifetime;
mod opening;
mod output;
mod peer_policy;
mod rejection;
mod relay_path;
mod removal;
mod request;
mod server;
mod wall_clock;

pub use allocation::{
    Allocation, AllocationId, AllocationPort, Channel, ChannelNumber, ClientSocket, FiveTuple, PeerSocket, PortRange,
    PortRangeError, Timestamp,
};
pub use config::{Config, RelayAddresses, UsernameLimit};
pub use drop_reason::DropReason;
pub use event::{Event, RemovalReason};
pub use family::Family;
pub use flow::{Flow, FlowKey};
pub use forward::{Forward, Via};
pub use lifetime::{DEFAULT_LIFETIME, MAX_LIFETIME};
pub use output::{Output, RelayOpenError};
pub use peer_policy::PeerForbidden;
pub use rejection::Rejection;
pub use server::Server;
pub use stun_msg::{AttributeType, ErrorCode, Method};
pub use turn_auth::{AuthError, AuthSecret, RealmError, SecretError, UnixTime};
