//! Reading `STATS`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::{
    maps::{
        Map, MapData, MapError, PerfEventArray,
        perf::{PerfEvent, PerfEventArrayBuffer},
    },
    util::online_cpus,
};

use super::OffloadError;
use crate::Counters;

/// Pages of each CPU's event buffer: 8 KiB hold some 200 events, each of which is as good as all before it.
const PAGES: usize = 2;

/// Why counters could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not hand out its counters")]
pub struct StatisticsError(#[source] MapError);

impl StatisticsError {
    pub(super) fn read(error: MapError) -> Self {
        Self(error)
    }
}

/// One CPU's events. Becomes readable, as a file descriptor, when there is one.
///
/// With tokio: `AsyncFd::with_interest(reader, Interest::READABLE)`, and on each `readable()` a [`read`](Self::read).
pub struct StatisticsReader {
    cpu: usize,
    buffer: PerfEventArrayBuffer<MapData>,
}

/// What was read of a CPU's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its counters at the latest event; `None` if there was no event.
    pub latest: Option<Counters>,
    /// How many events were lost before. They carried nothing that the next one does not.
    pub lost: u64,
}

impl StatisticsReader {
    /// The CPU whose events these are.
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.cpu
    }

    /// Takes all events that are there. Never waits.
    pub fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        self.buffer.for_each(|event| match event {
            PerfEvent::Sample { head, tail } => {
                let mut bytes = [0; Counters::SIZE];
                // The kernel pads events; what follows is not ours.
                if head.len() + tail.len() >= bytes.len() {
                    for (byte, value) in bytes.iter_mut().zip(head.iter().chain(tail)) {
                        *byte = *value;
                    }
                    reading.latest = Some(Counters::from_event(bytes));
                }
            }
            PerfEvent::Lost { count } => reading.lost += count,
        });
        reading
    }
}

impl std::fmt::Debug for StatisticsReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatisticsReader").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

impl AsFd for StatisticsReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }
}

impl AsRawFd for StatisticsReader {
    fn as_raw_fd(&self) -> RawFd {
        self.buffer.as_raw_fd()
    }
}

/// Opens the buffers of all CPUs that are online.
pub(super) fn open(map: Map) -> Result<Vec<StatisticsReader>, OffloadError> {
    let mut events = PerfEventArray::try_from(map).map_err(OffloadError::from_map)?;
    let cpus = online_cpus().map_err(|(path, source)| {
        OffloadError::Statistics(io::Error::new(source.kind(), format!("{path}: {source}")))
    })?;
    cpus.into_iter()
        .map(|cpu| {
            let buffer = events.open(cpu, Some(PAGES)).map_err(OffloadError::from_perf)?;
            Ok(StatisticsReader { cpu: cpu as usize, buffer })
        })
        .collect()
}
