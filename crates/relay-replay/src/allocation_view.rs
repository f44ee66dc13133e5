//! An allocation at one time, with its channels and permissions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

/// An allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllocationView {
    /// The relay's id for it, in decimal; 0 if that is not known.
    pub id: String,
    /// The shard that has it.
    pub shard: u32,
    /// The client's address.
    pub client: SocketAddr,
    /// The relay's address that the client sends to.
    #[serde(skip)]
    pub server: SocketAddr,
    /// The username; empty if it is not known.
    pub username: String,
    /// The relayed transport addresses: one, or one of each family.
    pub relayed: Vec<RelayedView>,
    /// The channels by number, bound and lapsed.
    pub channels: BTreeMap<u16, ChannelView>,
    /// The permissions by the peers' IP address.
    pub permissions: BTreeMap<IpAddr, PermissionView>,
    /// Bytes of application data from the client.
    pub bytes_up: u64,
    /// Bytes of application data to the client.
    pub bytes_down: u64,
}

/// A relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RelayedView {
    /// The transport address.
    pub address: SocketAddr,
    /// The lifetime last granted, in seconds.
    pub lifetime: u32,
    /// When it expires, in nanoseconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub expires_at: u64,
}

impl AllocationView {
    /// When the last of its relayed transport addresses expires, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.relayed.iter().map(|relayed| relayed.expires_at).max().unwrap_or(0)
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelView {
    /// The peer.
    pub peer: SocketAddr,
    /// Whether it is bound; otherwise it has lapsed.
    pub bound: bool,
    /// When the binding expires or has expired, in nanoseconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub expires_at: u64,
    /// When the number and the peer can be used for other bindings, in nanoseconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub reusable_at: u64,
    /// Relayed packets in both directions.
    pub packets: u64,
}

/// A permission: the client and peers at this IP address, with any port, may send each other data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PermissionView {
    /// When it expires, in nanoseconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub expires_at: u64,
    /// Packets relayed in Send and Data indications, in both directions.
    pub packets: u64,
}

/// Writes seconds with a fraction: nanoseconds exceed the precision of JavaScript's numbers.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn seconds<S: serde::Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((nanos / 1_000) as f64 / 1_000_000.0)
}
