//! The relay's state at one time, and how changes apply to it.

use std::{collections::BTreeMap, fmt::Debug};

use relay_server::{Family, PERMISSION_LIFETIME};
use serde::Serialize;

use crate::{AllocationView, Carrier, Change, ChannelView, PermissionView, allocation_view::RelayedView};

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
            Change::Began { allocations, is_draining, .. } => {
                self.allocations.extend(allocations.iter().map(|(number, allocation)| (*number, allocation.clone())));
                self.draining |= is_draining;
            }
            Change::Created(new) => {
                let allocation = AllocationView {
                    id: new.id.to_string(),
                    shard: new.shard,
                    client: new.client,
                    server: new.server,
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
