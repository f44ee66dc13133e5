//! The relay's state at one time, and how changes apply to it.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, SocketAddr},
};

use relay_server::{Family, PERMISSION_LIFETIME};
use serde::Serialize;

use crate::{Carrier, Change};

/// The lifetime of a channel binding ([RFC 8656, section 12](https://www.rfc-editor.org/rfc/rfc8656#section-12)), in nanoseconds.
const CHANNEL_LIFETIME: u64 = 600 * SECOND;
/// How long a lapsed channel's number and peer stay reserved for each other, in nanoseconds.
const CHANNEL_REUSE_DELAY: u64 = 300 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// The relay's state at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    /// The time in nanoseconds since the Unix epoch.
    #[serde(skip)]
    pub unix_nanos: u64,
    /// Live allocations by their number in the session.
    pub allocations: BTreeMap<u32, AllocationView>,
    /// The counters so far.
    pub counters: Counters,
    /// Whether new allocations are refused.
    pub draining: bool,
}

/// An allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllocationView {
    /// The relay's id for it, in decimal; 0 if that is not known.
    pub id: String,
    /// The shard that has it.
    pub shard: u32,
    /// The client's address.
    pub client: SocketAddr,
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

/// The relay's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Success responses.
    pub successes: u64,
    /// Error responses by code.
    pub errors: BTreeMap<u16, u64>,
    /// Dropped datagrams by reason.
    pub drops: BTreeMap<String, u64>,
    /// Datagrams relayed from clients.
    pub packets_up: u64,
    /// Their application data in bytes.
    pub bytes_up: u64,
    /// Datagrams relayed to clients.
    pub packets_down: u64,
    /// Their application data in bytes.
    pub bytes_down: u64,
}

impl View {
    /// Applies `change`, which happened at `unix_nanos`.
    pub fn apply(&mut self, unix_nanos: u64, change: &Change) {
        self.unix_nanos = unix_nanos;
        match change {
            Change::Created(new) => {
                let allocation = AllocationView {
                    id: new.id.to_string(),
                    shard: new.shard,
                    client: new.client,
                    username: new.username.clone(),
                    relayed: new
                        .relayed
                        .iter()
                        .map(|&address| RelayedView {
                            address,
                            lifetime: new.lifetime,
                            expires_at: after(unix_nanos, new.lifetime),
                        })
                        .collect(),
                    channels: BTreeMap::new(),
                    permissions: BTreeMap::new(),
                    bytes_up: 0,
                    bytes_down: 0,
                };
                self.allocations.insert(new.number, allocation);
            }
            Change::Refreshed { allocation, lifetime, family } => {
                let relayed = self.allocations.get_mut(allocation).map(|allocation| allocation.relayed.iter_mut());
                for relayed in relayed.into_iter().flatten() {
                    if family.is_none_or(|family| family == Family::of(relayed.address.ip())) {
                        relayed.lifetime = *lifetime;
                        relayed.expires_at = after(unix_nanos, *lifetime);
                    }
                }
            }
            Change::FamilyRemoved { allocation, family, .. } => {
                if let Some(allocation) = self.allocations.get_mut(allocation) {
                    allocation.relayed.retain(|relayed| Family::of(relayed.address.ip()) != *family);
                    allocation.channels.retain(|_, channel| Family::of(channel.peer.ip()) != *family);
                    allocation.permissions.retain(|address, _| Family::of(*address) != *family);
                }
            }
            Change::Removed { allocation, .. } => {
                self.allocations.remove(allocation);
            }
            Change::ChannelBound { allocation, channel, peer, .. } => {
                if let Some(allocation) = self.allocations.get_mut(allocation) {
                    let expires_at = unix_nanos.saturating_add(CHANNEL_LIFETIME);
                    let packets = allocation.channels.get(channel).map_or(0, |channel| channel.packets);
                    let reusable_at = expires_at.saturating_add(CHANNEL_REUSE_DELAY);
                    let channel_view = ChannelView { peer: *peer, bound: true, expires_at, reusable_at, packets };
                    allocation.channels.insert(*channel, channel_view);
                }
            }
            Change::ChannelExpired { allocation, channel } => {
                if let Some(channel) =
                    self.allocations.get_mut(allocation).and_then(|allocation| allocation.channels.get_mut(channel))
                {
                    channel.bound = false;
                }
            }
            Change::ChannelReleased { allocation, channel } => {
                if let Some(allocation) = self.allocations.get_mut(allocation) {
                    allocation.channels.remove(channel);
                }
            }
            Change::PermissionInstalled { allocation, address, .. } => {
                if let Some(allocation) = self.allocations.get_mut(allocation) {
                    let lifetime = u32::try_from(PERMISSION_LIFETIME.as_secs()).unwrap_or(u32::MAX);
                    let packets = allocation.permissions.get(address).map_or(0, |permission| permission.packets);
                    let view = PermissionView { expires_at: after(unix_nanos, lifetime), packets };
                    allocation.permissions.insert(*address, view);
                }
            }
            Change::PermissionExpired { allocation, address } => {
                if let Some(allocation) = self.allocations.get_mut(allocation) {
                    allocation.permissions.remove(address);
                }
            }
            Change::Responded { outcome, .. } => match outcome.error_code() {
                None => self.counters.successes += 1,
                Some(code) => *self.counters.errors.entry(code).or_default() += 1,
            },
            Change::Dropped { reason } => *self.counters.drops.entry(words(reason)).or_default() += 1,
            Change::Relayed { allocation, carrier, bytes, from_client, crossed_to } => {
                self.count(u64::from(*bytes), *from_client);
                if let Some(allocation) = allocation {
                    self.relayed(*allocation, *carrier, u64::from(*bytes), *from_client);
                }
                if let Some((allocation, carrier)) = crossed_to {
                    self.relayed(*allocation, *carrier, u64::from(*bytes), false);
                }
            }
            Change::IcmpTold { .. } => {}
            Change::Draining => self.draining = true,
        }
    }

    fn count(&mut self, bytes: u64, from_client: bool) {
        let counters = &mut self.counters;
        let (packets, total) = if from_client {
            (&mut counters.packets_up, &mut counters.bytes_up)
        } else {
            (&mut counters.packets_down, &mut counters.bytes_down)
        };
        *packets += 1;
        *total += bytes;
    }

    fn relayed(&mut self, allocation: u32, carrier: Carrier, bytes: u64, from_client: bool) {
        let Some(allocation) = self.allocations.get_mut(&allocation) else { return };
        *(if from_client { &mut allocation.bytes_up } else { &mut allocation.bytes_down }) += bytes;
        let packets = match carrier {
            Carrier::Channel(channel) => allocation.channels.get_mut(&channel).map(|channel| &mut channel.packets),
            Carrier::Indication(peer) => {
                allocation.permissions.get_mut(&peer.ip()).map(|permission| &mut permission.packets)
            }
        };
        if let Some(packets) = packets {
            *packets += 1;
        }
    }

    /// The approximate size of a copy, in allocations, channels and permissions.
    pub(crate) fn size(&self) -> usize {
        let of = |allocation: &AllocationView| 1 + allocation.channels.len() + allocation.permissions.len();
        self.allocations.values().map(of).sum()
    }
}

fn after(unix_nanos: u64, seconds: u32) -> u64 {
    unix_nanos.saturating_add(u64::from(seconds) * SECOND)
}

/// The name of an enum's variant as words: `NoAllocation` becomes `no allocation`. The name must be ASCII. (Unicode tables would
/// add a fortieth to the playground's module.)
pub(crate) fn words(variant: &impl Debug) -> String {
    let name = format!("{variant:?}");
    let mut text = String::new();
    for (index, letter) in name.chars().take_while(char::is_ascii_alphanumeric).enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// Writes seconds with a fraction: nanoseconds exceed the precision of JavaScript's numbers.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn seconds<S: serde::Serializer>(nanos: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((nanos / 1_000) as f64 / 1_000_000.0)
}
