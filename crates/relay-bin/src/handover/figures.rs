//! The figures of the whole process. Because the next process continues them, no metric is reset and no allocation has two accounts.

use std::sync::PoisonError;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    accounting::{Accounting, AccountingSnapshot},
    names::NamedCounts,
    offload::{InheritedStatistics, NoOffload},
    output::Losses,
    shard::stats::PortableCounters,
    telemetry::Observer,
};

/// The version of the format of [`Figures::to_bytes`]. Raise it with every change of a serialized type; a new name in
/// [`NamedCounts`] is not such a change. Tests here and in `accounting` hold bytes of this version.
const VERSION: u16 = 1;

/// All cumulative figures of a process, for the next one.
///
/// It does not contain the state of the process: its phase, its workers, its flows in the kernel, the state of its addresses and of its
/// registration with the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// When the counters were zero, in nanoseconds since the epoch. A collector takes another start for a reset.
    start_unix_nanos: u64,
    /// The sum over all workers.
    counters: PortableCounters,
    /// Faults, the counters of the data path, and lost lines of the log.
    counts: NamedCounts,
    accounting: AccountingSnapshot,
}

impl Figures {
    /// The figures of this process. Call it when nothing is counted any more: the workers have published their counters and stand
    /// still, all flows are removed from the kernel, and the data path is detached. [`Accounting::export`] says what follows for
    /// accounting.
    ///
    /// # Errors
    ///
    /// When the accounting thread has panicked.
    pub(crate) async fn export(observer: &Observer, accounting: &Accounting) -> anyhow::Result<Self> {
        let accounting = accounting.export().await?;
        let mut counts = NamedCounts::default();
        observer.faults.export(&mut counts);
        observer.offload().export(&mut counts);
        observer.log_losses().export(&mut counts);
        let counters = PortableCounters::of(&observer.counters());
        Ok(Self { start_unix_nanos: observer.start_unix_nanos, counters, counts, accounting })
    }

    /// Adds these figures to those of `observer`, which nobody has read yet. Returns the books for [`Accounting::start`], and the counts that
    /// [`InheritedStatistics`] adds to those of a data path that is attached later.
    pub(crate) fn inherit(self, observer: &mut Observer) -> (AccountingSnapshot, NamedCounts) {
        let Self { start_unix_nanos, counters, counts, accounting } = self;
        observer.start_unix_nanos = start_unix_nanos;
        observer.faults.inherit(&counts);
        observer.inherited_log_losses = Losses::inherited(&counts);
        let mut offload = observer.offload.lock().unwrap_or_else(PoisonError::into_inner);
        let own = std::mem::replace(&mut *offload, Box::new(NoOffload));
        *offload = Box::new(InheritedStatistics::new(&counts, own));
        drop(offload);
        // Metrics show only the sum over the workers.
        if let Some(first) = observer.published.first() {
            first.inherit(counters.into_counters());
        }
        (accounting, counts)
    }

    /// The figures as bytes, which [`Self::from_bytes`] reads.
    ///
    /// # Errors
    ///
    /// When they cannot be encoded, which is a bug.
    pub(crate) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        postcard::to_allocvec(&(VERSION, self)).context("cannot encode the figures")
    }

    /// The figures of these bytes.
    ///
    /// # Errors
    ///
    /// When [`Self::to_bytes`] of a build with this format did not make them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        const CANNOT: &str = "cannot decode the figures";
        let (version, bytes) = postcard::take_from_bytes::<u16>(bytes).context(CANNOT)?;
        ensure!(
            version == VERSION,
            "the figures have format version {version}, and this relay reads version {VERSION} only"
        );
        let (figures, rest) = postcard::take_from_bytes(bytes).context(CANNOT)?;
        ensure!(rest.is_empty(), "{CANNOT}: something follows them");
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use relay_server::RelayAddresses;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        addresses::AddressState,
        clock::Clock,
        faults::{Faults, Part},
        offload::{OffloadCounters, OffloadStatistics},
        output::Output,
        phase::Phases,
        shard::stats::{Counters, Loss, Published},
    };

    /// A data path that has relayed so many bytes.
    struct Relayed(u64);

    impl OffloadStatistics for Relayed {
        fn read(&mut self) -> OffloadCounters {
            let packets = vec![("passed", "no_route", self.0)];
            OffloadCounters { relayed_bytes: self.0, packets, ..OffloadCounters::default() }
        }
    }

    /// The observer of a process whose data path has relayed `relayed` bytes.
    fn observer(workers: usize, relayed: u64) -> Observer {
        Observer {
            clock: Clock::start(),
            start_unix_nanos: Clock::unix_nanos(),
            published: std::iter::repeat_with(Published::default).take(workers).collect(),
            pulses: Vec::new(),
            phase: Phases::new().watch(),
            portal: None,
            addresses: watch::Sender::new(Arc::new(AddressState::default())).subscribe(),
            offload: Arc::new(Mutex::new(Box::new(Relayed(relayed)))),
            log: Output::start().unwrap().stderr,
            inherited_log_losses: Losses::default(),
            faults: Faults::default(),
        }
    }

    fn accounting(observer: &Observer, inherited: Option<AccountingSnapshot>) -> Accounting {
        let (log, faults) = (Arc::clone(&observer.log), observer.faults.clone());
        let addresses = RelayAddresses { v4: None, v6: None };
        Accounting::start(observer.clock, addresses, log, None, None, faults, inherited).unwrap()
    }

    /// Relays a packet and loses one.
    fn count(worker: &Published) {
        let mut counters = Counters::default();
        counters.relayed_to_peer(100);
        counters.lose(Loss::NoSocket);
        worker.publish(&mut counters);
    }

    #[tokio::test]
    async fn figures_go_on_in_the_next_process_and_the_one_after() {
        let mut last: Option<Figures> = None;
        for (process, workers) in (1..=3).zip([2, 1, 3]) {
            let mut observer = observer(workers, 50);
            let books = last.take().map(|figures| figures.inherit(&mut observer).0);
            let accounting = accounting(&observer, books);
            observer.published.last().into_iter().for_each(count);
            observer.faults.note(Part::Worker);

            let counters = observer.counters();
            assert_eq!((counters.to_peers.packets, counters.to_peers.bytes), (process, 100 * process));
            assert_eq!(counters.losses, [(Loss::NoSocket, process)].into());
            let offload = observer.offload();
            assert_eq!(offload.relayed_bytes, 50 * process);
            assert_eq!(offload.packets, [("passed", "no_route", 50 * process)]);
            let faults = observer.faults.counts();
            assert_eq!(faults.into_iter().find(|(part, _)| *part == Part::Worker), Some((Part::Worker, process)));

            let figures = Figures::export(&observer, &accounting).await.unwrap();
            accounting.abandon();
            last = Some(Figures::from_bytes(&figures.to_bytes().unwrap()).unwrap());
            assert_eq!(last, Some(figures));
        }
    }

    #[tokio::test]
    async fn the_start_of_the_counters_and_lines_that_were_lost_are_inherited() {
        let mut first = observer(1, 0);
        (first.start_unix_nanos, first.inherited_log_losses) = (7, Losses { queue_full: 3, write_failed: 2 });
        let accounting = accounting(&first, None);
        let figures = Figures::export(&first, &accounting).await.unwrap();
        let mut second = observer(1, 0);
        figures.inherit(&mut second);
        assert_eq!((second.start_unix_nanos, second.log_losses()), (7, first.log_losses()));
    }

    fn fixed() -> Figures {
        let mut counters = Counters::default();
        counters.lose(Loss::NoSocket);
        let mut counts = NamedCounts::default();
        counts.add("faults", "worker", 300);
        Figures {
            start_unix_nanos: 5,
            counters: PortableCounters::of(&counters),
            counts,
            accounting: AccountingSnapshot::default(),
        }
    }

    #[test]
    fn the_format_is_that_of_its_version() {
        let bytes = fixed().to_bytes().unwrap();
        let version_1 = concat!(
            "0105011164726f707065645f646174616772616d73096e6f5f736f636b657401",
            "01066661756c747306776f726b6572ac020000000000000000000000000000",
        );
        assert_eq!(hex::encode(&bytes), version_1, "raise VERSION");
        assert_eq!(Figures::from_bytes(&bytes).unwrap(), fixed());
    }

    #[test]
    fn bytes_of_something_else_are_refused() {
        let mut bytes = fixed().to_bytes().unwrap();
        assert!(Figures::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "cut off");
        bytes.push(0);
        assert!(Figures::from_bytes(&bytes).is_err(), "followed by something");
        bytes.pop();
        bytes[0] += 1;
        assert!(Figures::from_bytes(&bytes).unwrap_err().to_string().contains("version 2"));
        assert!(Figures::from_bytes(&[]).is_err());
    }
}
