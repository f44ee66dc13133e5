//! The counters of the data path, handed from one process to the next.

use relay_ebpf::Reason;

use super::{OffloadCounters, OffloadStatistics, xdp::verdict};
use crate::names::NamedCounts;

const RELAYED_BYTES: &str = "data_relayed_ebpf_bytes";
const PACKETS: &str = "ebpf_packets";
const REFUSED_FLOWS: &str = "ebpf_flows_refused";
const FLOWS_OVER_SHARE: &str = "ebpf_flows_over_share";

impl OffloadCounters {
    /// Adds the cumulative counters to `counts`, for the next process. Mode and flows are not counters: the next process
    /// starts with its own.
    pub(crate) fn export(&self, counts: &mut NamedCounts) {
        let Self { mode: _, relayed_bytes, packets, flows: _, refused_flows, flows_over_share } = self;
        counts.add(RELAYED_BYTES, "", *relayed_bytes);
        counts.add(REFUSED_FLOWS, "", *refused_flows);
        counts.add(FLOWS_OVER_SHARE, "", *flows_over_share);
        for (verdict, reason, count) in packets {
            counts.add(PACKETS, &key(verdict, reason), *count);
        }
    }

    /// The counters that the process before this one handed over. Verdicts and reasons that this build does not know are left out.
    fn inherited(counts: &NamedCounts) -> Self {
        let packets = Reason::ALL.iter().filter_map(|reason| {
            let (verdict, reason) = (verdict(*reason), reason.name());
            let count = counts.get(PACKETS, &key(verdict, reason));
            (count > 0).then_some((verdict, reason, count))
        });
        Self {
            mode: None,
            relayed_bytes: counts.get(RELAYED_BYTES, ""),
            packets: packets.collect(),
            flows: 0,
            refused_flows: counts.get(REFUSED_FLOWS, ""),
            flows_over_share: counts.get(FLOWS_OVER_SHARE, ""),
        }
    }
}

fn key(verdict: &str, reason: &str) -> String {
    format!("{verdict} {reason}")
}

/// Adds the counters of the process before this one to the statistics of a data path.
pub(crate) struct InheritedStatistics {
    before: OffloadCounters,
    now: Box<dyn OffloadStatistics>,
}

impl InheritedStatistics {
    /// Adds `counts` to each reading of `now`.
    pub(crate) fn new(counts: &NamedCounts, now: Box<dyn OffloadStatistics>) -> Self {
        Self { before: OffloadCounters::inherited(counts), now }
    }
}

impl OffloadStatistics for InheritedStatistics {
    fn read(&mut self) -> OffloadCounters {
        let mut counters = self.now.read();
        let OffloadCounters { mode: _, relayed_bytes, packets, flows: _, refused_flows, flows_over_share } =
            &self.before;
        counters.relayed_bytes = counters.relayed_bytes.saturating_add(*relayed_bytes);
        counters.refused_flows = counters.refused_flows.saturating_add(*refused_flows);
        counters.flows_over_share = counters.flows_over_share.saturating_add(*flows_over_share);
        for before in packets {
            let (verdict, reason, count) = before;
            let same = counters.packets.iter_mut().find(|(of, why, _)| (of, why) == (verdict, reason));
            match same {
                Some((_, _, counted)) => *counted = counted.saturating_add(*count),
                None => counters.packets.push(*before),
            }
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::NoOffload;

    /// A data path that has counted so much.
    struct Fixed(OffloadCounters);

    impl OffloadStatistics for Fixed {
        fn read(&mut self) -> OffloadCounters {
            self.0.clone()
        }
    }

    fn counted() -> OffloadCounters {
        OffloadCounters {
            mode: Some("driver"),
            relayed_bytes: 1_000,
            packets: vec![("forwarded", "forwarded", 10), ("passed", "no_route", 3), ("dropped", "aborted", 0)],
            flows: 7,
            refused_flows: 4,
            flows_over_share: 5,
        }
    }

    /// The counters as the next process gets them.
    fn handed_over(counters: &OffloadCounters) -> NamedCounts {
        let mut counts = NamedCounts::default();
        counters.export(&mut counts);
        postcard::from_bytes(&postcard::to_allocvec(&counts).unwrap()).unwrap()
    }

    #[test]
    fn the_next_data_path_counts_on() {
        let now = OffloadCounters {
            mode: Some("generic"),
            relayed_bytes: 1,
            packets: vec![("passed", "no_route", 2), ("passed", "fragment", 1)],
            flows: 1,
            refused_flows: 1,
            flows_over_share: 1,
        };
        let mut counts = handed_over(&counted());
        counts.add(PACKETS, "passed reason_of_tomorrow", 1);
        let mut statistics = InheritedStatistics::new(&counts, Box::new(Fixed(now)));
        let expected = OffloadCounters {
            mode: Some("generic"),
            relayed_bytes: 1_001,
            packets: vec![("passed", "no_route", 5), ("passed", "fragment", 1), ("forwarded", "forwarded", 10)],
            flows: 1,
            refused_flows: 5,
            flows_over_share: 6,
        };
        assert_eq!(statistics.read(), expected);
        assert_eq!(statistics.read(), expected, "they are added to each reading once");
    }

    #[test]
    fn counters_go_through_a_process_that_does_not_offload() {
        let mut second = InheritedStatistics::new(&handed_over(&counted()), Box::new(NoOffload));
        let mut third = InheritedStatistics::new(&handed_over(&second.read()), Box::new(NoOffload));
        assert_eq!(third.read(), second.read());
        assert_eq!((third.read().relayed_bytes, third.read().mode), (1_000, None));
    }

    #[test]
    fn every_verdict_and_reason_is_known() {
        let packets = Reason::ALL.iter().map(|reason| (verdict(*reason), reason.name(), 1)).collect();
        let all = OffloadCounters { packets, ..OffloadCounters::default() };
        assert_eq!(OffloadCounters::inherited(&handed_over(&all)), all);
    }
}
