//! Counters. Each worker adds to its own and publishes them shortly after.

mod keys;
mod portable;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use relay_server::{ErrorCode, Event, Rejection, RemovalReason, ReplyKind, Traffic};

pub(crate) use self::{
    keys::{Limit, Loss},
    portable::PortableCounters,
};

/// The number of size classes: up to 64 bytes, 128, 256 and so on.
pub(crate) const SIZE_CLASSES: usize = 11;

/// The inclusive upper bound of the smallest class, in bytes.
const SMALLEST_CLASS: usize = 64;

/// The inclusive upper bounds of the size classes, in bytes.
pub(crate) fn size_bounds() -> [usize; SIZE_CLASSES] {
    std::array::from_fn(|class| SMALLEST_CLASS << class)
}

/// The class of a size, computed without a branch.
const fn size_class(bytes: usize) -> usize {
    const SMALLEST_BITS: usize = SMALLEST_CLASS.trailing_zeros() as usize;
    let bits = (usize::BITS - bytes.saturating_sub(1).leading_zeros()) as usize;
    let class = bits.saturating_sub(SMALLEST_BITS);
    // No datagram is longer than the largest class.
    if class < SIZE_CLASSES { class } else { SIZE_CLASSES - 1 }
}

/// The counters of one worker, or the sum over several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) to_peers: Traffic,
    pub(crate) to_clients: Traffic,
    pub(crate) allocations_created: u64,
    pub(crate) allocations_removed: BTreeMap<RemovalReason, u64>,
    /// Channels that began to relay: new ones, and lapsed ones that were bound again.
    pub(crate) channels_opened: u64,
    /// Channels that no longer relay: they lapsed, or their allocation ended.
    pub(crate) channels_closed: u64,
    /// New permissions, without renewals.
    pub(crate) permissions_installed: u64,
    /// Permissions that expired or whose allocation ended.
    pub(crate) permissions_ended: u64,
    /// Responses by STUN method and ERROR-CODE, `None` for success.
    pub(crate) responses: BTreeMap<(u16, Option<ErrorCode>), u64>,
    /// Requests that were refused because of a limit.
    pub(crate) over_limit: BTreeMap<Limit, u64>,
    pub(crate) losses: BTreeMap<Loss, u64>,
    /// ICMP errors that were reported to clients.
    pub(crate) icmp_told: u64,
    /// Replies that [`Loss::ReplyLimit`] withheld.
    pub(crate) withheld_replies: BTreeMap<ReplyKind, u64>,
    /// Permissions and channels that were refused, by the name of the reason.
    pub(crate) peers_refused: BTreeMap<&'static str, u64>,
    /// Permissions and channels that ended because their peers are not allowed any more, by the name of the reason.
    pub(crate) peers_revoked: BTreeMap<&'static str, u64>,
    /// How often the wall clock was set.
    pub(crate) wall_clock_jumps: u64,
    /// Errors of receive calls. No datagram is lost by one.
    pub(crate) receive_errors: u64,
    /// Datagrams that the kernel dropped because they were not read in time.
    pub(crate) receive_overruns: u64,
    /// The number of relayed packets in each size class of their application data.
    pub(crate) sizes: [u64; SIZE_CLASSES],
    /// Workers that are draining.
    pub(crate) draining: u64,
}

impl Counters {
    /// Counts a packet with `bytes` of application data that was relayed to a peer.
    pub(crate) fn relayed_to_peer(&mut self, bytes: usize) {
        self.to_peers.count(bytes);
        self.sizes[size_class(bytes)] += 1;
    }

    /// Counts a packet with `bytes` of application data that was relayed to a client.
    pub(crate) fn relayed_to_client(&mut self, bytes: usize) {
        self.to_clients.count(bytes);
        self.sizes[size_class(bytes)] += 1;
    }

    pub(crate) fn lose(&mut self, loss: Loss) {
        *self.losses.entry(loss).or_default() += 1;
    }

    /// Counts `event`.
    pub(crate) fn record(&mut self, event: &Event) {
        match event {
            Event::AllocationCreated { .. } => self.allocations_created += 1,
            Event::AllocationRemoved { reason, .. } => *self.allocations_removed.entry(*reason).or_default() += 1,
            Event::Responded { method, outcome, .. } => {
                let code = outcome.err().map(Rejection::error_code);
                *self.responses.entry((*method, code)).or_default() += 1;
                if let Some(limit) = outcome.err().and_then(Limit::of) {
                    *self.over_limit.entry(limit).or_default() += 1;
                }
            }
            Event::Dropped { reason, .. } => self.lose(Loss::Dropped(*reason)),
            Event::IcmpTold { .. } => self.icmp_told += 1,
            Event::PeerRefused { reason, .. } => *self.peers_refused.entry(reason.name()).or_default() += 1,
            Event::PeerRevoked { reason, .. } => *self.peers_revoked.entry(reason.name()).or_default() += 1,
            Event::ReplyWithheld { kind, .. } => {
                self.lose(Loss::ReplyLimit);
                *self.withheld_replies.entry(*kind).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Adds `other` to these counters.
    pub(crate) fn merge(&mut self, other: Self) {
        self.to_peers += other.to_peers;
        self.to_clients += other.to_clients;
        self.allocations_created += other.allocations_created;
        merge_maps(&mut self.allocations_removed, other.allocations_removed);
        self.channels_opened += other.channels_opened;
        self.channels_closed += other.channels_closed;
        self.permissions_installed += other.permissions_installed;
        self.permissions_ended += other.permissions_ended;
        merge_maps(&mut self.responses, other.responses);
        merge_maps(&mut self.over_limit, other.over_limit);
        merge_maps(&mut self.losses, other.losses);
        merge_maps(&mut self.withheld_replies, other.withheld_replies);
        merge_maps(&mut self.peers_refused, other.peers_refused);
        merge_maps(&mut self.peers_revoked, other.peers_revoked);
        self.wall_clock_jumps += other.wall_clock_jumps;
        self.icmp_told += other.icmp_told;
        self.receive_errors += other.receive_errors;
        self.receive_overruns += other.receive_overruns;
        self.draining += other.draining;
        for (into, from) in self.sizes.iter_mut().zip(other.sizes) {
            *into += from;
        }
    }

    /// The number of live allocations.
    pub(crate) fn allocations(&self) -> u64 {
        self.allocations_created.saturating_sub(self.allocations_removed.values().sum())
    }

    /// The number of live permissions.
    pub(crate) const fn permissions(&self) -> u64 {
        self.permissions_installed.saturating_sub(self.permissions_ended)
    }

    /// The number of channels that relay.
    pub(crate) const fn channels(&self) -> u64 {
        self.channels_opened.saturating_sub(self.channels_closed)
    }
}

fn merge_maps<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}

impl fmt::Display for Counters {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (to_peers, to_clients) = (self.to_peers, self.to_clients);
        let (successes, errors): (u64, u64) =
            self.responses.iter().fold((0, 0), |(successes, errors), ((_, code), count)| {
                if code.is_none() { (successes + count, errors) } else { (successes, errors + count) }
            });
        write!(
            f,
            "{} allocations ({} at the end), {} channels; {} packets ({} bytes) relayed to peers, {} packets ({} bytes) to \
             clients; {successes} requests granted, {errors} refused; dropped: ",
            self.allocations_created,
            self.allocations(),
            self.channels_opened,
            to_peers.packets,
            to_peers.bytes,
            to_clients.packets,
            to_clients.bytes,
        )?;
        if self.losses.is_empty() {
            return f.write_str("none");
        }
        for (index, (loss, count)) in self.losses.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{count} {loss}")?;
        }
        Ok(())
    }
}

/// A worker's counters, readable from other threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published(Arc<Mutex<Counters>>);

impl Published {
    /// Moves the values of `counters` here.
    pub(crate) fn publish(&self, counters: &mut Counters) {
        let counters = std::mem::take(counters);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).merge(counters);
    }

    /// Adds the counters that the process before this one handed over.
    pub(crate) fn inherit(&self, counters: Counters) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).merge(counters);
    }

    /// All values that were published so far.
    pub(crate) fn read(&self) -> Counters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The sum over all workers.
pub(crate) fn fold(workers: &[Published]) -> Counters {
    let mut sum = Counters::default();
    for worker in workers {
        sum.merge(worker.read());
    }
    sum
}

#[cfg(test)]
mod tests {
    use relay_server::DropReason;

    use super::*;

    fn responded(method: u16, outcome: Result<(), Rejection>) -> Event {
        let five_tuple = relay_server::FiveTuple {
            client: "192.0.2.1:1".parse::<std::net::SocketAddr>().unwrap().into(),
            server: "192.0.2.2".parse().unwrap(),
        };
        Event::Responded { five_tuple, method, outcome }
    }

    #[test]
    fn published_counters_add_up() {
        let workers = [Published::default(), Published::default()];
        for worker in &workers {
            for _ in 0..2 {
                let mut counters = Counters::default();
                counters.relayed_to_peer(100);
                counters.lose(Loss::SendBufferFull);
                counters.record(&responded(3, Ok(())));
                counters.record(&responded(9, Err(Rejection::NoChannelLeft)));
                worker.publish(&mut counters);
                assert_eq!(counters, Counters::default());
            }
        }
        let sum = fold(&workers);
        assert_eq!(sum.to_peers, Traffic { packets: 4, bytes: 400 });
        assert_eq!(sum.sizes[1], 4);
        assert_eq!(sum.losses, [(Loss::SendBufferFull, 4)].into());
        assert_eq!(sum.responses, [((3, None), 4), ((9, Some(ErrorCode::INSUFFICIENT_CAPACITY)), 4)].into());
        assert_eq!(sum.over_limit, [(Limit::Channels, 4)].into());
    }

    #[test]
    fn sizes_fall_into_the_first_class_that_holds_them() {
        let bounds = size_bounds();
        assert_eq!((bounds[0], bounds[SIZE_CLASSES - 1]), (64, 65_536));
        for bytes in (0..=65_536).chain([usize::MAX]) {
            let expected = bounds.iter().position(|bound| bytes <= *bound).unwrap_or(SIZE_CLASSES - 1);
            assert_eq!(size_class(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        let mut counters = Counters::default();
        assert!(counters.to_string().ends_with("dropped: none"));
        counters.relayed_to_client(7);
        counters.record(&responded(3, Err(Rejection::AllocationExists)));
        counters.lose(Loss::Dropped(DropReason::UnknownPeer));
        counters.lose(Loss::SendFailed);
        let line = counters.to_string();
        assert!(line.contains("1 packets (7 bytes) to clients; 0 requests granted, 1 refused"), "{line}");
        assert!(line.ends_with("dropped: 1 UnknownPeer, 1 SendFailed"), "{line}");
        assert!(!line.contains('\n'));
    }
}
