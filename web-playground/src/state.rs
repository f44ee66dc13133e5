//! The relay's state at a row, with what the row changed, as the page shows it.

use std::{collections::BTreeMap, net::IpAddr};

use relay_replay::{AllocationView, Counters, View};
use serde::Serialize;

/// How many allocations are shown at once; those that changed come first.
const SHOWN: usize = 100;

#[derive(Serialize)]
pub(crate) struct State<'a> {
    /// Seconds since the Unix epoch.
    now: f64,
    draining: bool,
    /// How many allocations are live.
    live: usize,
    allocations: Vec<Shown<'a>>,
    /// Allocations that this row ended.
    removed: Vec<Shown<'a>>,
    counters: &'a Counters,
    counters_before: &'a Counters,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: String,
    #[serde(flatten)]
    allocation: &'a AllocationView,
    /// What is new: `"new"`, `"changed"`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    /// The same for its channels.
    channel_changes: BTreeMap<u16, &'static str>,
    /// Channels that this row removed.
    removed_channels: Vec<u16>,
    /// What is new of its permissions.
    permission_changes: BTreeMap<IpAddr, &'static str>,
    /// Permissions that this row ended.
    removed_permissions: Vec<IpAddr>,
}

impl<'a> State<'a> {
    pub(crate) fn new(before: &'a View, after: &'a View) -> Self {
        let mut allocations: Vec<_> = after
            .allocations
            .iter()
            .map(|(number, allocation)| Shown::new(*number, before.allocations.get(number), allocation))
            .collect();
        allocations.sort_by_key(|shown| shown.change.is_none());
        allocations.truncate(SHOWN);
        let removed = before.allocations.iter().filter(|(number, _)| !after.allocations.contains_key(number));
        Self {
            now: (after.unix_nanos / 1_000) as f64 / 1e6,
            draining: after.draining,
            live: after.allocations.len(),
            allocations,
            removed: removed
                .take(SHOWN)
                .map(|(number, allocation)| Shown::new(*number, Some(allocation), allocation))
                .collect(),
            counters: &after.counters,
            counters_before: &before.counters,
        }
    }
}

impl<'a> Shown<'a> {
    fn new(number: u32, before: Option<&AllocationView>, allocation: &'a AllocationView) -> Self {
        Self {
            name: format!("A{}", number + 1),
            allocation,
            change: match before {
                None => Some("new"),
                Some(before) if before != allocation => Some("changed"),
                Some(_) => None,
            },
            channel_changes: changes(before.map(|before| &before.channels), &allocation.channels),
            removed_channels: removals(before.map(|before| &before.channels), &allocation.channels),
            permission_changes: changes(before.map(|before| &before.permissions), &allocation.permissions),
            removed_permissions: removals(before.map(|before| &before.permissions), &allocation.permissions),
        }
    }
}

/// What is new in `after`, and how: `"new"` or `"changed"`.
fn changes<K: Ord + Copy, V: PartialEq>(
    before: Option<&BTreeMap<K, V>>,
    after: &BTreeMap<K, V>,
) -> BTreeMap<K, &'static str> {
    let change = |key, value| match before.and_then(|before| before.get(key)) {
        None => Some("new"),
        Some(before) if before != value => Some("changed"),
        Some(_) => None,
    };
    after.iter().filter_map(|(key, value)| Some((*key, change(key, value)?))).collect()
}

/// What is not in `after` any more.
fn removals<K: Ord + Copy, V>(before: Option<&BTreeMap<K, V>>, after: &BTreeMap<K, V>) -> Vec<K> {
    before.into_iter().flat_map(BTreeMap::keys).filter(|key| !after.contains_key(key)).copied().collect()
}
