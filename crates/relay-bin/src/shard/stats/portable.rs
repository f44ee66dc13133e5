//! The counters of a worker, handed from one process to the next, which may be another build.

use std::collections::BTreeMap;

use relay_server::{ErrorCode, PeerForbidden, RemovalReason, SpecialUse, Traffic};
use serde::{Deserialize, Serialize};

use super::{Counters, size_bounds, size_class};
use crate::names::{Named, NamedCounts};

/// [`Counters`] by the names of metrics.
///
/// It contains all cumulative counters. [`Counters::draining`] is not among them: it counts the workers of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortableCounters(NamedCounts);

impl PortableCounters {
    /// Names each of `counters`.
    pub(crate) fn of(counters: &Counters) -> Self {
        let Counters {
            to_peers,
            to_clients,
            allocations_created,
            allocations_removed,
            channels_opened,
            channels_closed,
            permissions_installed,
            permissions_ended,
            responses,
            over_limit,
            losses,
            icmp_told,
            withheld_replies,
            peers_refused,
            peers_revoked,
            wall_clock_jumps,
            receive_errors,
            receive_overruns,
            sizes,
            draining: _,
        } = counters;
        let mut counts = NamedCounts::default();
        for (direction, Traffic { packets, bytes }) in [("to_peer", to_peers), ("to_client", to_clients)] {
            counts.add("relayed_packets", direction, *packets);
            counts.add("relayed_bytes", direction, *bytes);
        }
        for (figure, count) in [
            ("allocations_created", allocations_created),
            ("channels_bound", channels_opened),
            ("channels_closed", channels_closed),
            ("permissions_installed", permissions_installed),
            ("permissions_ended", permissions_ended),
            ("icmp_errors_told", icmp_told),
            ("wall_clock_jumps", wall_clock_jumps),
            ("receive_errors", receive_errors),
            ("receive_overruns", receive_overruns),
        ] {
            counts.add(figure, "", *count);
        }
        add_named(&mut counts, "allocations_removed", allocations_removed);
        add_named(&mut counts, "requests_over_limit", over_limit);
        add_named(&mut counts, "dropped_datagrams", losses);
        add_named(&mut counts, "withheld_replies", withheld_replies);
        for (figure, peers) in [("peers_refused", peers_refused), ("peers_revoked", peers_revoked)] {
            peers.iter().for_each(|(reason, count)| counts.add(figure, reason, *count));
        }
        for ((method, code), count) in responses {
            let code = code.map_or(0, ErrorCode::number);
            counts.add("responses", &format!("{method} {code}"), *count);
        }
        for (bound, count) in size_bounds().iter().zip(sizes) {
            counts.add("relayed_packet_size", &bound.to_string(), *count);
        }
        Self(counts)
    }

    /// The counters with these names. Names that this build does not know are left out.
    pub(crate) fn into_counters(self) -> Counters {
        let mut counters = Counters::default();
        for (figure, key, count) in self.0.iter() {
            if let Some(counter) = counter(&mut counters, figure, key) {
                *counter = counter.saturating_add(count);
            }
        }
        counters
    }
}

fn add_named<K: Named + Copy>(counts: &mut NamedCounts, figure: &str, map: &BTreeMap<K, u64>) {
    map.iter().for_each(|(key, count)| counts.add(figure, key.name(), *count));
}

/// The counter with this name.
fn counter<'c>(counters: &'c mut Counters, figure: &str, key: &str) -> Option<&'c mut u64> {
    Some(match (figure, key) {
        ("relayed_packets", "to_peer") => &mut counters.to_peers.packets,
        ("relayed_packets", "to_client") => &mut counters.to_clients.packets,
        ("relayed_bytes", "to_peer") => &mut counters.to_peers.bytes,
        ("relayed_bytes", "to_client") => &mut counters.to_clients.bytes,
        ("allocations_created", "") => &mut counters.allocations_created,
        ("channels_bound", "") => &mut counters.channels_opened,
        ("channels_closed", "") => &mut counters.channels_closed,
        ("permissions_installed", "") => &mut counters.permissions_installed,
        ("permissions_ended", "") => &mut counters.permissions_ended,
        ("icmp_errors_told", "") => &mut counters.icmp_told,
        ("wall_clock_jumps", "") => &mut counters.wall_clock_jumps,
        ("receive_errors", "") => &mut counters.receive_errors,
        ("receive_overruns", "") => &mut counters.receive_overruns,
        // Live allocations are those created less those removed. So a removal for an unknown reason counts, too.
        ("allocations_removed", reason) => {
            let reason = Named::named(reason).unwrap_or(RemovalReason::Expired);
            counters.allocations_removed.entry(reason).or_default()
        }
        ("requests_over_limit", limit) => counters.over_limit.entry(Named::named(limit)?).or_default(),
        ("dropped_datagrams", loss) => counters.losses.entry(Named::named(loss)?).or_default(),
        ("withheld_replies", kind) => counters.withheld_replies.entry(Named::named(kind)?).or_default(),
        ("peers_refused", reason) => counters.peers_refused.entry(peer_reason(reason)?).or_default(),
        ("peers_revoked", reason) => counters.peers_revoked.entry(peer_reason(reason)?).or_default(),
        ("responses", key) => counters.responses.entry(response(key)?).or_default(),
        // The other build may have other classes.
        ("relayed_packet_size", bound) => &mut counters.sizes[size_class(bound.parse().ok()?)],
        _ => return None,
    })
}

/// Method and ERROR-CODE of `key`.
fn response(key: &str) -> Option<(u16, Option<ErrorCode>)> {
    let (method, code) = key.split_once(' ')?;
    let code = match code.parse().ok()? {
        0 => None,
        code => Some(ErrorCode::new(code)?),
    };
    Some((method.parse().ok()?, code))
}

/// The names of the reasons to refuse a peer, apart from those of [`SpecialUse`].
const PEER_REASONS: [&str; 10] = [
    PeerForbidden::Unspecified.name(),
    PeerForbidden::Multicast.name(),
    PeerForbidden::Broadcast.name(),
    PeerForbidden::Ipv4Mapped.name(),
    PeerForbidden::Tunnel.name(),
    PeerForbidden::LinkLocal.name(),
    PeerForbidden::PortZero.name(),
    PeerForbidden::OwnListener.name(),
    PeerForbidden::OwnMachine.name(),
    "rule",
];

/// `name`, if it is the name of a reason to refuse a peer.
fn peer_reason(name: &str) -> Option<&'static str> {
    let of_range = || SpecialUse::named(name).map(SpecialUse::name);
    PEER_REASONS.into_iter().find(|reason| *reason == name).or_else(of_range)
}

#[cfg(test)]
mod tests {
    use relay_server::{DropReason, ReplyKind};

    use super::*;
    use crate::shard::stats::{Limit, Loss, SIZE_CLASSES};

    /// Counters with different values. It names all fields, so that a new one is not forgotten.
    fn all() -> Counters {
        let insufficient = Some(ErrorCode::INSUFFICIENT_CAPACITY);
        Counters {
            to_peers: Traffic { packets: 1, bytes: 2 },
            to_clients: Traffic { packets: 3, bytes: 4 },
            allocations_created: 5,
            allocations_removed: [(RemovalReason::Expired, 6), (RemovalReason::RelayFailed, 7)].into(),
            channels_opened: 8,
            channels_closed: 9,
            permissions_installed: 10,
            permissions_ended: 11,
            responses: [((3, None), 12), ((3, insufficient), 13), ((9, None), 14)].into(),
            over_limit: [(Limit::Ports, 15), (Limit::Channels, 16)].into(),
            losses: [(Loss::Dropped(DropReason::NoChannel), 17), (Loss::ReplyLimit, 18)].into(),
            icmp_told: 19,
            withheld_replies: [(ReplyKind::Binding, 20), (ReplyKind::Challenge, 21)].into(),
            peers_refused: [("rule", 22), ("private", 23)].into(),
            peers_revoked: [("multicast", 24), ("own_machine", 25)].into(),
            wall_clock_jumps: 26,
            receive_errors: 27,
            receive_overruns: 28,
            sizes: std::array::from_fn(|class| 29 + u64::try_from(class).unwrap()),
            draining: 0,
        }
    }

    fn through_postcard(counters: &Counters) -> Counters {
        let bytes = postcard::to_allocvec(&PortableCounters::of(counters)).unwrap();
        postcard::from_bytes::<PortableCounters>(&bytes).unwrap().into_counters()
    }

    #[test]
    fn the_next_process_has_the_same_counters() {
        assert_eq!(through_postcard(&all()), all());
        assert_eq!(through_postcard(&Counters::default()), Counters::default());
        let draining = Counters { draining: 2, ..Counters::default() };
        assert_eq!(
            through_postcard(&draining).draining,
            0,
            "the workers of the next process drain when they are told to"
        );
    }

    #[test]
    fn what_this_build_does_not_know_is_left_out() {
        let PortableCounters(mut counts) = PortableCounters::of(&all());
        for (figure, key) in [
            ("figure_of_tomorrow", ""),
            ("relayed_packets", "to_server"),
            ("allocations_created", "of_tomorrow"),
            ("requests_over_limit", "of_tomorrow"),
            ("dropped_datagrams", "of_tomorrow"),
            ("withheld_replies", "of_tomorrow"),
            ("peers_refused", "of_tomorrow"),
            ("peers_revoked", "of_tomorrow"),
            ("responses", "3 1000"),
            ("responses", "3"),
            ("responses", "refresh 0"),
            ("relayed_packet_size", "large"),
        ] {
            counts.add(figure, key, 1);
        }
        assert_eq!(PortableCounters(counts).into_counters(), all());
    }

    #[test]
    fn allocations_that_were_removed_for_an_unknown_reason_do_not_come_back() {
        let mut counts = NamedCounts::default();
        counts.add("allocations_created", "", 3);
        counts.add("allocations_removed", "of_tomorrow", 2);
        assert_eq!(PortableCounters(counts).into_counters().allocations(), 1);
    }

    #[test]
    fn sizes_of_other_classes_fall_into_the_classes_of_this_build() {
        let mut counts = NamedCounts::default();
        for (bound, count) in [("48", 1), ("96", 2), ("1000000", 4)] {
            counts.add("relayed_packet_size", bound, count);
        }
        let sizes = PortableCounters(counts).into_counters().sizes;
        assert_eq!((sizes[0], sizes[1], sizes[SIZE_CLASSES - 1]), (1, 2, 4));
    }

    #[test]
    fn every_reason_to_refuse_a_peer_has_a_name_that_is_known() {
        let range = "10.0.0.0/8".parse().unwrap();
        for usage in SpecialUse::ALL {
            let reason = PeerForbidden::Special { range, usage };
            assert_eq!(peer_reason(reason.name()), Some(reason.name()));
        }
        let rule = PeerForbidden::Rule { range: "10.0.0.0/8".parse().unwrap() };
        for name in PEER_REASONS.into_iter().chain([rule.name()]) {
            assert_eq!(peer_reason(name), Some(name));
        }
        assert_eq!(peer_reason("of_tomorrow"), None);
    }

    /// A new reason does not compile here. Add it to [`PEER_REASONS`], too.
    const _: fn(PeerForbidden) = |reason| match reason {
        PeerForbidden::Unspecified
        | PeerForbidden::Multicast
        | PeerForbidden::Broadcast
        | PeerForbidden::Ipv4Mapped
        | PeerForbidden::Tunnel
        | PeerForbidden::LinkLocal
        | PeerForbidden::PortZero
        | PeerForbidden::OwnListener
        | PeerForbidden::OwnMachine
        | PeerForbidden::Special { .. }
        | PeerForbidden::Rule { .. } => {}
    };
}
