//! Tracks the channels that relay, from events, so that they can be counted as closed when their allocation ends.

use std::collections::BTreeMap;

use relay_server::{Allocation, AllocationId, ChannelNumber, Event, Family, Server};

use super::stats::Counters;

/// A shard's channels that relay, with the family of their peers.
#[derive(Debug, Default)]
pub(super) struct LiveChannels(BTreeMap<AllocationId, BTreeMap<ChannelNumber, Family>>);

impl LiveChannels {
    /// The channels of a server that was restored with its allocations. The process before this one has counted that they opened.
    pub(super) fn of(server: &Server) -> Self {
        let channels = |allocation: &Allocation| {
            let bound = allocation.channels().iter().filter(|channel| channel.is_bound());
            bound.map(|channel| (channel.number(), Family::of(channel.peer().address().ip()))).collect()
        };
        Self(server.allocations().map(|allocation| (allocation.id(), channels(allocation))).collect())
    }

    /// Counts the channels that `event` opens or closes.
    pub(super) fn record(&mut self, event: &Event, counters: &mut Counters) {
        match event {
            Event::ChannelBound { id, channel, peer, .. } => {
                let family = Family::of(peer.address().ip());
                let is_new = self.0.entry(*id).or_default().insert(*channel, family).is_none();
                counters.channels_opened += u64::from(is_new);
            }
            Event::ChannelExpired { id, channel, .. } => {
                let was_live = self.0.get_mut(id).is_some_and(|channels| channels.remove(channel).is_some());
                counters.channels_closed += u64::from(was_live);
            }
            Event::FamilyRemoved { id, family, .. } => {
                let Some(channels) = self.0.get_mut(id) else { return };
                let before = channels.len();
                channels.retain(|_, peer| peer != family);
                counters.channels_closed += count(before - channels.len());
            }
            Event::AllocationRemoved { id, .. } => {
                counters.channels_closed += self.0.remove(id).map_or(0, |channels| count(channels.len()));
            }
            _ => {}
        }
    }
}

fn count(channels: usize) -> u64 {
    u64::try_from(channels).unwrap_or(u64::MAX)
}
