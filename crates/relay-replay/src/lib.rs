//! Shows packet by packet what a TURN relay did and why. It does no I/O, and runs in a browser, a test or a tool.
//!
//! A [`Session`] reads a capture in pieces. If a relay recorded it from its start, together with the secret, or with the state that it
//! had when the recording began (feature `snapshots`), the recorded packets drive the relay's own state machine again, and every
//! deviation of its output is a [`Difference`]. Any other capture is
//! inspected: decoded and correlated, with the relay's state inferred from its responses. Either way each packet has a [`Row`], the
//! relay's state is available at every row as a [`View`], every field of a packet has its bytes and its RFC section
//! ([`dissect_packet`]), and every refusal has an [`Explanation`] in plain words.
//!
//! A [`Diagnosis`] reads a whole capture of any length and says which clients failed, and why.
//!
//! A [`World`] makes such captures: a relay with clients and peers in simulated time. The playground's live mode and its examples
//! use it.
//!
//! ```
//! use relay_replay::{Request, Session, World};
//!
//! let mut world = World::new([7; 32], 1_800_000_000)?;
//! let client = world.add_client("192.0.2.10:50000".parse()?);
//! world.request(client, Request::Allocate(Default::default()))?;
//!
//! let mut session = Session::new();
//! session.push(&world.finish());
//! session.end();
//! assert_eq!(session.rows().len(), 4);
//! assert!(session.differences().is_empty());
//! let view = session.view_at(3);
//! assert_eq!(view.allocations.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod allocation_view;
mod change;
mod classify;
mod diagnosis;
mod difference;
mod dissect;
mod endpoint;
mod examples;
mod explain;
mod filter;
mod headline;
mod inspect;
mod not_replayed;
mod peer_policy;
mod replay;
mod row;
mod session;
mod shard_message;
mod time;
mod timeline;
mod trouble;
mod view;
mod world;

pub use allocation_view::{AllocationView, ChannelView, PermissionView};
pub use change::{Carrier, Change, Outcome};
pub use diagnosis::{
    CaptureReport, ClientReport, Diagnosis, Problem, ProblemKind, Report, Skipped, Status, Summary, Tally,
};
pub use difference::{Difference, DifferenceKind};
pub use dissect::{Field, dissect_packet, dissect_payload};
pub use endpoint::{Endpoint, Role};
pub use examples::{EXAMPLES, Example, RECORDINGS, Recording};
pub use explain::Explanation;
pub use filter::{Filter, FilterError};
pub use not_replayed::NotReplayed;
pub use relay_server::Icmp;
pub use row::{Flags, Kind, Row};
pub use session::{Mode, Session};
pub use shard_message::shard_message;
pub use trouble::Trouble;
pub use turn_client::{Allocate, Family, Request};
pub use view::{Counters, View};
pub use world::{ClientId, World, WorldConfig, WorldError};
